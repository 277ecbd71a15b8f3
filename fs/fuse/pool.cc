// SPDX-License-Identifier: BSD-3-Clause
// The wait for the lock, and the mounts that say whether waiting makes sense.
#include "fs/fuse/pool.h"

#include <mntent.h>

#include <cstdio>
#include <thread>

#include "fs/core/pool_path.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

constexpr std::chrono::milliseconds kPollEvery{20};

// Any text may stand in the first column.
bool IsSource(const std::string& source, const std::string& pool_path) {
  if (source == pool_path) return true;
  return source.starts_with('/') && IsSamePool(source, pool_path);
}

}  // namespace

std::string MountpointOf(const std::string& pool_path) {
  std::string found;
  FILE* mounts = setmntent("/proc/self/mounts", "r");
  if (mounts == nullptr) return found;
  while (const struct mntent* mount = getmntent(mounts)) {
    if (std::string_view(mount->mnt_type) != "fuse.ingot") continue;
    if (IsSource(mount->mnt_fsname, pool_path)) found = mount->mnt_dir;
  }
  endmntent(mounts);
  return found;
}

namespace {

// What `open` gives; on EBUSY again, until it is clear that nobody is about to let go.
template <typename Open>
auto WhenFree(const std::string& pool_path, std::chrono::milliseconds wait, Open&& open)
    -> decltype(open()) {
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    auto opened = open();
    if (opened || opened.error().code != EBUSY) return opened;
    const std::string mountpoint = MountpointOf(pool_path);
    if (!mountpoint.empty()) {
      return Failure(EBUSY, opened.error().context + ", mounted on " + mountpoint);
    }
    if (std::chrono::steady_clock::now() >= end) return opened;
    std::this_thread::sleep_for(kPollEvery);
  }
}

}  // namespace

Result<PoolPath> ResolveWhenFree(const std::string& pool_path, HostUse use,
                                 std::chrono::milliseconds wait) {
  return WhenFree(pool_path, wait, [&] { return ResolvePool(pool_path, use); });
}

Result<std::unique_ptr<Mapping>> OpenMappingWhenFree(const std::string& pool_path,
                                                     const PoolPath& pool,
                                                     const MappingOptions& options,
                                                     std::chrono::milliseconds wait) {
  return WhenFree(pool_path, wait, [&] { return Mapping::Open(pool.region, options); });
}

Result<std::unique_ptr<Mapping>> OpenMappingWhenFree(const std::string& pool_path,
                                                     const MappingOptions& options,
                                                     std::chrono::milliseconds wait) {
  const HostUse use =
      options.read_only || options.private_copy ? HostUse::kLook : HostUse::kWrite;
  const PoolPath pool = TRY(ResolveWhenFree(pool_path, use, wait));
  return OpenMappingWhenFree(pool_path, pool, options, wait);
}

namespace {

Result<std::unique_ptr<Device>> OpenDevice(const MountOptions& options, const PoolPath& pool,
                                           const MappingOptions& mapping_options) {
  DeviceOptions device_options;
  device_options.mapping = mapping_options;
  device_options.page_array = options.page_array;
  device_options.page_array_budget_bytes = options.page_array_budget_bytes;
  auto mapping = TRY(OpenMappingWhenFree(options.pool_path, pool, mapping_options));
  return Device::Open(std::move(mapping), device_options);
}

// A read-only mapping can't be recovered, and without that it may show half a transaction. So the
// recovery is done in a copy-on-write mapping, which keeps the pool as it is; devdax has no such
// thing and is recovered for real, as ext4 and xfs do on a read-only mount.
Result<std::unique_ptr<Device>> OpenRecovered(const MountOptions& options, const PoolPath& pool,
                                              Medium medium) {
  MappingOptions mapping_options;
  if (medium != Medium::kDevDax) {
    mapping_options.private_copy = true;
    return OpenDevice(options, pool, mapping_options);
  }
  TRY(OpenDevice(options, pool, mapping_options));
  mapping_options.read_only = true;
  return OpenDevice(options, pool, mapping_options);
}

// Without it the host's rule goes for large files: no reason not to mount.
void FollowAtimeRule(BackingDirectory& directory, const VolumeOptions& options) {
  const AtimeMode rule = options.read_only ? AtimeMode::kNever : options.atime;
  if (const Result<void> followed = directory.UseAtimeRule(rule); !followed) {
    log::Warning("pool: access times of large files are the host's, error={} reason=\"{}\"",
                 ErrnoName(followed.error().code), followed.error().context);
  }
}

}  // namespace

Result<std::unique_ptr<Volume>> OpenPool(const MountOptions& options) {
  MappingOptions mapping_options;
  mapping_options.read_only = options.volume.read_only;
  const HostUse use = options.volume.read_only ? HostUse::kRead : HostUse::kWrite;
  const PoolPath pool = TRY(ResolveWhenFree(options.pool_path, use));
  auto device = TRY(OpenDevice(options, pool, mapping_options));
  const ReplayReport waiting = device->replay_report();
  if (waiting.unreadable_lanes != 0) {
    log::Warning("pool: journal lanes are unreadable, lanes={}", waiting.unreadable_lanes);
  } else if (mapping_options.read_only && waiting.valid_lanes != 0) {
    const Medium medium = device->mapping().medium();
    device.reset();
    device = TRY(OpenRecovered(options, pool, medium));
  }
  // What the kernel may write to past the daemon is opened for writing only if the volume is.
  auto directory =
      TRY(OpenBackingDirectory(pool, device->superblock(), options.volume.read_only));
  if (directory != nullptr) FollowAtimeRule(*directory, options.volume);
  return Volume::Open(std::move(device), options.volume, std::move(directory));
}

}  // namespace ingot
