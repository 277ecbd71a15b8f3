// SPDX-License-Identifier: BSD-3-Clause
// Host filesystems: mountinfo, a file without a name to try, and the superblock of ext4.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "fs/admin/doctor.h"
#include "fs/admin/format_host.h"
#include "fs/admin/host_claim.h"
#include "fs/admin/mounts.h"
#include "fs/core/dax_flag.h"
#include "fs/core/host_device.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/base/ids.h"

namespace ingot::admin {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The mount that a directory lies in, by its number.
std::optional<MountEntry> MountOf(const std::string& directory) {
  struct statx status {};
  if (statx(AT_FDCWD, directory.c_str(), 0, STATX_MNT_ID, &status) != 0) return std::nullopt;
  for (MountEntry& entry : ParseMountInfo(ReadText("/proc/self/mountinfo"))) {
    if (entry.id == status.stx_mnt_id) return std::move(entry);
  }
  return std::nullopt;
}

bool HasOption(const std::string& options, std::string_view wanted) {
  return ("," + options + ",").find("," + std::string(wanted) + ",") != std::string::npos;
}

Diagnosis ExamineSpace(const std::string& directory) {
  struct statvfs space {};
  if (statvfs(directory.c_str(), &space) != 0) {
    return {"space", Health::kWarning, "it can't be read", ""};
  }
  const uint64_t free_bytes = space.f_bavail * space.f_frsize;
  const std::string text = fmt::format("{} MiB are free", free_bytes >> 20);
  if (free_bytes >= 16 * kHugePageSize) return {"space", Health::kOk, text, ""};
  return {"space", Health::kWarning, text + ": few large files will fit", "df -h " + directory};
}

void ExamineTmpfs(const MountEntry& mount, Diagnoses& found) {
  const std::string shared = ReadText("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  const bool forced = shared.find("[force]") != std::string::npos;
  if (forced || HasOption(mount.super_options, "huge=always")) {
    found.push_back({"mapping", Health::kOk, "tmpfs with huge=always: 2 MiB pages of memory", ""});
  } else {
    found.push_back({"mapping", Health::kWarning,
                     "tmpfs without huge=always: mappings are of 4 KiB pages",
                     "mount -o remount,huge=always " + mount.mountpoint});
  }
  const std::string swaps = ReadText("/proc/swaps");
  const bool can_swap = std::ranges::count(swaps, '\n') > 1;
  if (can_swap && !HasOption(mount.super_options, "noswap")) {
    found.push_back({"swap", Health::kWarning,
                     "its pages may be swapped out, which splits them (no noswap)",
                     "swapoff -a, or make the tmpfs with -o huge=always,noswap"});
  }
}

// Bytes of an allocation unit of ext2-4; 0: it can't be read.
uint64_t ClusterBytesOf(const std::string& device) {
  const int fd = open(device.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::array<char, 1024> superblock{};
  const ssize_t got = pread(fd, superblock.data(), superblock.size(), 1024);
  close(fd);
  if (got != static_cast<ssize_t>(superblock.size())) return 0;
  const auto word = [&superblock](size_t at) {
    uint32_t value = 0;
    std::memcpy(&value, &superblock[at], sizeof(value));
    return value;
  };
  constexpr uint32_t kBigalloc = 0x200;
  const uint32_t shift = word((word(0x64) & kBigalloc) != 0 ? 0x1C : 0x18);
  return shift > 20 ? 0 : uint64_t{1024} << shift;
}

Diagnosis ExamineLayoutOfExt4(const std::string& device) {
  const uint64_t cluster = ClusterBytesOf(device);
  if (cluster == 0) return {"block layout", Health::kWarning, device + " can't be read", ""};
  if (cluster % kHugePageSize == 0) {
    return {"block layout", Health::kOk, "ext4 allocates whole 2 MiB pages (bigalloc)", ""};
  }
  return {"block layout", Health::kWarning,
          fmt::format("ext4 allocates pieces of {} KiB: with time, large files lie in pieces that "
                      "can't be mapped by 2 MiB pages",
                      cluster >> 10),
          "ingot mkfs --format " + device + " (destroys what is on it)"};
}

// Asked of backing/, which the hint is inherited by, or of the directory that would hold it.
Diagnosis ExamineLayoutOfXfs(const std::string& directory, const std::string& device) {
  std::string asked = directory + "/backing";
  if (access(asked.c_str(), F_OK) != 0) asked = directory;
  const int fd = open(asked.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct fsxattr attributes {};
  const bool known = fd >= 0 && ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0;
  if (fd >= 0) close(fd);
  const bool inherited = (attributes.fsx_xflags & FS_XFLAG_EXTSZINHERIT) != 0;
  if (known && inherited && attributes.fsx_extsize % kHugePageSize == 0) {
    return {"block layout", Health::kOk,
            "xfs allocates whole 2 MiB pages (extszinherit); files that are sparse, cut and grown "
            "again, or preallocated in fragmented space lose them, which ext4 of 2 MiB clusters "
            "doesn't",
            ""};
  }
  return {
      "block layout", Health::kWarning,
      "xfs has no hint to allocate whole 2 MiB pages here: large files lie in pieces that can't "
      "be mapped by them",
      fmt::format("xfs_io -c 'extsize 2m' {}; better: ingot mkfs --format --host=xfs {} "
                  "(destroys what is on it)",
                  asked, device)};
}

Diagnosis ExamineDax(const std::string& directory, const MountEntry& mount) {
  const Descriptor opened(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Result<bool> dax = NewFilesAreDax(opened.get());
  if (dax.value_or(false)) return {"mapping", Health::kOk, mount.type + " with DAX", ""};
  if (!DeviceOffersDax(mount.source)) {
    return {"mapping", Health::kWarning,
            fmt::format("{} has no DAX: mappings share the host's page cache", mount.source),
            "ndctl create-namespace -m fsdax (needs persistent memory)"};
  }
  if (!dax) return {"mapping", Health::kWarning, "no file can be made there to try", ""};
  return {"mapping", Health::kWarning, mount.type + " is mounted without dax=always",
          fmt::format("umount {0} && mount -o dax=always {1} {0}", mount.mountpoint, mount.source)};
}

}  // namespace

Diagnoses ExamineHostOf(const std::string& directory) {
  const std::optional<MountEntry> mount = MountOf(directory);
  if (!mount) {
    return {{"host", Health::kProblem, "its mount can't be found in /proc/self/mountinfo", ""}};
  }
  Diagnoses found{
      {"host", Health::kOk,
       fmt::format("{} on {}, {}", mount->type, mount->mountpoint, mount->super_options), ""}};
  if (HasOption(mount->options, "ro") || HasOption(mount->super_options, "ro")) {
    found.push_back({"access", Health::kWarning, "the host is mounted read-only",
                     "mount -o remount,rw " + mount->mountpoint});
  }
  if (mount->type == "tmpfs") {
    ExamineTmpfs(*mount, found);
  } else if (mount->type == "ext4" || mount->type == "xfs") {
    found.push_back(ExamineDax(directory, *mount));
    found.push_back(mount->type == "ext4" ? ExamineLayoutOfExt4(mount->source)
                                          : ExamineLayoutOfXfs(directory, mount->source));
  } else {
    found.push_back({"mapping", Health::kWarning,
                     mount->type + " maps no medium directly: mappings share its page cache",
                     "use ext4 or xfs with dax, or tmpfs with huge=always"});
  }
  found.push_back(ExamineSpace(directory));
  return found;
}

Diagnoses ExamineDevice(const std::string& device) {
  Diagnoses found;
  const auto host = ReadHostDevice(device);
  if (!host) {
    return {{"device", Health::kProblem, Describe(host.error()), "ls -l " + device}};
  }
  if (*host && (*host)->has_pool()) {
    found.push_back({"device", Health::kOk,
                     fmt::format("prepared for a pool, {} below", NameOf((*host)->kind)), ""});
    if ((*host)->kind == HostKind::kExt4) found.push_back(ExamineLayoutOfExt4(device));
  } else {
    const std::string mountpoint = MountpointOfDevice(device);
    found.push_back(
        {"device", Health::kProblem,
         mountpoint.empty() ? "not prepared for a pool"
                            : "mounted at " + mountpoint + ", so it is no pool's",
         mountpoint.empty() ? "ingot mkfs --format " + device : "ingot doctor " + mountpoint});
  }
  if (DeviceOffersDax(device)) {
    found.push_back({"mapping", Health::kOk, "the device has DAX", ""});
  } else {
    found.push_back({"mapping", Health::kWarning,
                     "the device has no DAX: mappings share the host's page cache",
                     "ndctl create-namespace -m fsdax (needs persistent memory)"});
  }
  if (const uint64_t start = DeviceStartBytes(device); start % kHugePageSize != 0) {
    found.push_back({"alignment", Health::kWarning,
                     fmt::format("the partition begins at byte {}, no multiple of 2 MiB", start),
                     "parted -a none DISK mkpart pool 2MiB 100% (destroys what is on it)"});
  }
  return found;
}

}  // namespace ingot::admin
