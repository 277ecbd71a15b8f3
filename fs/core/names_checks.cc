// SPDX-License-Identifier: BSD-3-Clause
// Errors in the order in which the kernel's own filesystems give them. Touches no media but to
// look.
#include <sys/stat.h>

#include "fs/core/names_internal.h"

namespace ingot::names {

Result<void> CheckName(std::string_view name) {
  if (name.empty()) return Failure(ENOENT);
  if (name.size() > media::kMaxNameLength) return Failure(ENAMETOOLONG);
  if (name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos) {
    return Failure(EINVAL);
  }
  return {};
}

Result<void> CheckDirectory(const media::Inode& inode) {
  if (!S_ISDIR(inode.mode)) return Failure(ENOTDIR);
  return {};
}

Result<void> CheckMayAdd(const media::Inode& directory) {
  TRY(CheckDirectory(directory));
  if (directory.links == 0) return Failure(ENOENT);
  if ((directory.flags & media::kInodeImmutable) != 0) return Failure(EPERM);
  return {};
}

Result<void> CheckMayRemove(const media::Inode& directory, const media::Inode& file) {
  constexpr uint32_t kFixed = media::kInodeImmutable | media::kInodeAppendOnly;
  if (((directory.flags | file.flags) & kFixed) != 0) return Failure(EPERM);
  return {};
}

Result<void> UncountSubdirectory(media::Inode& parent) {
  if (parent.links <= 2) return Failure(EUCLEAN, fmt::format("inode {}: links", parent.number));
  --parent.links;
  return {};
}

Result<Directory::Found> FindUnlocked(Core& core, InodeNumber parent, std::string_view name) {
  const SharedInodeLock lock(core.locks, parent);
  const media::Inode directory = TRY(core.reader.ReadInode(parent));
  TRY(CheckDirectory(directory));
  return core.directories.Find(directory, name);
}

}  // namespace ingot::names
