// SPDX-License-Identifier: BSD-3-Clause
// What callers of fs/core see: attributes, times, who asks, mount options.
//
// Plain values: they own nothing and are safe to copy between threads. None is a media struct;
// fs/core/attributes.h makes Attributes of an inode.
#pragma once

#include <cstdint>
#include <optional>

#include "pmemdev/base/ids.h"

namespace ingot {

struct Time {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  friend auto operator<=>(const Time&, const Time&) = default;
};

// The coarse system clock, as kernel filesystems use it: one tick is one time stamp, so that many
// writes within a tick need no update of the inode.
[[nodiscard]] Time CurrentTime();

// Who asks: for ownership of new inodes and for the clearing of set-id bits. Permission checks are
// the kernel's (default_permissions).
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct Attributes {
  InodeNumber inode;
  uint32_t generation = 0;
  uint32_t mode = 0;
  uint32_t links = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t device = 0;
  uint64_t size_bytes = 0;
  uint64_t page_count = 0;  // st_blocks = 8 x this
  Time atime, mtime, ctime, birth;
  uint32_t flags = 0;  // media::InodeFlags without kInodeOrphan
  uint32_t project = 0;
  bool is_backed = false;  // contents lie in a backing file
};

// What setattr is to change; absent members stay.
struct AttributeChange {
  std::optional<uint32_t> mode;  // permission bits
  std::optional<uint32_t> uid, gid;
  std::optional<uint64_t> size_bytes;
  std::optional<Time> atime, mtime, ctime;
  // The times are "now" (utimes(NULL)), which append-only files allow as well.
  bool times_are_now = false;
  // Clear S_ISUID, S_ISGID if group-executable, and security.capability (KILLPRIV_V2).
  bool kill_privileges = false;
  // Clear S_ISGID without group execution as well: as the kernel does it since Linux 6.2 for those
  // who are not in the file's group.
  bool kill_group_id = false;
};

enum class AtimeMode : uint8_t { kRelative, kNever, kStrict };

// Files that grow beyond it get a backing file, where there are any (rule B1).
inline constexpr uint64_t kDirectFromBytes = 1 << 20;

// Which files of a directory pool get a backing file; device pools have none.
//   kAuto: those of directories with the DAX flag, those that their creator opens to map them
//   (NewNode::likely_mapped), and those that grow beyond 1 MiB
enum class DirectMode : uint8_t { kAuto, kAlways, kNever };

struct VolumeOptions {
  bool read_only = false;
  AtimeMode atime = AtimeMode::kRelative;
  bool atomic = false;  // every data write copy-on-write, whole or not at all per request
  DirectMode direct = DirectMode::kAuto;
};

}  // namespace ingot
