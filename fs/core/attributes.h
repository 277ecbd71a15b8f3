// SPDX-License-Identifier: BSD-3-Clause
// getattr, setattr (all but size, which is FileData's), flags, privileges, times.
//
// Every change is one transaction, durable on return; a crash leaves the old or the new attributes.
// Thread-safe: locks are taken inside, except by the functions that take an inode.
#pragma once

#include "fs/core/core.h"

namespace ingot {

class FileData;
class Xattrs;

// What the inode itself says; Core::AttributesOf is what to tell others.
[[nodiscard]] Attributes StoredAttributesOf(const media::Inode& inode);
void SetModified(media::Inode& inode, Time now);  // mtime and ctime
void SetChanged(media::Inode& inode, Time now);   // ctime
// Clears S_ISUID, and S_ISGID if group-executable; true if anything changed. Directories keep them,
// for which they mean something else.
bool ClearSetIds(media::Inode& inode);

class AttributeOperations {
 public:
  AttributeOperations(Core& core, FileData& data, Xattrs& xattrs)
      : core_(core), data_(data), xattrs_(xattrs) {}

  // ESTALE: no such inode.
  Result<Attributes> Get(InodeNumber inode);
  // Applies the whole change, or nothing. EPERM: immutable or append-only. EFBIG, ENOSPC for sizes.
  // EINVAL: a time of a second's nanoseconds or more.
  // An explicit ctime is taken; else ctime is now. A size goes first, by FileData::Truncate, the
  // rest follows in a second transaction: a crash may leave the new size with the other attributes
  // old. New permissions also change an access ACL, as posix_acl_chmod does.
  Result<Attributes> Set(InodeNumber inode, const AttributeChange& change);
  // FS_IOC_SETFLAGS / FSSETXATTR: the bits of `mask` become those of `flags` (media::InodeFlags).
  // EOPNOTSUPP: a bit that can't be set on this type of file. EPERM: immutable, and to remain so.
  Result<void> SetFlags(InodeNumber inode, uint32_t mask, uint32_t flags);
  Result<void> SetProject(InodeNumber inode, uint32_t project, bool inherit);
  // After a read: updates atime by the mount's rule (relatime: older than mtime, ctime or a day).
  void TouchAtime(InodeNumber inode);

 private:
  Result<void> SetHostTimes(const media::Inode& inode, const AttributeChange& change) const;
  // True if the edited inode differs; ctime then follows.
  Result<bool> Apply(Transaction& transaction, media::Inode& inode, const AttributeChange& change);
  Result<bool> ApplyToXattrs(Transaction& transaction, media::Inode& inode,
                             const AttributeChange& change);

  Core& core_;
  FileData& data_;
  Xattrs& xattrs_;
};

}  // namespace ingot
