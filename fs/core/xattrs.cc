// SPDX-License-Identifier: BSD-3-Clause
// Getting, listing, setting and removing extended attributes, and what the two ACLs mean beyond
// that.
#include "fs/core/xattrs.h"

#include <sys/stat.h>

#include <algorithm>

#include "fs/core/attributes.h"
#include "fs/core/posix_acl.h"
#include "fs/core/xattr_blob.h"

namespace ingot {
namespace {

bool IsAcl(std::string_view name) { return name == kAccessAclName || name == kDefaultAclName; }

// As xattr_permission() of the kernel, which doesn't know our flags.
Result<void> CheckChangeable(const media::Inode& inode) {
  if ((inode.flags & (media::kInodeImmutable | media::kInodeAppendOnly)) != 0) {
    return Failure(EPERM);
  }
  return {};
}

// Takes `change` over into the entries; true if they are others then.
Result<bool> ApplyTo(std::vector<XattrView>& entries, const XattrChange& change) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const XattrView& entry) {
    return entry.name == change.name;
  });
  if (!change.value) {
    if (found == entries.end()) return false;
    entries.erase(found);
    return true;
  }
  if (found == entries.end()) {
    if (change.mode == XattrSetMode::kReplace) return Failure(ENODATA);
    entries.push_back({change.name, *change.value});
    return true;
  }
  if (change.mode == XattrSetMode::kCreate) return Failure(EEXIST);
  if (std::ranges::equal(found->value, *change.value)) return false;
  found->value = *change.value;
  return true;
}

}  // namespace

Result<std::vector<std::byte>> Xattrs::Get(const media::Inode& inode,
                                           std::string_view name) const {
  if (inode.xattr_bytes == 0 && inode.xattr_page == 0) return Failure(ENODATA);
  const std::vector<std::byte> blob = TRY(LoadBlob(inode));
  for (const XattrView& entry : TRY(ParseXattrs(blob))) {
    if (entry.name == name) {
      return std::vector<std::byte>(entry.value.begin(), entry.value.end());
    }
  }
  return Failure(ENODATA);
}

Result<std::vector<std::byte>> Xattrs::Get(InodeNumber number, std::string_view name) {
  TRY(CheckXattrName(name));
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  return Get(inode, name);
}

Result<std::string> Xattrs::List(InodeNumber number) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  const std::vector<std::byte> blob = TRY(LoadBlob(inode));
  std::string names;
  for (const XattrView& entry : TRY(ParseXattrs(blob))) {
    names.append(entry.name).push_back('\0');
  }
  return names;
}

Result<bool> Xattrs::Change(Transaction& transaction, media::Inode& inode,
                            std::span<const XattrChange> changes) {
  const std::vector<std::byte> blob = TRY(LoadBlob(inode));
  std::vector<XattrView> entries = TRY(ParseXattrs(blob));
  bool differs = false;
  bool only_removals = true;
  for (const XattrChange& change : changes) {
    only_removals = only_removals && !change.value;
    if (TRY(ApplyTo(entries, change))) differs = true;
  }
  if (!differs) return false;
  // A removal must work on a full pool.
  TRY(StoreBlob(transaction, inode, EncodeXattrs(entries), only_removals));
  return true;
}

Result<bool> Xattrs::Remove(Transaction& transaction, media::Inode& inode, std::string_view name) {
  if (inode.xattr_bytes == 0 && inode.xattr_page == 0) return false;
  const XattrChange change{name, std::nullopt};
  return Change(transaction, inode, {&change, 1});
}

Result<void> Xattrs::Set(Transaction& transaction, media::Inode& inode, std::string_view name,
                         std::span<const std::byte> value, XattrSetMode mode) {
  TRY(CheckXattrName(name));
  if (value.size() > media::kMaxXattrValueSize) return Failure(ERANGE);
  const XattrChange change{name, value, mode};
  TRY(Change(transaction, inode, {&change, 1}));
  return {};
}

Result<void> Xattrs::Set(InodeNumber number, std::string_view name,
                         std::span<const std::byte> value, XattrSetMode mode,
                         bool clear_set_gid) {
  TRY(core_.CheckWritable());
  if (IsAcl(name)) return SetAcl(number, name, value, clear_set_gid);

  const ExclusiveInodeLocks lock(core_.locks, number);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  TRY(CheckChangeable(*inode));
  TRY(Set(transaction, *inode, name, value, mode));
  SetChanged(*inode, CurrentTime());
  return transaction.Commit();
}

Result<void> Xattrs::Remove(InodeNumber number, std::string_view name) {
  TRY(core_.CheckWritable());
  if (IsAcl(name)) return SetAcl(number, name, {}, false);

  TRY(CheckXattrName(name));
  const ExclusiveInodeLocks lock(core_.locks, number);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  TRY(CheckChangeable(*inode));
  if (!TRY(Remove(transaction, *inode, name))) return Failure(ENODATA);
  SetChanged(*inode, CurrentTime());
  return transaction.Commit();
}

// The order of checks and the effects are those of vfs_set_acl() and posix_acl_update_mode().
Result<void> Xattrs::SetAcl(InodeNumber number, std::string_view name,
                            std::span<const std::byte> value, bool clear_set_gid) {
  if (value.size() > media::kMaxXattrValueSize) return Failure(ERANGE);
  const std::optional<PosixAcl> acl = TRY(PosixAcl::Parse(value));

  const ExclusiveInodeLocks lock(core_.locks, number);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  TRY(CheckChangeable(*inode));
  if (S_ISLNK(inode->mode)) return Failure(EOPNOTSUPP);
  if (name == kDefaultAclName && !S_ISDIR(inode->mode)) {
    if (acl) return Failure(EACCES);
    return {};
  }

  bool keep = acl.has_value();
  bool differs = false;
  if (name == kAccessAclName && acl) {
    uint32_t mode = (inode->mode & ~uint32_t{S_IRWXU | S_IRWXG | S_IRWXO}) | acl->ModeBits();
    if (clear_set_gid) mode &= ~uint32_t{S_ISGID};
    differs = mode != inode->mode;
    inode->mode = mode;
    keep = !acl->IsEquivalentToMode();
  }
  XattrChange change{name, std::nullopt};
  if (keep) change.value = value;
  if (TRY(Change(transaction, *inode, {&change, 1}))) differs = true;
  if (!differs) return {};
  SetChanged(*inode, CurrentTime());
  return transaction.Commit();
}

}  // namespace ingot
