// SPDX-License-Identifier: BSD-3-Clause
// What can be said about the options before anything is opened or mounted.
#include "fs/fuse/mount_options.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "fs/core/pool_path.h"

namespace ingot {
namespace {

Result<void> CheckMountpoint(const MountOptions& options) {
  // What is wrong with the pool's path is said when it is opened. (A block device's host is mounted
  // nowhere, so that nothing can hide it.)
  struct stat source {};
  const bool is_directory =
      stat(options.pool_path.c_str(), &source) == 0 && S_ISDIR(source.st_mode);
  if (is_directory) {
    if (const auto pool = ResolvePool(options.pool_path)) {
      TRY(CheckMountpointOf(*pool, options.mountpoint));
    }
  }
  const std::string what = "mount point '" + options.mountpoint + "'";
  struct stat status {};
  if (stat(options.mountpoint.c_str(), &status) != 0) return FailureFromErrno(what);
  if (!S_ISDIR(status.st_mode)) return Failure(ENOTDIR, what);
  std::error_code error;
  const bool empty = std::filesystem::is_empty(options.mountpoint, error);
  if (error) return Failure(error.value(), what);
  if (!empty && !options.nonempty) {
    return Failure(ENOTEMPTY,
                   what + ". Hint: choose another one, or hide its files by -o nonempty");
  }
  return {};
}

// A block device has one on it, or can't be mounted.
bool IsDirectoryPool(const std::string& pool_path) {
  struct stat status {};
  if (stat(pool_path.c_str(), &status) != 0) return false;
  return S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode);
}

}  // namespace

bool KernelOffersIoUring() {
  std::ifstream parameter("/sys/module/fuse/parameters/enable_uring");
  const int value = parameter.get();
  return value == 'Y' || value == '1';
}

Result<void> ValidateMountOptions(const MountOptions& options) {
  TRY(CheckMountpoint(options));
  if (options.volume.direct == DirectMode::kAlways && !IsDirectoryPool(options.pool_path)) {
    return Failure(
        EOPNOTSUPP,
        "direct=always: a device pool has no backing files that could be mapped directly. "
        "Hint: use direct=auto, or make a directory pool: ingot mkfs DIR");
  }
  if (options.io_uring == Switch::kOn && !KernelOffersIoUring()) {
    return Failure(EOPNOTSUPP,
                   "io_uring=on: the kernel has it switched off. "
                   "Hint: echo Y > /sys/module/fuse/parameters/enable_uring");
  }
  if (options.threads > 1024) return Failure(EINVAL, "threads: at most 1024");
  if (options.spin_us.value_or(0) > 1'000'000) return Failure(EINVAL, "spin_us: at most 1000000");
  return {};
}

}  // namespace ingot
