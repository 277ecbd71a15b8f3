// SPDX-License-Identifier: BSD-3-Clause
// Windows of a file, mapped for reading at 2 MiB boundaries.
#include "fs/core/huge_pages.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "fs/core/backed_data.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/base/ids.h"

namespace ingot {
namespace {

// PAGEMAP_SCAN of linux/fs.h (Linux 6.7), which Debian 12's doesn't have yet.
struct PagemapScan {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t regions;
  uint64_t region_count;
  uint64_t max_pages;
  uint64_t inverted;
  uint64_t mask;
  uint64_t any_of_mask;
  uint64_t return_mask;
};
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
constexpr uint64_t kPageIsHuge = 1 << 6;

// Of linux/mman.h; glibc 2.36 has no MADV_COLLAPSE (Linux 6.1).
constexpr int kMadvisePopulateRead = 22;
constexpr int kMadviseCollapse = 25;

constexpr uint64_t kWindowBytes = uint64_t{1} << 30;

// [offset, offset + size_bytes) of the file, both multiples of 2 MiB; it may end behind the file.
class Window {
 public:
  static Result<Window> Map(int fd, uint64_t offset, uint64_t size_bytes) {
    Window window;
    window.reserved_bytes_ = size_bytes + kHugePageSize;
    void* const reserved = mmap(nullptr, window.reserved_bytes_, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return FailureFromErrno("mmap");
    window.reserved_ = static_cast<std::byte*>(reserved);
    const auto address = reinterpret_cast<uintptr_t>(reserved);
    window.begin_ = window.reserved_ + (RoundUp(address, kHugePageSize) - address);
    void* const mapped = mmap(window.begin_, size_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
                              static_cast<off_t>(offset));
    if (mapped == MAP_FAILED) return FailureFromErrno("mmap of a backing file");
    return window;
  }
  ~Window() {
    if (reserved_ != nullptr) munmap(reserved_, reserved_bytes_);
  }
  Window(Window&& other) noexcept
      : reserved_(std::exchange(other.reserved_, nullptr)),
        reserved_bytes_(other.reserved_bytes_),
        begin_(other.begin_) {}
  Window& operator=(Window&&) = delete;

  // Faults in the page at `at`. No SIGBUS, whatever the file has become meanwhile.
  [[nodiscard]] bool Touch(uint64_t at) const {
    return madvise(begin_ + at, kPageSize, kMadvisePopulateRead) == 0;
  }
  [[nodiscard]] bool Collapse() const {
    return madvise(begin_, kHugePageSize, kMadviseCollapse) == 0;
  }
  [[nodiscard]] uint64_t address() const { return reinterpret_cast<uint64_t>(begin_); }

 private:
  Window() = default;
  std::byte* reserved_ = nullptr;
  size_t reserved_bytes_ = 0;
  std::byte* begin_ = nullptr;
};

class Pagemap {
 public:
  Pagemap() : file_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}

  // Calls `visit` with the ranges of [0, size_bytes) of the window that have huge entries.
  template <typename Visit>
  Result<void> ForEachHugeRange(const Window& window, uint64_t size_bytes, Visit&& visit) const {
    std::array<PageRegion, 64> regions;
    PagemapScan scan{};
    scan.size = sizeof(scan);
    scan.start = window.address();
    scan.end = window.address() + size_bytes;
    scan.regions = reinterpret_cast<uint64_t>(regions.data());
    scan.region_count = regions.size();
    scan.mask = scan.return_mask = kPageIsHuge;
    while (scan.start < scan.end) {
      const int count = ioctl(file_.get(), kPagemapScan, &scan);
      if (count < 0) return FailureFromErrno("PAGEMAP_SCAN");
      for (const PageRegion& region : std::span(regions).first(static_cast<size_t>(count))) {
        visit(region.start - window.address(), region.end - window.address());
      }
      scan.start = scan.walk_end;
    }
    return {};
  }

 private:
  const Descriptor file_;
};

// One window. Pieces without data are not touched: that would allocate them. Nor are those that are
// partly written, or in which the file ends, on DAX: they are mapped by small entries, which the
// host would go on using when they are whole (partial_pieces.h).
Result<void> CountIn(const BackingFile& file, const Pagemap& pagemap, uint64_t begin, uint64_t end,
                     HugePageCount& counts) {
  const uint64_t size_bytes = RoundUp(end - begin, kHugePageSize);
  const Window window = TRY(Window::Map(file.fd(), begin, size_bytes));
  // (tmpfs says so of its huge pages.)
  const bool has_huge = static_cast<uint64_t>(TRY(file.Stat()).st_blksize) >= kHugePageSize;
  const bool is_dax = file.IsMappedFromMedium() && !has_huge;
  for (uint64_t piece = begin; piece < end; piece += kHugePageSize) {
    const uint64_t piece_end = std::min(piece + kHugePageSize, end);
    const backed::Part part = TRY(backed::FirstPart(file, piece, piece_end));
    const uint64_t data = part.is_hole ? piece + part.size_bytes : piece;
    if (data >= piece_end) continue;
    const bool is_partial = part.is_hole || part.size_bytes < kHugePageSize;
    if ((is_dax && is_partial) || window.Touch(RoundDown(data - begin, kPageSize))) {
      counts.data_bytes += piece_end - piece;
    }
  }
  return pagemap.ForEachHugeRange(window, size_bytes, [&](uint64_t from, uint64_t to) {
    counts.huge_bytes += std::min(begin + to, end) - std::min(begin + from, end);
  });
}

}  // namespace

Result<HugePageCount> CountHugePages(const BackingFile& file) {
  const auto size = static_cast<uint64_t>(TRY(file.Stat()).st_size);
  const Pagemap pagemap;
  HugePageCount counts;
  for (uint64_t begin = 0; begin < size; begin += kWindowBytes) {
    TRY(CountIn(file, pagemap, begin, std::min(begin + kWindowBytes, size), counts));
  }
  return counts;
}

Result<void> CollapseHugePage(const BackingFile& file, uint64_t offset) {
  const Window window =
      TRY(Window::Map(file.fd(), RoundDown(offset, kHugePageSize), kHugePageSize));
  if (!window.Collapse()) return FailureFromErrno("MADV_COLLAPSE");
  return {};
}

}  // namespace ingot
