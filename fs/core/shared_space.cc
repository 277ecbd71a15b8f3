// SPDX-License-Identifier: BSD-3-Clause
// Two bounds of what is free inside the region: by the allocator, which knows what lies in huge
// pages that are in use, and by the host, which knows what it has given at all.
#include "fs/core/shared_space.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include <algorithm>

namespace ingot {
namespace {

constexpr uint64_t kStatBlockSize = 512;  // of st_blocks, whatever the host's block size

uint64_t Minus(uint64_t value, uint64_t other) { return value - std::min(value, other); }

// What the region has on the host beside its groups' data.
uint64_t FixedBytes(const Geometry& geometry) {
  const uint64_t tables =
      (geometry.group_count() + media::kGroupsPerTable - 1) / media::kGroupsPerTable;
  return 2 * media::kLabelSize + media::kLanesSize + tables * media::kGroupTableSize;
}

}  // namespace

uint64_t MachineMemoryBytes(bool free) {
  struct sysinfo memory {};
  if (sysinfo(&memory) != 0) return 0;
  const uint64_t units = free ? memory.freeram + memory.bufferram : memory.totalram;
  return units * memory.mem_unit;
}

Result<SharedSpace> CountSharedSpace(const Device& device, const SpaceCounts& counts) {
  const int fd = device.mapping().fd();
  struct statvfs host {};
  struct stat region {};
  if (fstatvfs(fd, &host) != 0) return FailureFromErrno("fstatvfs of the region");
  if (fstat(fd, &region) != 0) return FailureFromErrno("fstat of the region");
  // A tmpfs without a limit says nothing.
  const bool has_size = host.f_blocks != 0;
  const uint64_t memory = MachineMemoryBytes(/*free=*/true);
  const uint64_t free = has_size ? host.f_bfree * host.f_frsize : memory;
  const uint64_t available = has_size ? host.f_bavail * host.f_frsize : memory;
  const uint64_t given = static_cast<uint64_t>(region.st_blocks) * kStatBlockSize;
  const uint64_t used = (counts.total_pages - counts.free_pages) * kPageSize;
  const uint64_t inside = std::min(counts.free_pages_on_host * kPageSize,
                                   Minus(given, FixedBytes(device.geometry()) + used));
  SharedSpace space;
  space.total_bytes = has_size ? host.f_blocks * host.f_frsize : MachineMemoryBytes(false);
  space.free_bytes = std::min(space.total_bytes, free + inside);
  space.available_bytes = std::min(
      space.free_bytes, Minus(available + inside, counts.host_reserve_pages * kPageSize));
  return space;
}

}  // namespace ingot
