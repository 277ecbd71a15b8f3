// SPDX-License-Identifier: BSD-3-Clause
// Ages a device pool of any size, in process, and says how large files lie: what scripts/ager does,
// with fallocate in the place of writes, so that no data is stored: a sparse pool of 1 TiB takes
// the memory that its metadata takes, and its file nothing.
//
// usage: age_pool POOL SIZE_GIB CHURN LEVEL...    (levels in percent, ascending)
// The pool is filled to each level in turn; CHURN times the capacity is allocated before the first
// is looked at, half of it again before each of the others, and at least what fills it. Prints a
// JSON object a level, one a line. Sizes are those of scripts/ager, none above 8 GiB or an eighth
// of the pool; 8 files grow side by side, in at most some 64 steps each.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/bench_pool.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLargestBytes = 8192 * kMiB;
constexpr uint64_t kDirectories = 1024;
constexpr size_t kStreams = 8;
constexpr uint64_t kMostSteps = 64;
constexpr uint64_t kNewFileBytes = 64 * kMiB;

struct File {
  InodeNumber inode;
  uint32_t directory = 0;
  uint64_t number = 0;  // in its name
  uint64_t size_bytes = 0;
  uint64_t grown_bytes = 0;
};

struct Layout {
  uint64_t files = 0, windows = 0, huge_windows = 0;  // windows: whole 2 MiB of files
};

class Ager {
 public:
  explicit Ager(Volume& volume)
      : volume_(volume),
        largest_bytes_(std::min(kLargestBytes, Count().total_pages * kPageSize / 8)) {
    for (uint64_t i = 0; i < kDirectories; ++i) {
      directories_.push_back(MakeDirectory(volume, Volume::kRoot, "aged-" + std::to_string(i)));
    }
  }

  [[nodiscard]] SpaceCounts Count() const { return volume_.core().allocator->Count(); }

  void Age(double level, double churn) {
    const SpaceCounts counts = Count();
    const double most = churn * static_cast<double>(counts.total_pages);
    limit_pages_ = static_cast<uint64_t>(level * static_cast<double>(counts.total_pages));
    const uint64_t start = allocated_pages_;
    bool is_reached = false;
    while (static_cast<double>(allocated_pages_ - start) < most || !is_reached) {
      is_reached |= UsedPages() > limit_pages_;
      while (!files_.empty() && UsedPages() > limit_pages_) DeleteOne();
      while (growing_.size() < kStreams) growing_.push_back(NewFile(DrawSize()));
      if (GrowOne()) continue;
      MakeRoom();
      is_reached = true;
    }
    for (File& file : growing_) Complete(file);
    growing_.clear();
    while (!files_.empty() && UsedPages() > limit_pages_) DeleteOne();
  }

  // Of the files of 2 MiB and more.
  [[nodiscard]] Layout Look() const {
    Layout layout;
    for (const File& file : files_) Add(file, layout);
    return layout;
  }

  // Files that half of what is free is filled with; they are gone afterwards.
  [[nodiscard]] Layout LookAtNew() {
    Layout layout;
    std::vector<File> made;
    const uint64_t count = Count().free_pages * kPageSize / 2 / kNewFileBytes;
    for (uint64_t i = 0; i < count; ++i) {
      made.push_back(NewFile(kNewFileBytes));
      File& file = made.back();
      if (!volume_.data().Fallocate(file.inode, 0, 0, kNewFileBytes)) break;
      Add(file, layout);
    }
    for (const File& file : made) Unlink(file);
    return layout;
  }

  uint64_t made() const { return made_; }
  uint64_t deleted() const { return deleted_; }
  uint64_t refused() const { return refused_; }
  uint64_t living() const { return files_.size(); }

 private:
  [[nodiscard]] uint64_t UsedPages() const {
    const SpaceCounts counts = Count();
    return counts.total_pages - counts.free_pages;
  }

  uint64_t DrawSize() {
    double size = 0;
    if (std::uniform_real_distribution<double>()(random_) < 0.99994) {
      size = std::lognormal_distribution<double>(9.48, 2.46)(random_);
    } else {
      const double uniform = std::uniform_real_distribution<double>(1e-12, 1)(random_);
      size = 512 * static_cast<double>(kMiB) * std::pow(uniform, -1 / 0.91);
    }
    return static_cast<uint64_t>(std::clamp(size, 1.0, static_cast<double>(largest_bytes_)));
  }

  size_t Draw(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }

  File NewFile(uint64_t size_bytes) {
    File file{.inode = {},
              .directory = static_cast<uint32_t>(Draw(directories_.size())),
              .number = made_++,
              .size_bytes = size_bytes};
    file.inode = MakeFile(volume_, directories_[file.directory], FileName(file.number));
    return file;
  }

  // One step of one of them. False: no space.
  bool GrowOne() {
    const size_t at = Draw(growing_.size());
    File& file = growing_[at];
    uint64_t step = kPageSize << 4 * Draw(3);  // 4 KiB, 64 KiB, 1 MiB
    while (step * kMostSteps < file.size_bytes) step *= 2;
    step = std::min(step, file.size_bytes - file.grown_bytes);
    if (!volume_.data().Fallocate(file.inode, 0, file.grown_bytes, step)) return false;
    file.grown_bytes += step;
    allocated_pages_ += (step + kPageSize - 1) / kPageSize;
    if (file.grown_bytes == file.size_bytes) {
      Complete(file);
      growing_.erase(growing_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return true;
  }

  void Complete(File& file) {
    volume_.data().Closed(file.inode);
    file.size_bytes = file.grown_bytes;
    files_.push_back(file);
  }

  void MakeRoom() {
    if (++refused_ > 100'000 || files_.empty()) Fail("full for good");
    for (int i = 0; i < 20 && !files_.empty(); ++i) DeleteOne();
  }

  void DeleteOne() {
    std::swap(files_[Draw(files_.size())], files_.back());
    Unlink(files_.back());
    files_.pop_back();
    ++deleted_;
  }

  void Unlink(const File& file) {
    Require(volume_.names().Unlink(directories_[file.directory], FileName(file.number)));
  }

  // Windows of the file that one whole, aligned huge page holds.
  void Add(const File& file, Layout& layout) const {
    const uint64_t windows = file.size_bytes / kHugePageSize;
    if (windows == 0) return;
    ++layout.files;
    layout.windows += windows;
    // The run of pages, congruent and in one piece, that the last extent is the end of.
    FilePage begin(0), end(0);
    LogicalPage next(0);
    const auto close = [&] {
      const uint64_t first = (begin.value + kPagesPerHugePage - 1) / kPagesPerHugePage;
      const uint64_t last = std::min(end.value / kPagesPerHugePage, windows);
      if (last > first) layout.huge_windows += last - first;
    };
    for (FilePage from(0);;) {
      const std::vector<Extent> extents = Require(volume_.data().Extents(file.inode, from, 1024));
      for (const Extent& extent : extents) {
        const bool goes_on = extent.file_page == end && extent.start == next && end.value != 0;
        if (!goes_on) {
          close();
          const bool is_congruent =
              extent.file_page.value % kPagesPerHugePage == extent.start.value % kPagesPerHugePage;
          begin = is_congruent ? extent.file_page : extent.end();
        }
        end = extent.end();
        next = LogicalPage(extent.start.value + extent.pages);
        from = end;
      }
      if (extents.size() < 1024) break;
    }
    close();
  }

  Volume& volume_;
  const uint64_t largest_bytes_;
  std::vector<InodeNumber> directories_;
  std::vector<File> files_;
  std::vector<File> growing_;
  std::mt19937_64 random_{1};
  uint64_t limit_pages_ = 0;
  uint64_t allocated_pages_ = 0;
  uint64_t made_ = 0, deleted_ = 0, refused_ = 0;
};

void Print(const char* name, const Layout& layout) {
  std::printf("\"%s\": {\"files\": %lu, \"bytes\": %lu, \"huge_bytes\": %lu}, ", name, layout.files,
              layout.windows * kHugePageSize, layout.huge_windows * kHugePageSize);
}

void LookAtLevel(Ager& ager, unsigned long level, double churn) {
  using std::chrono::steady_clock;
  const auto start = steady_clock::now();
  ager.Age(static_cast<double>(level) / 100, churn);
  const std::chrono::duration<double> taken = steady_clock::now() - start;
  const SpaceCounts counts = ager.Count();
  std::printf("{\"level\": %lu, ", level);
  Print("old", ager.Look());
  Print("new", ager.LookAtNew());
  std::printf(
      "\"total_pages\": %lu, \"free_pages\": %lu, \"free_huge_pages\": %lu, \"files_made\": %lu, "
      "\"files_deleted\": %lu, \"files_left\": %lu, \"refused\": %lu, \"seconds\": %.1f}\n",
      counts.total_pages, counts.free_pages, counts.free_huge_pages, ager.made(), ager.deleted(),
      ager.living(), ager.refused(), taken.count());
  (void)std::fflush(stdout);
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  namespace bench = ingot::bench;
  if (argc < 5) bench::Fail("usage: age_pool POOL SIZE_GIB CHURN LEVEL...");
  const std::unique_ptr<ingot::Volume> volume =
      bench::MakePrivateVolume(argv[1], std::stoull(argv[2]) << 30);
  bench::Ager ager(*volume);
  for (int i = 4; i < argc; ++i) {
    bench::LookAtLevel(ager, std::stoul(argv[i]), std::stod(argv[3]) / (i == 4 ? 1 : 2));
  }
  return 0;
}
