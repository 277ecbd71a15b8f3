// SPDX-License-Identifier: BSD-3-Clause
// Flags are read back from mountinfo: MS_REMOUNT without them would clear them all.
#include "fs/cli/remount.h"

#include <sys/mount.h>
#include <sys/xattr.h>

#include <algorithm>

#include <fmt/format.h>

#include "fs/admin/status.h"
#include "fs/fuse/introspection.h"

namespace ingot::cli {
namespace {

struct FlagName {
  std::string_view name;
  unsigned long flag;
};
constexpr FlagName kFlagNames[] = {
    {"ro", MS_RDONLY},           {"nosuid", MS_NOSUID},     {"nodev", MS_NODEV},
    {"noexec", MS_NOEXEC},       {"noatime", MS_NOATIME},   {"nodiratime", MS_NODIRATIME},
    {"relatime", MS_RELATIME},   {"sync", MS_SYNCHRONOUS},  {"dirsync", MS_DIRSYNC},
};

unsigned long FlagsIn(std::string_view options) {
  unsigned long flags = 0;
  while (!options.empty()) {
    const size_t end = std::min(options.find(','), options.size());
    for (const FlagName& each : kFlagNames) {
      if (options.substr(0, end) == each.name) flags |= each.flag;
    }
    options.remove_prefix(std::min(end + 1, options.size()));
  }
  return flags;
}

void Change(unsigned long& flags, unsigned long flag, const std::optional<bool>& on) {
  if (on.has_value()) flags = *on ? flags | flag : flags & ~flag;
}

std::optional<bool> Not(const std::optional<bool>& value) {
  return value.has_value() ? std::optional(!*value) : std::nullopt;
}

Result<void> TellDaemon(const std::string& mountpoint, std::string_view mode) {
  const std::string name(kRemountXattr);
  if (setxattr(mountpoint.c_str(), name.c_str(), mode.data(), mode.size(), 0) == 0) return {};
  // Another user's mount may not even be looked at, a daemon may be gone: the kernel's part counts.
  for (const int harmless : {EROFS, EPERM, EACCES, ENOTSUP, ENOTCONN}) {
    if (errno == harmless) return {};
  }
  return FailureFromErrno("telling the daemon");
}

bool IsReadOnly(const admin::MountEntry& mount) {
  return ((FlagsIn(mount.options) | FlagsIn(mount.super_options)) & MS_RDONLY) != 0;
}

// What only a new mount can change must not look as if it had been changed.
Result<void> RefuseFixed(const admin::MountEntry& mount, const MountRequest& request) {
  constexpr std::string_view kFixed[] = {"atomic", "noatomic", "cache", "strictatime", "noatime"};
  const bool any = std::ranges::any_of(kFixed, [&](std::string_view name) {
    return std::ranges::find(request.given, name) != request.given.end();
  });
  if (!any) return {};
  const admin::Json status = TRY(admin::Status(mount.mountpoint));
  const auto is_running = [&](const char* key, const auto& value) {
    return !status.contains("mount") || status["mount"].value(key, value) == value;
  };
  const auto refuse = [&](std::string_view what) {
    return Failure(EINVAL, fmt::format("option '{}' can't be changed on a mounted pool. Hint: "
                                       "ingot umount {} and mount it again",
                                       what, mount.mountpoint));
  };
  const auto given = [&](std::string_view name) {
    return std::ranges::find(request.given, name) != request.given.end();
  };
  const bool atomic = request.mount.volume.atomic;
  if ((given("atomic") || given("noatomic")) && !is_running("atomic", atomic)) {
    return refuse(atomic ? "atomic" : "noatomic");
  }
  const std::string cache = request.mount.cache == CacheMode::kSmall ? "small" : "none";
  if (given("cache") && !is_running("cache", cache)) return refuse("cache=" + cache);
  if (given("strictatime") && !is_running("atime", std::string("strictatime"))) {
    return refuse("strictatime");
  }
  if (given("noatime") && !is_running("atime", std::string("noatime"))) return refuse("noatime");
  return {};
}

}  // namespace

unsigned long RemountFlags(const admin::MountEntry& mount, const MountRequest& request) {
  unsigned long flags = FlagsIn(mount.options) | FlagsIn(mount.super_options);
  Change(flags, MS_RDONLY, request.read_only);
  Change(flags, MS_NOSUID, Not(request.suid));
  Change(flags, MS_NODEV, Not(request.dev));
  Change(flags, MS_NOEXEC, Not(request.exec));
  return flags;
}

Result<void> Remount(const std::string& mountpoint, const MountRequest& request) {
  const auto mount = TRY(admin::FindMountAt(mountpoint));
  if (!mount.has_value()) {
    return Failure(EINVAL, "no ingot pool is mounted there. Hint: mount it without remount");
  }
  if (request.read_only == false) {
    const admin::Json status = TRY(admin::Status(mountpoint));
    if (status.contains("mount") && status["mount"].value("read_only", false)) {
      return Failure(EROFS, fmt::format("the pool was opened read-only. Hint: ingot umount {} and "
                                        "mount it again",
                                        mountpoint));
    }
  }
  TRY(RefuseFixed(*mount, request));
  const unsigned long flags = MS_REMOUNT | RemountFlags(*mount, request);
  // The daemon first on the way to read-only, last on the way back: an attribute can be set only
  // while the mount is writable.
  if (request.read_only == true) TRY(TellDaemon(mountpoint, "ro"));
  if (::mount(mount->source.c_str(), mount->mountpoint.c_str(), mount->type.c_str(), flags,
              nullptr) != 0) {
    const int code = errno;
    if (request.read_only == true && !IsReadOnly(*mount)) TRY(TellDaemon(mountpoint, "rw"));
    return Failure(code, "mount");
  }
  return request.read_only == false ? TellDaemon(mountpoint, "rw") : Result<void>();
}

}  // namespace ingot::cli
