// SPDX-License-Identifier: BSD-3-Clause
// Attributes of fs/core as the kernel wants them, and how long it may keep them.
//
// Pure functions on values; nothing here touches media. The kernel never sees a time-out shorter
// than what it can know by itself, and never a longer one than is safe.
#pragma once

#include <sys/stat.h>

#include "fs/core/types.h"
#include "fs/fuse/libfuse.h"

namespace ingot {

// What programs take for their buffers: larger ones mean fewer round trips; 64 KiB is still below
// the size from which malloc maps memory anew each time.
inline constexpr uint32_t kPreferredIoBytes = 64 << 10;

// Nobody else changes the pool while it is mounted, and the kernel knows what it changed itself.
inline constexpr double kForeverSeconds = 10.0 * 365 * 86400;

// Zero for regular files whose set-id bits a write may clear: the kernel doesn't notice when the
// daemon does that, and would honour the bits it remembers at the next exec (rule B6). Zero for
// backed files, too: stores through mappings change them unseen (Session::AttributeTimeoutOf knows
// better).
[[nodiscard]] double AttributeTimeout(const Attributes& attributes);

[[nodiscard]] struct stat ToStat(const Attributes& attributes);
[[nodiscard]] struct statx ToStatx(const Attributes& attributes);
[[nodiscard]] fuse_entry_param ToEntry(const Attributes& attributes);
[[nodiscard]] struct timespec ToTimespec(Time time);
[[nodiscard]] Time ToTime(const struct timespec& time);

}  // namespace ingot
