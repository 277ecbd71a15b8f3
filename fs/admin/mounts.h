// SPDX-License-Identifier: BSD-3-Clause
// The mounts of ingot that this process can see, from /proc/self/mountinfo.
//
// Values; a snapshot that may be stale when it is looked at. No mount is touched, so a dead daemon
// can't make this hang, except that FindMountOf asks the kernel about the path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pmemdev/base/result.h"

namespace ingot::admin {

inline constexpr std::string_view kFilesystemType = "fuse.ingot";

struct MountEntry {
  uint64_t id = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::string root;  // what of the filesystem is mounted: "/", but for binds of a directory
  std::string mountpoint;
  std::string options;        // of the mount: "rw,nosuid,..."
  std::string type;
  std::string source;
  std::string super_options;  // of the filesystem
};

// Lines of mountinfo; those that can't be parsed are left out. Octal escapes are resolved.
[[nodiscard]] std::vector<MountEntry> ParseMountInfo(std::string_view text);

// All mounts of ingot, the latest last. EACCES ...: /proc can't be read.
Result<std::vector<MountEntry>> IngotMounts();

// The ingot mount that `path` lies in, by its device number. None: it lies elsewhere.
Result<std::optional<MountEntry>> FindMountOf(const std::string& path);
// The topmost ingot mount exactly at that directory.
Result<std::optional<MountEntry>> FindMountAt(const std::string& mountpoint);
// Whether the filesystem of that mount, which may be gone, is mounted anywhere.
Result<bool> IsMountedElsewhere(const MountEntry& mount);
// A mount whose source is the pool at `path`, whatever names lead to it; of a directory pool, also
// its region.
Result<std::optional<MountEntry>> FindMountOfPool(const std::string& path);

}  // namespace ingot::admin
