// SPDX-License-Identifier: BSD-3-Clause
// What can be chosen about a mount.
//
// Plain values, checked by ValidateMountOptions; the defaults are those of `ingot mount POOL
// DIR`. fs/cli fills them from the words of mount(8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/core/types.h"
#include "pmemdev/base/log.h"
#include "pmemdev/base/result.h"
#include "pmemdev/device.h"

namespace ingot {

// What the kernel may keep of regular files besides their attributes. Data lies in memory
// already, so the default is nothing: each read comes from the medium. kSmall: contents of small
// files stay in the page cache, which saves the round trip of reading them again.
enum class CacheMode : uint8_t { kNone, kSmall };
enum class Switch : uint8_t { kAuto, kOn, kOff };

struct MountOptions {
  std::string pool_path;
  std::string mountpoint;
  std::string source_name;  // first column of /proc/mounts; empty: pool_path

  VolumeOptions volume;  // read-only, atime, atomic
  PageArrayChoice page_array = PageArrayChoice::kAuto;
  uint64_t page_array_budget_bytes = DeviceOptions{}.page_array_budget_bytes;  // in DRAM

  bool allow_other = false;
  bool suid = false;  // honour set-id bits; libfuse's default is not to, even for root
  bool dev = false;   // honour device nodes; likewise
  bool exec = true;
  bool nonempty = false;  // the mount point may hold files, which the mount then hides
  // Further options for the kernel or libfuse, passed on as they are ("dirsync", "context=...").
  std::vector<std::string> extra;

  CacheMode cache = CacheMode::kNone;
  Switch io_uring = Switch::kAuto;
  uint32_t threads = 0;  // at most so many serve requests; 0: by the number of CPUs
  // Look for the next request so long before going to sleep. Nothing: some 20 us where there is
  // more than one CPU, given up for a while when it finds nothing.
  std::optional<uint32_t> spin_us;

  bool foreground = false;
  std::string log_file;  // empty: standard error, which a daemon has only until it is ready
  log::Level log_level = log::Level::kWarning;
};

// EINVAL, EOPNOTSUPP, ENOTDIR, ENOENT ...: "reason. Hint: what to do" for people.
[[nodiscard]] Result<void> ValidateMountOptions(const MountOptions& options);

// True if the kernel's fuse module was told to offer io_uring.
[[nodiscard]] bool KernelOffersIoUring();

}  // namespace ingot
