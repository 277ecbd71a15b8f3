// SPDX-License-Identifier: BSD-3-Clause
// Names: lookup, create, link, unlink, rename. Each is one transaction, durable on return; a crash
// leaves it done or not done, never half.
//
// Functions that return Attributes of an inode for the kernel take one lookup reference on it
// (given back by Forget). Several inodes are looked up unlocked, then locked in stripe order, then
// looked up again; if that differs, all is retried.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fs/core/core.h"
#include "fs/core/file_data.h"
#include "fs/core/orphans.h"
#include "fs/core/small_names.h"
#include "fs/core/xattrs.h"

namespace ingot {

enum RenameFlags : uint32_t {  // as <linux/fs.h>
  kRenameNoReplace = 1,
  kRenameExchange = 2,
  kRenameWhiteout = 4,
};

struct NewNode {
  uint32_t mode = 0;    // type and permissions
  uint32_t umask = 0;   // taken from the permissions, unless the parent has a default ACL
  uint64_t device = 0;  // for S_IFBLK, S_IFCHR
  std::string_view symlink_target;  // for S_IFLNK
  bool open = false;    // take an open reference as well (create, tmpfile)
  // Opened as programs do that map what they make: read-write, neither exclusively nor truncating.
  bool likely_mapped = false;
};

class Names {
 public:
  Names(Core& core, FileData& data, Xattrs& xattrs, Orphans& orphans)
      : core_(core), data_(data), xattrs_(xattrs), orphans_(orphans) {}

  // ENOENT, ENOTDIR, ENAMETOOLONG, ESTALE. "." and ".." are answered too.
  Result<Attributes> Lookup(InodeNumber parent, std::string_view name);
  // A lookup reference on a known inode (export by handle). ESTALE also if `generation` differs.
  Result<Attributes> LookupByNumber(InodeNumber inode, std::optional<uint32_t> generation);
  // Gives `count` lookup references back; an orphan that loses its last one is freed. Never
  // refused: who gives back can't do so again. Without memory to free the orphan it is left to the
  // next mount's recovery.
  void Forget(InodeNumber inode, uint64_t count) noexcept;

  // Makes a file of any type. A set-group-id parent passes on its group, and the bit to
  // directories; inherited flags and a default ACL likewise (FUSE_POSIX_ACL leaves that to the
  // filesystem; the umask comes apart from the mode with FUSE_CAP_DONT_MASK). EEXIST, ENOSPC,
  // EMLINK, EPERM (immutable parent), ENOENT (removed parent), ENAMETOOLONG (also a symlink target
  // > 4095).
  Result<Attributes> Create(InodeNumber parent, std::string_view name, const NewNode& node,
                            const Caller& caller);
  // O_TMPFILE: a regular file without a name.
  Result<Attributes> CreateUnnamed(InodeNumber parent, const NewNode& node, const Caller& caller);

  // EMLINK at kMaxLinks; EPERM: a directory, or immutable/append-only; an O_TMPFILE gets its name
  // here.
  Result<Attributes> Link(InodeNumber inode, InodeNumber new_parent, std::string_view new_name);
  Result<void> Unlink(InodeNumber parent, std::string_view name);  // EISDIR, EPERM
  Result<void> Rmdir(InodeNumber parent, std::string_view name);   // ENOTDIR, ENOTEMPTY
  // EINVAL: into its own descendant, or flags that don't go together; EEXIST, ENOTEMPTY, EISDIR,
  // ENOTDIR, EBUSY ("." and ".."). `caller` owns the whiteout.
  Result<void> Rename(InodeNumber parent, std::string_view name, InodeNumber new_parent,
                      std::string_view new_name, uint32_t flags, const Caller& caller);

  Result<std::string> ReadLink(InodeNumber inode);

  // Entries behind `cookie` ("." and ".." first, with cookies 1 and 2). Shown until `visit` has
  // enough; under the directory's lock, so it may lock no inode.
  Result<void> VisitDirectory(InodeNumber directory, uint64_t cookie, DirectoryVisitor visit);
  Result<std::vector<DirectoryEntry>> ReadDirectory(InodeNumber directory, uint64_t cookie,
                                                    size_t max_entries);

  // open(2) and release: counts the handle; the last release of an orphan frees it, as Forget().
  Result<void> Open(InodeNumber inode);
  void Release(InodeNumber inode) noexcept {
    if (DropOpen(inode)) AfterLastClose(inode);
  }
  // Its two halves: the count (true: it was the last), which takes no lock, and what follows.
  bool DropOpen(InodeNumber inode) noexcept { return core_.inodes.RemoveOpen(inode) == 0; }
  void AfterLastClose(InodeNumber inode) noexcept;

 private:
  struct RenamePlan;
  enum class Removal : uint8_t { kFile, kDirectory };

  void ReclaimIfUnreferenced(InodeNumber inode) noexcept;
  std::optional<BackingFiles::Spare> SpareFor(InodeNumber parent, std::string_view name,
                                              const NewNode& node);
  [[nodiscard]] bool IsSmallFile(const media::Inode& inode);
  static Result<void> GiveSpare(Transaction& transaction, media::Inode& inode,
                                const std::optional<BackingFiles::Spare>& spare);
  static Attributes AttributesOfNew(const media::Inode& inode,
                                    std::optional<BackingFiles::Spare>& spare);
  // Fills a new inode made by InodeTable::Allocate, but for its links.
  Result<void> FillNew(Transaction& transaction, media::Inode& inode, const media::Inode& parent,
                       const NewNode& node, const Caller& caller);
  Result<void> InheritAcl(Transaction& transaction, media::Inode& inode, const media::Inode& parent,
                          uint32_t umask);
  Result<void> Remove(InodeNumber parent, std::string_view name, Removal kind);
  // Takes a name away from the edited inode (a directory's is its last). Left over: an orphan that
  // nobody refers to, to be reclaimed without locks.
  struct LeftOver {
    bool to_reclaim = false;
  };
  Result<LeftOver> DropName(Transaction& transaction, media::Inode& inode);

  Result<RenamePlan> PlanRename(InodeNumber parent, std::string_view name, InodeNumber new_parent,
                                std::string_view new_name, uint32_t flags);
  Result<void> CheckAncestors(const RenamePlan& plan);
  Result<bool> TryRename(const RenamePlan& plan, const Caller& caller);
  Result<LeftOver> Move(Transaction& transaction, ExclusiveInodeLocks& locks,
                        const RenamePlan& plan, const Caller& caller);
  Result<void> Exchange(Transaction& transaction, const RenamePlan& plan);

  Core& core_;
  FileData& data_;
  Xattrs& xattrs_;
  Orphans& orphans_;
  SmallNames small_names_;
};

}  // namespace ingot
