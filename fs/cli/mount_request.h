// SPDX-License-Identifier: BSD-3-Clause
// Mount options as mount(8), fstab and people write them ("rw,noatime,cache=small"), to
// MountOptions.
//
// Pure functions. What is mount(8)'s own business is swallowed: tables in the source.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/fuse/mount_options.h"
#include "pmemdev/base/result.h"

namespace ingot::cli {

struct MountRequest {
  MountOptions mount;
  bool remount = false;
  // Said explicitly, which a remount has to know.
  std::optional<bool> read_only;
  std::optional<bool> suid, dev, exec;
  std::vector<std::string> given;  // every option by name
  bool nofail = false;
  bool uses_source = false;          // fsname= or source= chose the first column of /proc/mounts
  std::vector<std::string> ignored;  // unknown options that `sloppy` let pass
};

// Adds comma-separated options to `request`; the later one of two that contradict wins. EINVAL:
// unknown, with the nearest known one as a hint, or a bad value. `sloppy` (mount -s) tolerates
// unknown ones.
Result<void> ParseMountOptions(std::string_view text, bool sloppy, MountRequest& request);

// Every option name that is understood, for suggestions and completion.
[[nodiscard]] std::vector<std::string> KnownMountOptions();

}  // namespace ingot::cli
