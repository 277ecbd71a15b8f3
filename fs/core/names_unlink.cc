// SPDX-License-Identifier: BSD-3-Clause
// Names: unlink and rmdir. The last name goes in one transaction with the inode, if nobody refers
// to that and it is small enough; else it becomes an orphan in there.
#include <sys/stat.h>

#include <array>

#include "fs/core/attributes.h"
#include "fs/core/file_parts.h"
#include "fs/core/names.h"
#include "fs/core/names_internal.h"

namespace ingot {

Result<Names::LeftOver> Names::DropName(Transaction& transaction, media::Inode& inode) {
  const InodeNumber number(inode.number);
  if (inode.links == 0) {
    return Failure(EUCLEAN, fmt::format("inode {}: has a name but no link", number.value));
  }
  inode.links = S_ISDIR(inode.mode) ? 0 : inode.links - 1;
  SetChanged(inode, CurrentTime());
  if (inode.links > 0) return LeftOver{};
  const bool referenced = core_.inodes.IsReferenced(number);
  if (!referenced && TRY(orphans_.FreeNow(transaction, inode))) return LeftOver{};
  TRY(orphans_.Mark(transaction, inode));
  return LeftOver{.to_reclaim = !referenced};
}

// A backed file's size costs a question to the host.
bool Names::IsSmallFile(const media::Inode& inode) {
  if (core_.backing == nullptr || !S_ISREG(inode.mode)) return false;
  if (inode.body_form != media::BodyForm::kBacked) return inode.size_bytes < kDirectFromBytes;
  const Result<struct stat> status = core_.backing->Stat(inode.backing_file);
  return status && static_cast<uint64_t>(status->st_size) < kDirectFromBytes;
}

Result<void> Names::Unlink(InodeNumber parent, std::string_view name) {
  if (names::IsDots(name)) return Failure(EISDIR);
  return Remove(parent, name, Removal::kFile);
}

Result<void> Names::Rmdir(InodeNumber parent, std::string_view name) {
  if (name == ".") return Failure(EINVAL);
  if (name == "..") return Failure(ENOTEMPTY);
  return Remove(parent, name, Removal::kDirectory);
}

Result<void> Names::Remove(InodeNumber parent, std::string_view name, Removal kind) {
  TRY(core_.CheckWritable());
  TRY(names::CheckName(name));
  for (;;) {
    const InodeNumber number = TRY(names::FindUnlocked(core_, parent, name)).inode;
    LeftOver left_over;
    {
      const std::array numbers{parent, number};
      const ExclusiveInodeLocks locks(core_.locks, numbers);
      Transaction transaction(*core_.allocator, core_.reader);
      media::Inode* directory = TRY(transaction.EditInode(parent));
      TRY(names::CheckDirectory(*directory));
      if (TRY(core_.directories.Find(*directory, name)).inode != number) continue;
      media::Inode* inode = TRY(transaction.EditInode(number));
      TRY(names::CheckMayRemove(*directory, *inode));
      const bool is_directory = S_ISDIR(inode->mode);
      if (kind == Removal::kDirectory && !is_directory) return Failure(ENOTDIR);
      if (kind == Removal::kFile && is_directory) return Failure(EISDIR);
      if (is_directory && inode->entry_count != 0) return Failure(ENOTEMPTY);

      TRY(core_.directories.Erase(transaction, *directory, name));
      if (is_directory) TRY(names::UncountSubdirectory(*directory));
      SetModified(*directory, CurrentTime());
      const bool was_small = IsSmallFile(*inode);
      left_over = TRY(DropName(transaction, *inode));
      TRY(transaction.Commit());
      if (was_small) small_names_.Add(parent, name);
    }
    if (left_over.to_reclaim) ReclaimIfUnreferenced(number);
    return {};
  }
}

}  // namespace ingot
