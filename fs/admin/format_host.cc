// SPDX-License-Identifier: BSD-3-Clause
// Which options keep a host's allocations whole was found by experiment: docs/backed-files.md.
#include "fs/admin/format_host.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fmt/format.h>

#include "fs/admin/host_claim.h"
#include "fs/admin/run_program.h"
#include "fs/admin/signature.h"
#include "pmemdev/superblock.h"

namespace ingot::admin {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Below, the host's own tables and journal leave no room for files (mkfs.xfs wants a log of 64
// MiB).
uint64_t MinSizeOf(HostKind kind) {
  return (kind == HostKind::kExt4 ? 64 : 1024) * kMiB;
}

Result<void> CheckDevice(const FormatHostOptions& options, uint64_t size_bytes) {
  const std::string& device = options.pool.path;
  if (size_bytes < MinSizeOf(options.kind)) {
    return Failure(
        ENOSPC, fmt::format("{} MiB are too few, a pool on {} has at least {} MiB{}",
                            size_bytes / kMiB, NameOf(options.kind), MinSizeOf(options.kind) / kMiB,
                            options.kind == HostKind::kXfs ? ". Hint: --host=ext4" : ""));
  }
  if (!options.need_dax) return {};
  if (!DeviceOffersDax(device)) {
    return Failure(ENOTSUP,
                   fmt::format("the device can't be mapped directly (no DAX). Hint: ndctl "
                               "create-namespace -m fsdax makes one that can; or do without: "
                               "ingot mkfs --format --no-dax {}",
                               device));
  }
  const uint64_t start = DeviceStartBytes(device);
  if (start % kHugePageSize == 0) return {};
  return Failure(ENOTSUP, fmt::format("the partition begins at byte {}, which is no multiple of 2 "
                                      "MiB: nothing on it could be mapped in whole 2 MiB pages. "
                                      "Hint: parted -a none DISK mkpart pool 2MiB 100%; or do "
                                      "without: --no-dax",
                                      start));
}

Result<void> RefuseOldContent(const HostClaim& claim, const FormatHostOptions& options) {
  if (options.pool.force) return {};
  std::optional<std::string> content = TRY(FindDeviceContent(claim.fd(), claim.size_bytes()));
  if (!content) return {};
  const auto host = ReadHostDevice(options.pool.path);
  if (host && *host && (*host)->has_pool()) content = "an ingot pool (" + (*host)->uuid + ")";
  return Failure(EEXIST, fmt::format("it holds {}. Hint: --force destroys that", *content));
}

// One inode for each 2 MiB, which the smallest large file takes, and some for what is being made
// and deleted. No reserve for root, no tables that are kept for a growth. All tables are written
// now: what the kernel wrote later would compete with the first files.
std::vector<std::string> Ext4Arguments(uint64_t size_bytes, const std::string& uuid) {
  const uint64_t inodes = size_bytes / kHugePageSize + 128;
  return {"-F", "-q",
          "-b", "4096",
          "-I", "256",
          "-O", "bigalloc,^resize_inode",
          "-C", "2M",
          "-m", "0",
          "-N", std::to_string(inodes),
          "-U", uuid,
          "-E", "lazy_itable_init=0,lazy_journal_init=0"};
}

// The log's own stripe unit can't be so large; said, mkfs.xfs doesn't complain.
std::vector<std::string> XfsArguments(const std::string& uuid) {
  return {"-f", "-q",     "-d", "su=2m,sw=1,extszinherit=512",
          "-l", "su=32k", "-m", "reflink=0,uuid=" + uuid};
}

Result<std::string> FindMkfs(HostKind kind) {
  return kind == HostKind::kExt4 ? FindProgram("mkfs.ext4", "e2fsprogs")
                                 : FindProgram("mkfs.xfs", "xfsprogs");
}

Result<void> RunMkfs(const std::string& program, const FormatHostOptions& options,
                     uint64_t size_bytes, const std::string& uuid) {
  std::vector<std::string> arguments =
      options.kind == HostKind::kExt4 ? Ext4Arguments(size_bytes, uuid) : XfsArguments(uuid);
  arguments.insert(arguments.begin(), program);
  arguments.push_back(options.pool.path);
  const ProgramEnd end = TRY(RunProgram(arguments));
  if (end.exit_code == 0) return {};
  return Failure(EIO, fmt::format("{} failed: {}", program, end.LastLine()));
}

Result<MadePool> MakePoolIn(const HostMount& host, const MakePoolOptions& options,
                            const media::Uuid& uuid) {
  MakePoolOptions inside = options;
  inside.path = host.path();
  inside.uuid = uuid;
  inside.force = false;
  return MakePool(inside);
}

Result<void> SyncHost(int root) {
  return syncfs(root) == 0 ? Result<void>() : FailureFromErrno("syncfs");
}

// From here on it is a pool.
Result<void> SetLabel(const HostMount& host) {
  // The mount's own descriptor is one of a path only.
  const int root = open(host.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return FailureFromErrno("its root directory");
  const Result<void> set = [root]() -> Result<void> {
    TRY(SyncHost(root));
    char label[FSLABEL_MAX] = {};
    std::strncpy(label, kHostLabel, sizeof(label) - 1);
    if (ioctl(root, FS_IOC_SETFSLABEL, label) != 0) return FailureFromErrno("setting the label");
    return SyncHost(root);
  }();
  close(root);
  return set;
}

}  // namespace

uint64_t DeviceStartBytes(const std::string& device) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return 0;
  std::ifstream file(
      fmt::format("/sys/dev/block/{}:{}/start", major(status.st_rdev), minor(status.st_rdev)));
  uint64_t sectors = 0;
  return file >> sectors ? sectors * 512 : 0;
}

// By its own name: a link in /dev/disk may point elsewhere once the old content is gone.
Result<FormattedHost> FormatHost(const FormatHostOptions& named) {
  FormatHostOptions options = named;
  std::error_code error;
  options.pool.path = std::filesystem::canonical(named.pool.path, error);
  if (error) return Failure(error.value(), named.pool.path);
  const std::string& device = options.pool.path;
  TRY(CheckHostMountable(options.kind));
  TRY(CheckLabel(options.pool.label));
  if (options.pool.size_bytes) TRY(CheckPoolSize(*options.pool.size_bytes));
  const std::string program = TRY(FindMkfs(options.kind));
  uint64_t size_bytes = 0;
  {
    const HostClaim claim = TRY(HostClaim::Take(device));
    size_bytes = claim.size_bytes();
    TRY(CheckDevice(options, size_bytes));
    TRY(RefuseOldContent(claim, options));
    TRY(WipeSignatures(claim.fd()));
  }
  media::Uuid uuid = options.pool.uuid;
  if (uuid == media::Uuid{}) uuid = TRY(RandomUuid());
  TRY(RunMkfs(program, options, size_bytes, FormatUuid(uuid)));
  FormattedHost formatted;
  formatted.dax = DeviceOffersDax(device);
  const HostMount host = TRY(HostMount::OpenNew(device, options.kind, formatted.dax));
  formatted.pool = TRY(MakePoolIn(host, options.pool, uuid));
  TRY(SetLabel(host));
  return formatted;
}

}  // namespace ingot::admin
