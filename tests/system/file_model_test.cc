// SPDX-License-Identifier: BSD-3-Clause
// Random reads, writes, mapped loads and stores, direct I/O, truncations, allocations, holes and
// copies of one file, against its bytes in memory.
//
// The file grows over 2 MiB and shrinks again, so that it moves between extents, huge pages and a
// backing file; descriptors and mappings outlive that. Anything that differs ends the program, with
// the seed and what was done before. usage: file_model_test FILE OPERATIONS SEED [CONTENTS]
// FILE must not exist and stays; CONTENTS gets the bytes that it must have.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/system/mapped_file.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kLargestBytes = 7 * kMiB;
// How far operations reach, for a while: a small file, one that crosses 1 MiB, a large one.
constexpr std::array kLimits = {40'000 * uint64_t{1}, kMiB + kMiB / 2, kLargestBytes};
constexpr uint64_t kOperationsPerLimit = 150;
constexpr uint64_t kOperationsPerCheck = 50;
constexpr size_t kLinesOnFailure = 200;

class File {
 public:
  File(std::string path, uint64_t seed)
      : path_(std::move(path)),
        seed_(seed),
        random_(seed),
        buffer_(-1, kLargestBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS) {
    Create();
  }

  void Run(uint64_t operations);
  [[noreturn]] void Fail(const std::string& what) const;
  [[nodiscard]] const std::string& model() const { return model_; }

 private:
  struct Range {
    uint64_t offset = 0;
    uint64_t size = 0;
    [[nodiscard]] uint64_t end() const { return offset + size; }
  };
  struct Kind {
    const char* name;
    uint64_t weight;
    void (File::*run)(Range);
  };
  static const std::array<Kind, 15> kKinds;

  uint64_t Below(uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_);
  }
  uint64_t Offset();
  Range AnyRange();
  static Range Aligned(Range range);
  [[nodiscard]] Range Inside(Range range) const;  // what of it lies before the file's end

  template <typename... Arguments>
  void Note(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_.push_back(fmt::format(format, std::forward<Arguments>(arguments)...));
  }
  // `call` gave `got`, which must be `wanted`.
  void Expect(const char* call, ssize_t got, ssize_t wanted) const;
  void Compare(const char* how, const char* got, Range range) const;

  void Create();
  void Open();
  char* Mapping();
  void Put(Range range);  // new bytes for the range, in buffer_ and in the model
  void Grow(uint64_t size_bytes) { model_.resize(std::max(model_.size(), size_bytes)); }

  void Read(Range range);
  void Write(Range range);
  void Append(Range range);
  void ReadDirect(Range range);
  void WriteDirect(Range range);
  void Load(Range range);
  void Store(Range range);
  void Truncate(Range range);
  void Allocate(Range range);
  void Punch(Range range);
  void Zero(Range range);
  void Copy(Range range);
  void Sync(Range range);
  void Reopen(Range range);
  void Recreate(Range range);
  void CheckAll();

  const std::string path_;
  const uint64_t seed_;
  std::mt19937_64 random_;
  std::string model_;
  std::vector<std::string> log_;
  uint64_t limit_ = kLimits[0];
  Map buffer_;  // aligned, as direct I/O wants it
  std::unique_ptr<Descriptor> file_;
  std::unique_ptr<Descriptor> direct_;
  std::unique_ptr<Map> map_;  // of the whole file, from its first use to the next Open()
};

const std::array<File::Kind, 15> File::kKinds = {{
    {"read", 12, &File::Read},
    {"write", 12, &File::Write},
    {"append", 4, &File::Append},
    {"read direct", 6, &File::ReadDirect},
    {"write direct", 6, &File::WriteDirect},
    {"load", 12, &File::Load},
    {"store", 12, &File::Store},
    {"truncate", 7, &File::Truncate},
    {"allocate", 4, &File::Allocate},
    {"punch", 5, &File::Punch},
    {"zero", 5, &File::Zero},
    {"copy", 6, &File::Copy},
    {"sync", 5, &File::Sync},
    {"reopen", 5, &File::Reopen},
    {"recreate", 1, &File::Recreate},
}};

void File::Run(uint64_t operations) {
  uint64_t weights = 0;
  for (const Kind& kind : kKinds) weights += kind.weight;
  for (uint64_t i = 1; i <= operations; ++i) {
    if (i % kOperationsPerLimit == 0) limit_ = kLimits[Below(kLimits.size())];
    uint64_t dice = Below(weights);
    const Kind* kind = kKinds.data();
    while (dice >= kind->weight) dice -= kind++->weight;
    const Range range = AnyRange();
    Note("{}: {} {}+{} of {}", i, kind->name, range.offset, range.size, model_.size());
    (this->*kind->run)(range);
    if (i % kOperationsPerCheck == 0) CheckAll();
  }
  CheckAll();
}

// Half of them are at an edge: of a page, of the file, where a file moves, of a huge page.
uint64_t File::Offset() {
  const std::array edges = {kSmallPage * Below(limit_ / kSmallPage), uint64_t{model_.size()}, kMiB,
                            kHugePage * Below(4)};
  const uint64_t at = Below(2) == 0 ? edges[Below(edges.size())] + Below(5) : Below(limit_) + 2;
  return std::min(at < 2 ? 0 : at - 2, limit_ - 1);
}

File::Range File::AnyRange() {
  constexpr std::array<uint64_t, 8> kSizes = {16, 64, 9000, 9000, 70'000, 70'000, kMiB, 3 * kMiB};
  const uint64_t offset = Offset();
  return {offset, std::min(1 + Below(kSizes[Below(kSizes.size())]), limit_ - offset)};
}

File::Range File::Aligned(Range range) {
  const uint64_t begin = range.offset / kSmallPage * kSmallPage;
  return {begin, (range.end() - begin + kSmallPage - 1) / kSmallPage * kSmallPage};
}

File::Range File::Inside(Range range) const {
  const uint64_t end = std::min<uint64_t>(range.end(), model_.size());
  return {range.offset, end - std::min(range.offset, end)};
}

void File::Fail(const std::string& what) const {
  const size_t first = log_.size() - std::min(log_.size(), kLinesOnFailure);
  for (size_t i = first; i < log_.size(); ++i) fmt::print(stderr, "{}\n", log_[i]);
  fmt::print(stderr, "FAILED: {}, seed {}\n", what, seed_);
  std::exit(1);
}

void File::Expect(const char* call, ssize_t got, ssize_t wanted) const {
  if (got == wanted) return;
  Fail(fmt::format("{} gave {} ({}), not {}", call, got,
                   got < 0 ? std::strerror(errno) : "no error", wanted));
}

void File::Compare(const char* how, const char* got, Range range) const {
  const char* const wanted = model_.data() + range.offset;
  if (range.size == 0 || std::memcmp(got, wanted, range.size) == 0) return;
  const auto differs =
      static_cast<uint64_t>(std::mismatch(got, got + range.size, wanted).first - got);
  uint64_t count = 0;
  for (uint64_t i = differs; i < range.size; ++i) count += got[i] != wanted[i];
  Fail(fmt::format("{}: {} bytes differ from {} on: {:#04x}, not {:#04x}", how, count,
                   range.offset + differs, static_cast<unsigned char>(got[differs]),
                   static_cast<unsigned char>(wanted[differs])));
}

void File::Create() {
  model_.clear();
  Expect("close", close(open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644)), 0);
  Open();
}

void File::Open() {
  map_.reset();
  direct_.reset();
  file_.reset();
  file_ = std::make_unique<Descriptor>(path_, O_RDWR | O_CLOEXEC);
  if (file_->get() < 0) Fail(fmt::format("open: {}", std::strerror(file_->code())));
  direct_ = std::make_unique<Descriptor>(path_, O_RDWR | O_DIRECT | O_CLOEXEC);
  if (direct_->get() < 0) Fail(fmt::format("open O_DIRECT: {}", std::strerror(direct_->code())));
}

char* File::Mapping() {
  if (map_ == nullptr) map_ = std::make_unique<Map>(file_->get(), kLargestBytes);
  if (map_->data() == nullptr) Fail(fmt::format("mmap: {}", std::strerror(map_->code())));
  return map_->data();
}

void File::Put(Range range) {
  Fill(buffer_.bytes().first(range.size), random_(), range.offset);
  Grow(range.end());
  std::memcpy(model_.data() + range.offset, buffer_.data(), range.size);
}

void File::Read(Range range) {
  const Range inside = Inside(range);
  Expect("pread", pread(file_->get(), buffer_.data(), range.size, static_cast<off_t>(range.offset)),
         static_cast<ssize_t>(inside.size));
  Compare("pread", buffer_.data(), inside);
}

void File::Write(Range range) {
  Put(range);
  Expect("pwrite",
         pwrite(file_->get(), buffer_.data(), range.size, static_cast<off_t>(range.offset)),
         static_cast<ssize_t>(range.size));
}

void File::Append(Range range) {
  range.offset = model_.size();
  range.size = std::min(range.size, kLargestBytes - range.offset);
  Put(range);
  const Descriptor log(path_, O_WRONLY | O_APPEND | O_CLOEXEC);
  Expect("append", write(log.get(), buffer_.data(), range.size), static_cast<ssize_t>(range.size));
}

void File::ReadDirect(Range range) {
  range = Aligned(range);
  const Range inside = Inside(range);
  Expect("direct pread",
         pread(direct_->get(), buffer_.data(), range.size, static_cast<off_t>(range.offset)),
         static_cast<ssize_t>(inside.size));
  Compare("direct pread", buffer_.data(), inside);
}

void File::WriteDirect(Range range) {
  range = Aligned(range);
  Put(range);
  Expect("direct pwrite",
         pwrite(direct_->get(), buffer_.data(), range.size, static_cast<off_t>(range.offset)),
         static_cast<ssize_t>(range.size));
}

// Up to the end, and the zeros from there to the end of its page.
void File::Load(Range range) {
  const Range inside = Inside(range);
  if (inside.size == 0) return;
  const char* const map = Mapping();
  Compare("mapping", map + inside.offset, inside);
  if (inside.size == range.size) return;
  for (uint64_t at = inside.end(); at % kSmallPage != 0; ++at) {
    if (map[at] != 0) Fail(fmt::format("mapping: byte {} behind the end isn't zero", at));
  }
}

void File::Store(Range range) {
  const Range inside = Inside(range);
  if (inside.size == 0) return;
  char* const map = Mapping();
  Put(inside);
  std::memcpy(map + inside.offset, buffer_.data(), inside.size);
  if (Below(3) != 0) return;
  const Range pages = Aligned(inside);
  Expect("msync", msync(map + pages.offset, pages.size, Below(2) == 0 ? MS_SYNC : MS_ASYNC), 0);
}

void File::Truncate(Range range) {
  const uint64_t size = Below(4) == 0 ? Below(10'000) : range.end();
  Note("  to {}", size);
  Expect("ftruncate", ftruncate(file_->get(), static_cast<off_t>(size)), 0);
  model_.resize(size);
}

void File::Allocate(Range range) {
  const bool keeps_size = Below(2) == 0;
  Expect("fallocate",
         fallocate(file_->get(), keeps_size ? FALLOC_FL_KEEP_SIZE : 0,
                   static_cast<off_t>(range.offset), static_cast<off_t>(range.size)),
         0);
  if (!keeps_size) Grow(range.end());
}

void File::Punch(Range range) {
  Expect("punch",
         fallocate(file_->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(range.offset), static_cast<off_t>(range.size)),
         0);
  const Range inside = Inside(range);
  std::memset(model_.data() + inside.offset, 0, inside.size);
}

void File::Zero(Range range) {
  const bool keeps_size = Below(2) == 0;
  const int result =
      fallocate(file_->get(), FALLOC_FL_ZERO_RANGE | (keeps_size ? FALLOC_FL_KEEP_SIZE : 0),
                static_cast<off_t>(range.offset), static_cast<off_t>(range.size));
  if (result != 0 && errno == EOPNOTSUPP) return;  // tmpfs itself
  Expect("zero range", result, 0);
  if (!keeps_size) Grow(range.end());
  const Range inside = Inside(range);
  std::memset(model_.data() + inside.offset, 0, inside.size);
}

void File::Copy(Range range) {
  uint64_t to = Offset();
  to = std::min(to, kLargestBytes - range.size);
  Note("  to {}", to);
  const Range inside = Inside(range);
  auto in = static_cast<loff_t>(range.offset);
  auto out = static_cast<loff_t>(to);
  if (inside.size != 0 && to < inside.end() && inside.offset < to + inside.size) {
    Expect("copy onto itself",
           copy_file_range(file_->get(), &in, file_->get(), &out, inside.size, 0), -1);
    return;
  }
  for (uint64_t left = inside.size; left > 0;) {
    const ssize_t copied = copy_file_range(file_->get(), &in, file_->get(), &out, left, 0);
    if (copied <= 0) Expect("copy_file_range", copied, static_cast<ssize_t>(left));
    left -= static_cast<uint64_t>(copied);
  }
  if (inside.size == 0) return;
  const std::string bytes = model_.substr(inside.offset, inside.size);
  Grow(to + bytes.size());
  model_.replace(to, bytes.size(), bytes);
}

void File::Sync(Range) {
  Expect("fsync", Below(2) == 0 ? fsync(file_->get()) : fdatasync(file_->get()), 0);
}

void File::Reopen(Range) {
  Open();
}

void File::Recreate(Range) {
  Expect("unlink", unlink(path_.c_str()), 0);
  Create();
}

void File::CheckAll() {
  struct stat status {};
  Expect("fstat", fstat(file_->get(), &status), 0);
  if (static_cast<uint64_t>(status.st_size) != model_.size()) {
    Fail(fmt::format("the size is {}, not {}", status.st_size, model_.size()));
  }
  Read({0, kLargestBytes});
  Load({0, kLargestBytes});
}

const File* g_file = nullptr;

}  // namespace
}  // namespace ingot::tests

int main(int argc, char** argv) {
  using namespace ingot::tests;  // NOLINT: a test's main
  if (argc != 4 && argc != 5) {
    fmt::print(stderr, "usage: file_model_test FILE OPERATIONS SEED [CONTENTS]\n");
    return 2;
  }
  File file(argv[1], std::strtoull(argv[3], nullptr, 10));
  // (Of a load or store of ours, so that this thread may do anything.)
  g_file = &file;
  std::signal(SIGBUS, [](int) { g_file->Fail("SIGBUS"); });
  file.Run(std::strtoull(argv[2], nullptr, 10));
  if (argc == 5) {
    const Descriptor contents(argv[4], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC);
    const std::string& model = file.model();
    if (write(contents.get(), model.data(), model.size()) != static_cast<ssize_t>(model.size())) {
      std::perror(argv[4]);
      return 1;
    }
  }
  fmt::print("{} operations fit\n", argv[2]);
  return 0;
}
