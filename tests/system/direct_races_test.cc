// SPDX-License-Identifier: BSD-3-Clause
// Processes that open a few files in every mode at once, map them, let them cross 1 MiB both ways,
// unlink and replace them: no call ever fails, and nobody sees a byte that isn't the file's.
//
// Beside the shared files each process has one of its own, of which it knows every byte. Seconds a
// place: four, or `--seconds N`. (opens_test has other modes and threads, without contents.)
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/system/mounted_pool.h"

namespace ingot::tests {
namespace {

constexpr int kWorkers = 6, kFiles = 3;
constexpr size_t kMostBytes = 3 * kMiB;  // of one file, but for appends
constexpr uint64_t kAppended = 0xFFFFFFFF;
constexpr const char* kTag = "user.tag";
int g_seconds = 4;

sigjmp_buf g_fault;
void OnFault(int /*signal*/) {
  siglongjmp(g_fault, 1);
}

// A file's tag is set by whoever finds it without, and is in each of its words, with their place.
uint64_t Word(uint64_t tag, uint64_t offset) {
  return tag << 32 | (offset / 8 + 1);
}

// A word may be seen half stored: each byte is the right one, or still zero.
bool IsRight(uint64_t got, uint64_t tag, uint64_t offset) {
  const uint64_t here = Word(tag, offset), appended = tag << 32 | kAppended;
  if (got == 0 || got == here || got == appended) return true;
  for (int bit = 0; bit < 64; bit += 8) {
    const uint64_t byte = got >> bit & 0xFF;
    if (byte != 0 && byte != (here >> bit & 0xFF) && byte != (appended >> bit & 0xFF)) return false;
  }
  return true;
}

class Worker {
 public:
  Worker(std::string top, int number)
      : top_(std::move(top)),
        number_(static_cast<uint64_t>(number)),
        random_(static_cast<uint64_t>(number) * 7919 + 17),
        buffer_(static_cast<uint64_t*>(std::aligned_alloc(kSmallPage, kBufferBytes)), std::free),
        own_path_(fmt::format("{}/own{}", top_, number)) {
    struct sigaction action {};
    action.sa_handler = OnFault;
    sigaction(SIGBUS, &action, nullptr);
  }

  // 0, or 1 after it has said what was wrong.
  int Run() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(g_seconds);
    // Whoever was not let run has done nothing yet when the others are through.
    while ((std::chrono::steady_clock::now() < end || touches_ == 0) && !failed_) {
      UseShared();
      if (!failed_) UseOwn();
    }
    CheckOwn(O_RDONLY);
    fmt::print("process {}: {} opens, {} calls, {} words through mappings, {} SIGBUS\n", number_,
               opens_, calls_, touches_, faults_);
    std::fflush(stdout);
    return failed_ ? 1 : 0;
  }

  // Nobody else is there any more: each word is right.
  int CheckShared() {
    for (int i = 0; i < kFiles; ++i) {
      const Descriptor file(Shared(i), O_RDONLY);
      if (file.get() < 0) continue;
      const uint64_t tag = TagOf(file.get());
      for (uint64_t at = 0;; at += kBufferBytes) {
        const ssize_t got = pread(file.get(), buffer_.get(), kBufferBytes, static_cast<off_t>(at));
        if (!Passed(got, "read", O_RDONLY) || got == 0) break;
        CheckWords(tag, at, static_cast<size_t>(got), "read at the end");
      }
    }
    return failed_ ? 1 : 0;
  }

 private:
  static constexpr size_t kBufferBytes = 256 << 10;

  uint64_t Pick(uint64_t below) { return random_() % below; }
  std::string Shared(int i) const { return fmt::format("{}/f{}", top_, i); }
  void Fail(const std::string& what) {
    if (failed_) return;
    failed_ = true;
    fmt::print(stderr, "FAILED: process {}: {}\n", number_, what);
  }
  bool Passed(int64_t result, const char* call, int flags) {
    ++calls_;
    if (result >= 0) return true;
    Fail(fmt::format("{} with flags {:#o}: {}", call, flags, strerror(errno)));
    return false;
  }

  uint64_t TagOf(int fd) {
    uint64_t tag = 0;
    for (int i = 0; i < 100; ++i) {
      if (fgetxattr(fd, kTag, &tag, sizeof(tag)) == sizeof(tag)) return tag;
      if (errno != ENODATA) break;
      // Its bytes differ from each other, and from other tags'.
      tag = ((number_ + 1) << 20 | ++tags_) * 2654435761U % (uint64_t{1} << 32);
      if (fsetxattr(fd, kTag, &tag, sizeof(tag), XATTR_CREATE) == 0) return tag;
      if (errno != EEXIST) break;
    }
    Fail(fmt::format("tag: {}", strerror(errno)));
    return 0;
  }

  void CheckWords(uint64_t tag, uint64_t offset, size_t size_bytes, const char* how) {
    for (size_t i = 0; i < size_bytes / 8; ++i)
      CheckWord(buffer_.get()[i], tag, offset + 8 * i, how);
  }
  void CheckWord(uint64_t got, uint64_t tag, uint64_t at, const char* how) {
    if (IsRight(got, tag, at)) return;
    Fail(fmt::format("{}: {:#018x} at {} of the file of tag {:#x}", how, got, at, tag));
  }

  void UseShared() {
    static constexpr std::array kFlags = {O_RDONLY,
                                          O_RDWR | O_CREAT,
                                          O_RDWR,
                                          O_WRONLY | O_CREAT,
                                          O_WRONLY | O_CREAT | O_TRUNC,
                                          O_RDWR | O_CREAT | O_TRUNC,
                                          O_WRONLY | O_CREAT | O_APPEND,
                                          O_RDWR | O_APPEND,
                                          O_WRONLY | O_APPEND | O_TRUNC,
                                          O_RDONLY | O_DIRECT,
                                          O_RDWR | O_DIRECT,
                                          O_WRONLY | O_CREAT | O_EXCL};
    const int flags = kFlags[Pick(kFlags.size())];
    const std::string path = Shared(static_cast<int>(Pick(kFiles)));
    const Descriptor file(path, flags);
    if (file.get() < 0) {
      if (file.code() == ENOENT && (flags & O_CREAT) == 0) return;
      if (file.code() == EEXIST && (flags & O_EXCL) != 0) return;
      errno = file.code();
      Passed(-1, "open", flags);
      return;
    }
    ++opens_;
    const uint64_t tag = TagOf(file.get());
    for (uint64_t i = Pick(4) + 1; i != 0 && !failed_; --i) UseHandle(file.get(), flags, tag);
    if (Pick(12) == 0) (void)unlink(path.c_str());
    if (Pick(12) == 0) Replace(path);
  }

  void UseHandle(int fd, int flags, uint64_t tag) {
    const bool reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
    const bool appends = (flags & O_APPEND) != 0;
    // Whole pages, as O_DIRECT may want it.
    const size_t size = (Pick(Pick(8) == 0 ? kBufferBytes / kSmallPage : 4) + 1) * kSmallPage;
    const uint64_t at = Pick((kMostBytes - size) / kSmallPage) * kSmallPage;
    const auto offset = static_cast<off_t>(at);
    if (writes) {
      for (size_t i = 0; i < size / 8; ++i) {
        buffer_.get()[i] = appends ? tag << 32 | kAppended : Word(tag, at + 8 * i);
      }
      const ssize_t done =
          appends ? write(fd, buffer_.get(), size) : pwrite(fd, buffer_.get(), size, offset);
      if (Passed(done, "write", flags) && done != static_cast<ssize_t>(size)) {
        Fail(fmt::format("a write of {} bytes wrote {}", size, done));
      }
    }
    if (reads) {
      const ssize_t got = pread(fd, buffer_.get(), size, offset);
      if (Passed(got, "read", flags)) CheckWords(tag, at, static_cast<size_t>(got), "read");
      if (Pick(2) == 0) UseMapping(fd, writes && !appends, tag);
    }
    struct stat status {};
    if (!Passed(fstat(fd, &status), "fstat", flags) || !writes) return;
    if (Pick(4) == 0 || status.st_size > static_cast<off_t>(kMostBytes + kMiB)) {
      const uint64_t to = Pick(3) == 0 ? Pick(kMostBytes / 8) * 8 : Pick(kMiB / 8) * 8;
      Passed(ftruncate(fd, static_cast<off_t>(to)), "ftruncate", flags);
    }
  }

  // Others may cut the file at any time: then a load or store is SIGBUS, as it should be; but never
  // while the file has that byte.
  void UseMapping(int fd, bool stores, uint64_t tag) {
    const Map map(fd, kMostBytes, stores ? PROT_READ | PROT_WRITE : PROT_READ);
    if (!Passed(map.data() == nullptr ? -1 : 0, "mmap", stores ? O_RDWR : O_RDONLY)) return;
    for (int i = 0; i < 50 && !failed_; ++i) {
      const uint64_t at = Pick(kMostBytes / 8) * 8;
      int attempts = 0;
      while (!Touch(map, at, stores, tag)) {
        uint64_t word = 0;
        const ssize_t got = pread(fd, &word, sizeof(word), static_cast<off_t>(at));
        // EINVAL: opened O_DIRECT.
        if (got != sizeof(word)) break;
        if (++attempts < 1000) continue;
        Fail(fmt::format("SIGBUS at {} inside of the file of tag {:#x}", at, tag));
        break;
      }
    }
  }
  bool Touch(const Map& map, uint64_t at, bool stores, uint64_t tag) {
    if (sigsetjmp(g_fault, 1) != 0) return ++faults_, false;
    ++touches_;
    auto* word = reinterpret_cast<volatile uint64_t*>(map.at() + at);
    CheckWord(*word, tag, at, "load");
    if (stores) *word = Word(tag, at);
    return true;
  }

  // A new file takes the name.
  void Replace(const std::string& path) {
    const std::string temporary = fmt::format("{}/new{}", top_, number_);
    {
      const Descriptor file(temporary, O_WRONLY | O_CREAT | O_EXCL);
      errno = file.code();
      if (!Passed(file.get(), "create", O_EXCL)) return;
      const uint64_t tag = TagOf(file.get());
      for (uint64_t left = Pick(7); left != 0 && !failed_; --left) {
        UseHandle(file.get(), O_WRONLY, tag);
      }
    }
    Passed(rename(temporary.c_str(), path.c_str()), "rename", 0);
  }

  // The own file: `model_` is what is in it.
  void UseOwn() {
    static constexpr std::array kFlags = {O_RDWR | O_CREAT, O_WRONLY | O_CREAT,
                                          O_WRONLY | O_CREAT | O_APPEND,
                                          O_RDWR | O_CREAT | O_APPEND};
    const int flags = kFlags[Pick(kFlags.size())];
    // Another handle of any mode is open meanwhile.
    const Descriptor other(own_path_, kFlags[Pick(kFlags.size())]);
    const Descriptor file(own_path_, flags);
    if (!Passed(file.get(), "open own", flags)) return;
    const bool appends = (flags & O_APPEND) != 0;
    const size_t size = Pick(Pick(4) == 0 ? kBufferBytes : 5000) + 1;
    const size_t at = appends ? model_.size() : Pick(kMostBytes - size);
    const std::string bytes = Pattern(size, random_(), at);
    if ((flags & O_ACCMODE) == O_RDWR && !appends && at + size <= model_.size() && Pick(2) == 0) {
      const Map map(file.get(), model_.size());
      if (!Passed(map.data() == nullptr ? -1 : 0, "mmap own", flags)) return;
      memcpy(map.data() + at, bytes.data(), size);
    } else {
      const ssize_t done = appends ? write(file.get(), bytes.data(), size)
                                   : pwrite(file.get(), bytes.data(), size, static_cast<off_t>(at));
      if (!Passed(done, "write own", flags)) return;
      if (done != static_cast<ssize_t>(size)) Fail("a short write to the own file");
      if (model_.size() < at + size) model_.resize(at + size, '\0');
    }
    model_.replace(at, size, bytes);
    if (Pick(4) == 0 || model_.size() > kMostBytes) {
      model_.resize(Pick(2) == 0 ? Pick(kMostBytes) : Pick(kMiB), '\0');
      Passed(ftruncate(file.get(), static_cast<off_t>(model_.size())), "ftruncate own", flags);
    }
    if (Pick(16) == 0) CheckOwn(O_RDONLY);
    if (Pick(40) == 0) {
      (void)unlink(own_path_.c_str());
      model_.clear();
    }
  }

  void CheckOwn(int flags) {
    const Descriptor file(own_path_, flags);
    if (file.get() < 0 && file.code() == ENOENT && model_.empty()) return;
    errno = file.code();
    if (failed_ || !Passed(file.get(), "open own", flags)) return;
    std::string got(model_.size() + 1, '\0');
    const ssize_t size = pread(file.get(), got.data(), got.size(), 0);
    if (size != static_cast<ssize_t>(model_.size())) {
      Fail(fmt::format("the own file has {} bytes instead of {}", size, model_.size()));
    }
    Compare(got, "read own");
    if (model_.empty()) return;
    const Map map(file.get(), model_.size(), PROT_READ);
    if (!Passed(map.data() == nullptr ? -1 : 0, "mmap own", flags)) return;
    got.assign(map.data(), model_.size());
    Compare(got, "load own");
  }
  void Compare(const std::string& got, const char* how) {
    if (std::equal(model_.begin(), model_.end(), got.begin())) return;
    for (size_t at = 0; at < model_.size() && !failed_; ++at) {
      if (got[at] == model_[at]) continue;
      Fail(fmt::format("{}: byte {} of {} is {:#x} instead of {:#x}", how, at, model_.size(),
                       static_cast<unsigned char>(got[at]),
                       static_cast<unsigned char>(model_[at])));
    }
  }

  const std::string top_;
  const uint64_t number_;
  std::mt19937_64 random_;
  const std::unique_ptr<uint64_t, decltype(&std::free)> buffer_;
  const std::string own_path_;
  std::string model_;
  uint64_t tags_ = 0, opens_ = 0, calls_ = 0, touches_ = 0, faults_ = 0;
  bool failed_ = false;
};

class DirectRaces : public OnHostAndMount {};
INSTANTIATE_TEST_SUITE_P(Places, DirectRaces,
                         testing::Values(Place::kHost, Place::kAuto, Place::kAlways), NameOf);

TEST_P(DirectRaces, NoCallFailsAndNoByteIsWrong) {
  std::vector<pid_t> workers;
  for (int i = 0; i < kWorkers; ++i) {
    workers.push_back(fork());
    if (workers.back() == 0) _exit(Worker(Path(""), i).Run());
  }
  for (const pid_t worker : workers) EXPECT_EQ(StatusOf(worker), 0);
  if (is_mount()) {
    ASSERT_TRUE(pool().Unmount());
    ASSERT_TRUE(pool().IsClean());
    ASSERT_TRUE(pool().Mount());
  }
  EXPECT_EQ(InChild([&] { return Worker(Path(""), kWorkers).CheckShared(); }), 0);
}

}  // namespace
}  // namespace ingot::tests

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc == 3 && strcmp(argv[1], "--seconds") == 0) ingot::tests::g_seconds = atoi(argv[2]);
  return RUN_ALL_TESTS();
}
