// SPDX-License-Identifier: BSD-3-Clause
// Mounting, mapping, and reading of /proc/self/smaps.
#include "tests/system/mapped_file.h"

#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "tests/support/eventually.h"

namespace ingot::tests {

HugeTmpfs::HugeTmpfs(uint64_t size_bytes) {
  std::string path = "/tmp/ingot-direct-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return;
  path_ = path;
  const std::string options = fmt::format("huge=always,mode=755,size={}", size_bytes);
  is_mounted_ = mount("ingot-test", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

HugeTmpfs::~HugeTmpfs() {
  if (is_mounted_) umount2(path_.c_str(), MNT_DETACH);
  if (!path_.empty()) rmdir(path_.c_str());
}

Descriptor::Descriptor(const std::string& path, int flags, mode_t mode)
    : Descriptor(open(path.c_str(), flags | O_CLOEXEC, mode)) {}

Descriptor::Descriptor(int fd) : fd_(fd) {
  if (fd_ < 0) code_ = errno;
}

void Descriptor::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Map::Map(int fd, size_t size_bytes, int protection, int flags) : size_bytes_(size_bytes) {
  // Aligned, as the C library's allocator and every database of large maps does it.
  void* room = mmap(nullptr, size_bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) {
    code_ = errno;
    return;
  }
  room_ = room;
  auto* at = static_cast<char*>(room) +
             (kHugePage - reinterpret_cast<uintptr_t>(room) % kHugePage) % kHugePage;
  void* mapped = mmap(at, size_bytes, protection, flags | MAP_FIXED, fd, 0);
  if (mapped == MAP_FAILED) {
    code_ = errno;
  } else {
    data_ = mapped;
  }
}

Map::~Map() {
  if (room_ != nullptr) munmap(room_, size_bytes_ + kHugePage);
}

// Pages of a DAX device are in none of smaps' sums (smaps_pmd_entry in fs/proc/task_mmu.c passes
// them over); PAGEMAP_SCAN (Linux 6.7) sees them.
uint64_t Map::PmdMappedBytes() const {
  const uint64_t of_page_cache = SmapsBytes("ShmemPmdMapped") + SmapsBytes("FilePmdMapped");
  return of_page_cache != 0 ? of_page_cache : HugeEntryBytes();
}

uint64_t Map::HugeEntryBytes() const {
  struct PageRegion {
    uint64_t start, end, categories;
  };
  struct {
    uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages, inverted, mask,
        any_of_mask, return_mask;
  } scan{};
  constexpr uint64_t kPageIsHuge = 1 << 6;
  PageRegion regions[64];
  scan.size = sizeof(scan);
  scan.start = reinterpret_cast<uintptr_t>(data_);
  scan.end = scan.start + (size_bytes_ + kSmallPage - 1) / kSmallPage * kSmallPage;
  scan.regions = reinterpret_cast<uintptr_t>(regions);
  scan.region_count = std::size(regions);
  scan.mask = scan.return_mask = kPageIsHuge;
  const Descriptor pagemap("/proc/self/pagemap", O_RDONLY);
  uint64_t bytes = 0;
  while (scan.start < scan.end) {
    const int count = ioctl(pagemap.get(), _IOWR('f', 16, scan), &scan);
    if (count < 0) return 0;
    for (int i = 0; i < count; ++i) bytes += regions[i].end - regions[i].start;
    scan.start = scan.walk_end;
  }
  return bytes;
}

uint64_t Map::SmapsBytes(const std::string& field) const {
  std::ifstream smaps("/proc/self/smaps");
  const auto begin = reinterpret_cast<uintptr_t>(data_);
  bool is_here = false;
  uint64_t bytes = 0;
  for (std::string line; std::getline(smaps, line);) {
    // "from-to ...": a mapping, which the kernel may have split.
    char* rest = nullptr;
    const uintptr_t from = std::strtoull(line.c_str(), &rest, 16);
    if (*rest == '-') {
      is_here = from >= begin && from < begin + size_bytes_;
    } else if (is_here && line.starts_with(field + ":")) {
      bytes += std::strtoull(line.c_str() + field.size() + 1, nullptr, 10) << 10;
    }
  }
  return bytes;
}

uint64_t MinorFaults() {
  struct rusage usage {};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_minflt);
}

uint64_t PageFaults() {
  struct rusage usage {};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_minflt) + static_cast<uint64_t>(usage.ru_majflt);
}

int64_t CachedPages(int fd) {
  constexpr long kCachestat = 451;  // Debian 12's headers don't have it
  struct {
    uint64_t offset, size_bytes;
  } range{0, 0};  // all of it
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } answer{};
  if (syscall(kCachestat, fd, &range, &answer, 0) != 0) return -1;
  return static_cast<int64_t>(answer.cached);
}

bool IsDirect(const std::string& path) {
  std::string value(64 << 10, '\0');
  const ssize_t got = getxattr(path.c_str(), "user.ingot.map", value.data(), value.size());
  value.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return value.find("\"direct\":true") != std::string::npos;
}

bool BecomesDirect(const std::string& path) {
  return Eventually([&] { return IsDirect(path); });
}

void Fill(std::span<char> to, uint64_t seed, uint64_t offset) {
  for (size_t i = 0; i < to.size(); ++i) {
    const uint64_t at = offset + i;
    uint64_t word = (at / 8 + 1) * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03;
    word ^= word >> 29;
    to[i] = static_cast<char>(word >> (at % 8 * 8));
  }
}

std::string Pattern(size_t size_bytes, uint64_t seed, uint64_t offset) {
  std::string bytes(size_bytes, '\0');
  Fill(bytes, seed, offset);
  return bytes;
}

}  // namespace ingot::tests
