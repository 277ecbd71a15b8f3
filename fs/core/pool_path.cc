// SPDX-License-Identifier: BSD-3-Clause
// stat(2) and comparisons. Links to directories are followed; a region is never a link, so that it
// shares its host with the files beside it.
#include "fs/core/pool_path.h"

#include <sys/stat.h>

#include <filesystem>

#include <fmt/format.h>

namespace ingot {
namespace {

std::string RegionOf(const std::string& directory) {
  return directory + (directory.ends_with('/') ? "" : "/") + PoolPath::kRegionName;
}

bool IsSameFile(const struct stat& a, const struct stat& b) {
  const bool are_devices = S_ISCHR(a.st_mode) || S_ISBLK(a.st_mode);
  if (are_devices && (a.st_mode & S_IFMT) == (b.st_mode & S_IFMT)) return a.st_rdev == b.st_rdev;
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// The region of `directory`, if it is a directory, is `file`.
bool IsRegionOf(const std::string& directory, const struct stat& status, const struct stat& file) {
  struct stat region {};
  return S_ISDIR(status.st_mode) && S_ISREG(file.st_mode) &&
         lstat(RegionOf(directory).c_str(), &region) == 0 && IsSameFile(region, file);
}

Result<PoolPath> ResolveDirectory(const std::string& path) {
  PoolPath pool{RegionOf(path), path};
  struct stat status {};
  if (lstat(pool.region.c_str(), &status) != 0) {
    if (errno != ENOENT) return FailureFromErrno(pool.region);
    const std::string backing = path + "/" + BackingDirectory::kName;
    if (lstat(backing.c_str(), &status) == 0) {
      return Failure(ENOENT,
                     fmt::format("its region is missing, but not '{}', where the large files are. "
                                 "Hint: restore the region from a copy; or, if a mkfs was "
                                 "interrupted, ingot mkfs --force {}",
                                 backing, path));
    }
    return Failure(ENOENT,
                   fmt::format("there is no pool in this directory. Hint: ingot mkfs {}", path));
  }
  if (!S_ISREG(status.st_mode)) {
    return Failure(
        EINVAL, fmt::format("'{}' is no regular file, so this is no directory pool", pool.region));
  }
  return pool;
}

Result<PoolPath> ResolveBlockDevice(const std::string& path, HostUse use) {
  const std::optional<HostDevice> found = TRY(ReadHostDevice(path));
  if (!found) {
    return Failure(
        EINVAL, fmt::format("no filesystem that could hold a pool is on this block device. Hint: "
                            "if there was one, e2fsck or xfs_repair may find it; else ingot mkfs "
                            "--format {}",
                            path));
  }
  if (!found->has_pool()) {
    const char* const relabel =
        found->kind == HostKind::kExt4 ? "e2label {1} {2}" : "xfs_admin -L {2} {1}";
    return Failure(EINVAL,
                   fmt::format("it holds an {0} filesystem that isn't labelled as a pool's. Hint: "
                               "if it is one, {3}; else ingot mkfs --format {1}",
                               NameOf(found->kind), path, kHostLabel,
                               fmt::format(fmt::runtime(relabel), "", path, kHostLabel)));
  }
  auto host = std::make_shared<HostMount>(
      TRY(HostMount::Open(path, found->kind, use, DeviceOffersDax(path))));
  Result<PoolPath> pool = ResolveDirectory(host->path());
  if (!pool) {
    return Failure(pool.error_code(),
                   "the region of its pool is missing. Hint: restore it from a copy, or begin "
                   "anew: ingot mkfs --format --force " +
                       path);
  }
  pool->host = std::move(host);
  return pool;
}

}  // namespace

Result<PoolPath> ResolvePool(const std::string& path, HostUse use) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return PoolPath{path, {}};
  if (S_ISDIR(status.st_mode)) return ResolveDirectory(path);
  if (S_ISBLK(status.st_mode)) return ResolveBlockDevice(path, use);
  return PoolPath{path, {}};
}

bool IsSamePool(const std::string& one, const std::string& other) {
  if (one == other) return true;
  struct stat a {
  }, b{};
  if (stat(one.c_str(), &a) != 0 || stat(other.c_str(), &b) != 0) return false;
  return IsSameFile(a, b) || IsRegionOf(one, a, b) || IsRegionOf(other, b, a);
}

Result<void> CheckMountpointOf(const PoolPath& pool, const std::string& mountpoint) {
  struct stat point {};
  if (pool.directory.empty() || pool.host != nullptr || stat(mountpoint.c_str(), &point) != 0)
    return {};
  std::error_code error;
  std::filesystem::path hidden = std::filesystem::canonical(pool.directory, error);
  if (error) return Failure(error.value(), pool.directory);
  // From backing/ upwards: the root is its own parent.
  hidden /= BackingDirectory::kName;
  for (bool is_root = false; !is_root; hidden = hidden.parent_path()) {
    is_root = hidden == hidden.parent_path();
    struct stat status {};
    if (stat(hidden.c_str(), &status) != 0 || !IsSameFile(status, point)) continue;
    return Failure(EINVAL, fmt::format("a mount on '{}' would hide the pool itself. Hint: mount it "
                                       "on a directory elsewhere: mkdir -p /mnt/ingot && ingot "
                                       "mount {} /mnt/ingot",
                                       mountpoint, pool.directory));
  }
  return {};
}

Result<void> CheckPoolKind(const PoolPath& pool, const media::Superblock& superblock) {
  const bool is_directory_pool =
      (superblock.features_incompatible & media::kFeatureDirectoryPool) != 0;
  if (is_directory_pool && pool.directory.empty()) {
    return Failure(EINVAL, "it is the region of a directory pool. Hint: name the directory");
  }
  if (!is_directory_pool && !pool.directory.empty()) {
    return Failure(EINVAL, fmt::format("the directory holds a device pool. Hint: name its file, {}",
                                       pool.region));
  }
  return {};
}

Result<std::unique_ptr<BackingDirectory>> OpenBackingDirectory(const PoolPath& pool,
                                                               const media::Superblock& superblock,
                                                               bool read_only) {
  TRY(CheckPoolKind(pool, superblock));
  if (pool.directory.empty()) return nullptr;
  return BackingDirectory::Open(pool.directory, superblock.uuid, read_only);
}

}  // namespace ingot
