// SPDX-License-Identifier: BSD-3-Clause
// O_EXCL on a block device, which the kernel's own users set, too.
#include "fs/admin/host_claim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "fs/admin/mounts.h"
#include "fs/admin/signature.h"
#include "fs/core/host_device.h"

namespace ingot::admin {
namespace {

constexpr std::chrono::milliseconds kPollEvery{20};

bool IsPrepared(const std::string& device) {
  const auto found = ReadHostDevice(device);
  return found && *found && (*found)->has_pool();
}

tl::unexpected<Error> Busy(const std::string& device, const std::string& mountpoint) {
  if (mountpoint.empty()) {
    return Failure(EBUSY,
                   fmt::format("it is in use: swap, LVM, RAID, a mount in another namespace, "
                               "or files that are still open from a mount whose daemon was "
                               "killed. Hint: lsblk {}",
                               device));
  }
  return Failure(EBUSY, fmt::format("it is mounted at {0}. Hint: umount {0}", mountpoint));
}

}  // namespace

std::string MountpointOfDevice(const std::string& device) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0) return {};
  if (const auto mount = FindMountOfPool(device); mount && *mount) return (*mount)->mountpoint;
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  for (const MountEntry& entry : ParseMountInfo(text.str())) {
    if (makedev(entry.device_major, entry.device_minor) == status.st_rdev) return entry.mountpoint;
  }
  return {};
}

Result<HostClaim> HostClaim::Take(const std::string& device, bool read_only,
                                  std::chrono::milliseconds wait) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0) return FailureFromErrno(device);
  if (!S_ISBLK(status.st_mode)) return Failure(EINVAL, "it is no block device");
  // One on top of it claims nothing.
  if (const std::optional<std::string> loop = FindLoopDevice(device)) {
    return Failure(EBUSY, fmt::format("it is in use by {0}. Hint: losetup -d {0}", *loop));
  }
  const int flags = (read_only ? O_RDONLY : O_RDWR) | O_EXCL | O_CLOEXEC;
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const int fd = open(device.c_str(), flags);
    if (fd >= 0) {
      const off_t size = lseek(fd, 0, SEEK_END);
      HostClaim claim(fd, size < 0 ? 0 : static_cast<uint64_t>(size));
      if (size < 0) return FailureFromErrno("its size");
      return claim;
    }
    if (errno != EBUSY) return FailureFromErrno(device);
    const std::string mountpoint = MountpointOfDevice(device);
    const bool may_pass = mountpoint.empty() && IsPrepared(device);
    if (!may_pass || std::chrono::steady_clock::now() >= end) return Busy(device, mountpoint);
    std::this_thread::sleep_for(kPollEvery);
  }
}

HostClaim::~HostClaim() {
  if (fd_ >= 0) close(fd_);
}

HostClaim::HostClaim(HostClaim&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_bytes_(other.size_bytes_) {}

}  // namespace ingot::admin
