// SPDX-License-Identifier: BSD-3-Clause
// What the parts of Names share: checks of names and directories, in the order and with the errors
// of the kernel's own filesystems. Private to fs/core/names_*.cc. Stateless; whatever takes an
// inode wants its lock held, shared at least. Nothing here writes.
#pragma once

#include <cstdint>
#include <string_view>

#include "fs/core/core.h"
#include "fs/format.h"
#include "pmemdev/base/result.h"

namespace ingot::names {

[[nodiscard]] constexpr bool IsDots(std::string_view name) { return name == "." || name == ".."; }

// DT_* of a file of that mode.
[[nodiscard]] constexpr uint8_t EntryType(uint32_t mode) {
  return static_cast<uint8_t>(mode >> 12 & 0xF);
}

// ENOENT: empty. ENAMETOOLONG. EINVAL: a slash or a zero byte in it.
Result<void> CheckName(std::string_view name);

// ENOTDIR.
Result<void> CheckDirectory(const media::Inode& inode);
// May names be added? ENOTDIR; ENOENT: the directory was removed; EPERM: immutable.
Result<void> CheckMayAdd(const media::Inode& directory);
// May this name be taken away? EPERM: the directory or the file is immutable or append-only.
Result<void> CheckMayRemove(const media::Inode& directory, const media::Inode& file);

// A subdirectory left `parent`, whose link its ".." was. EUCLEAN: it had none.
Result<void> UncountSubdirectory(media::Inode& parent);

// The entry, found under a short shared lock: true at some moment only. ENOENT, ENOTDIR, ESTALE.
Result<Directory::Found> FindUnlocked(Core& core, InodeNumber parent, std::string_view name);

}  // namespace ingot::names
