// SPDX-License-Identifier: BSD-3-Clause
// Data ranges kept in DRAM and put back; mappings of the pool's file.
#include "tests/fuzz/scratch_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"

namespace ingot::tests {

ScratchPool::ScratchPool(int fd) : fd_(fd) {
  log::ToStderr(log::Level::kOff);  // of damage that was made on purpose
  struct stat status;
  CHECK(fstat(fd_, &status) == 0, "errno {}", errno);
  size_bytes_ = static_cast<uint64_t>(status.st_size);
  void* view = mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  CHECK(view != MAP_FAILED, "errno {}", errno);
  bytes_ = static_cast<std::byte*>(view);
  for (off_t at = 0; (at = lseek(fd_, at, SEEK_DATA)) >= 0;) {
    const off_t end = lseek(fd_, at, SEEK_HOLE);
    // Space that was allocated and never written is zeros: page by page, most of it goes.
    for (; at < end; at += static_cast<off_t>(kPageSize)) {
      const std::byte* page = bytes_ + at;
      if (std::all_of(page, page + kPageSize, [](std::byte b) { return b == std::byte{0}; })) {
        continue;
      }
      const auto place = static_cast<uint64_t>(at);
      if (ranges_.empty() || ranges_.back().at + ranges_.back().bytes.size() != place) {
        ranges_.push_back({place, {}});
      }
      ranges_.back().bytes.insert(ranges_.back().bytes.end(), page, page + kPageSize);
    }
  }
  Reset();
}

ScratchPool::~ScratchPool() {
  munmap(bytes_, size_bytes_);
  close(fd_);
}

void ScratchPool::Reset() {
  const auto size = static_cast<off_t>(size_bytes_);
  CHECK(fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) == 0, "errno {}",
        errno);
  for (const Range& range : ranges_) {
    const ssize_t done =
        pwrite(fd_, range.bytes.data(), range.bytes.size(), static_cast<off_t>(range.at));
    CHECK(done == static_cast<ssize_t>(range.bytes.size()), "errno {}", errno);
  }
}

std::unique_ptr<Mapping> ScratchPool::MapWith(const MappingOptions& options) const {
  const int duplicate = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  CHECK(duplicate >= 0, "errno {}", errno);
  auto mapping = Mapping::FromDescriptor(duplicate, options);
  CHECK(mapping.has_value(), "{}", Describe(mapping.error()));
  return std::move(*mapping);
}

std::unique_ptr<Mapping> ScratchPool::Map(bool read_only) const {
  MappingOptions options;
  options.read_only = read_only;
  options.separate_write_alias = !read_only;
  options.take_lock = false;
  // Nothing behind the pool: what reads there faults.
  options.reserve_bytes = size_bytes_;
  return MapWith(options);
}

std::unique_ptr<Mapping> ScratchPool::MapPrivately() const {
  MappingOptions options;
  options.private_copy = true;
  options.take_lock = false;
  options.reserve_bytes = size_bytes_;
  return MapWith(options);
}

}  // namespace ingot::tests
