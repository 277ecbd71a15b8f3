// SPDX-License-Identifier: BSD-3-Clause
// Attributes: reading them, and the one transaction that changes them.
#include "fs/core/attributes.h"

#include <sys/stat.h>

#include "fs/core/file_data.h"
#include "fs/core/posix_acl.h"
#include "fs/core/xattrs.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

constexpr uint32_t kPermissionBits = 07777;
constexpr int64_t kSecondsPerDay = 86400;

constexpr uint32_t kDirectoryOnlyFlags = media::kInodeDirSync | media::kInodeProjectInherit;
constexpr uint32_t kOtherTypesFlags = media::kInodeNoDump | media::kInodeNoAtime;
constexpr uint32_t kUserFlags =
    media::kInodeImmutable | media::kInodeAppendOnly | media::kInodeNoAtime | media::kInodeNoDump |
    media::kInodeSync | media::kInodeDirSync | media::kInodeDax | media::kInodeAtomic |
    media::kInodeProjectInherit;

// The flags that a file of this type may have, as ext4_mask_flags().
uint32_t SettableFlags(uint32_t mode) {
  if (S_ISDIR(mode)) return kUserFlags;
  if (S_ISREG(mode)) return kUserFlags & ~kDirectoryOnlyFlags;
  return kOtherTypesFlags;
}

bool ChangesTimes(const AttributeChange& change) { return change.atime || change.mtime; }

// The kernel has checked them; kept, they would make the inode invalid.
Result<void> CheckTimes(const AttributeChange& change) {
  constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
  for (const std::optional<Time>& time : {change.atime, change.mtime, change.ctime}) {
    if (time && time->nanoseconds >= kNanosecondsPerSecond) return Failure(EINVAL);
  }
  return {};
}

// As may_setattr() and setattr_prepare() of the kernel, which doesn't know our flags.
Result<void> CheckAllowed(const media::Inode& inode, const AttributeChange& change) {
  const bool immutable = (inode.flags & media::kInodeImmutable) != 0;
  const bool append_only = (inode.flags & media::kInodeAppendOnly) != 0;
  if (!immutable && !append_only) return {};
  const bool owner_or_mode = change.mode || change.uid || change.gid;
  const bool any_time = ChangesTimes(change);
  if (owner_or_mode || change.size_bytes) return Failure(EPERM);
  if (any_time && (immutable || !change.times_are_now)) return Failure(EPERM);
  return {};
}

template <typename T>
bool Assign(T& to, const std::optional<T>& from) {
  if (!from || to == *from) return false;
  to = *from;
  return true;
}

bool AssignTime(int64_t& seconds, uint32_t& nanoseconds, const std::optional<Time>& from) {
  if (!from || (seconds == from->seconds && nanoseconds == from->nanoseconds)) return false;
  seconds = from->seconds;
  nanoseconds = from->nanoseconds;
  return true;
}

}  // namespace

Attributes StoredAttributesOf(const media::Inode& inode) {
  return Attributes{
      .inode = InodeNumber(inode.number),
      .generation = inode.generation,
      .mode = inode.mode,
      .links = inode.links,
      .uid = inode.uid,
      .gid = inode.gid,
      .device = inode.device,
      .size_bytes = inode.size_bytes,
      .page_count = inode.page_count,
      .atime = {inode.atime_seconds, inode.atime_nanoseconds},
      .mtime = {inode.mtime_seconds, inode.mtime_nanoseconds},
      .ctime = {inode.ctime_seconds, inode.ctime_nanoseconds},
      .birth = {inode.birth_seconds, inode.birth_nanoseconds},
      .flags = inode.flags & ~uint32_t{media::kInodeInternalFlags},
      .project = inode.project,
  };
}

void SetChanged(media::Inode& inode, Time now) {
  inode.ctime_seconds = now.seconds;
  inode.ctime_nanoseconds = now.nanoseconds;
}

void SetModified(media::Inode& inode, Time now) {
  inode.mtime_seconds = now.seconds;
  inode.mtime_nanoseconds = now.nanoseconds;
  SetChanged(inode, now);
}

bool ClearSetIds(media::Inode& inode) {
  if (S_ISDIR(inode.mode)) return false;
  uint32_t mode = inode.mode & ~uint32_t{S_ISUID};
  // Without group execution S_ISGID never gave anybody a group.
  if ((mode & S_IXGRP) != 0) mode &= ~uint32_t{S_ISGID};
  const bool differs = mode != inode.mode;
  inode.mode = mode;
  return differs;
}

Result<Attributes> AttributeOperations::Get(InodeNumber number) {
  const SharedInodeLock lock(core_.locks, number);
  return core_.AttributesOf(TRY(core_.reader.ReadInodeHead(number)));
}

Result<Attributes> AttributeOperations::Set(InodeNumber number, const AttributeChange& change) {
  TRY(core_.CheckWritable());
  TRY(CheckTimes(change));
  if (change.size_bytes) {
    {
      const SharedInodeLock lock(core_.locks, number);
      const media::Inode inode = TRY(core_.reader.ReadInode(number));
      TRY(CheckAllowed(inode, change));
    }
    TRY(data_.Truncate(number, *change.size_bytes, change.kill_privileges));
    // (Truncate has killed the privileges, too.)
    const bool rest =
        change.mode || change.uid || change.gid || ChangesTimes(change) || change.ctime;
    if (!rest) return Get(number);
  }
  AttributeChange others = change;
  others.size_bytes.reset();

  const ExclusiveInodeLocks lock(core_.locks, number);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  TRY(CheckAllowed(*inode, others));
  TRY(SetHostTimes(*inode, others));
  if (TRY(Apply(transaction, *inode, others))) TRY(transaction.Commit());
  return core_.AttributesOf(*inode);
}

// Before ours: an error of the host must leave the rest as it was.
Result<void> AttributeOperations::SetHostTimes(const media::Inode& inode,
                                               const AttributeChange& change) const {
  if (inode.body_form != media::BodyForm::kBacked || !ChangesTimes(change)) return {};
  const auto time_of = [](const std::optional<Time>& time) {
    struct timespec result {};
    result.tv_sec = time ? time->seconds : 0;
    result.tv_nsec = time ? static_cast<long>(time->nanoseconds) : UTIME_OMIT;
    return result;
  };
  const auto file = TRY(core_.FileOf(inode));
  return file->SetTimes(time_of(change.atime), time_of(change.mtime));
}

Result<bool> AttributeOperations::Apply(Transaction& transaction, media::Inode& inode,
                                        const AttributeChange& change) {
  // A chmod to the same mode or a chown to the same owner changes ctime all the same (POSIX).
  bool differs = change.mode || change.uid || change.gid || ChangesTimes(change);
  if (change.mode) inode.mode = (inode.mode & S_IFMT) | (*change.mode & kPermissionBits);
  if (change.kill_privileges && ClearSetIds(inode)) differs = true;
  if (change.kill_group_id && S_ISREG(inode.mode) && (inode.mode & S_ISGID) != 0) {
    inode.mode &= ~uint32_t{S_ISGID};
    differs = true;
  }
  Assign(inode.uid, change.uid);
  Assign(inode.gid, change.gid);
  AssignTime(inode.atime_seconds, inode.atime_nanoseconds, change.atime);
  AssignTime(inode.mtime_seconds, inode.mtime_nanoseconds, change.mtime);
  if (TRY(ApplyToXattrs(transaction, inode, change))) differs = true;
  if (differs) SetChanged(inode, CurrentTime());
  if (AssignTime(inode.ctime_seconds, inode.ctime_nanoseconds, change.ctime)) differs = true;
  return differs;
}

// What chmod means for an access ACL, and lost privileges for capabilities: one new blob for both.
Result<bool> AttributeOperations::ApplyToXattrs(Transaction& transaction, media::Inode& inode,
                                                const AttributeChange& change) {
  if (inode.xattr_bytes == 0 && inode.xattr_page == 0) return false;
  absl::InlinedVector<XattrChange, 2> changes;
  if (change.kill_privileges && S_ISREG(inode.mode)) {
    changes.push_back({kCapabilityName, std::nullopt});
  }
  std::vector<std::byte> encoded;
  if (change.mode && !S_ISLNK(inode.mode)) {
    const Result<std::vector<std::byte>> value = xattrs_.Get(inode, kAccessAclName);
    if (!value && value.error_code() != ENODATA) return tl::unexpected<Error>(value.error());
    std::optional<PosixAcl> acl;
    if (value) acl = TRY(PosixAcl::Parse(*value));
    if (acl) {
      acl->ApplyMode(inode.mode);
      encoded = acl->Encode();
      changes.push_back({kAccessAclName, std::span<const std::byte>(encoded)});
    }
  }
  return xattrs_.Change(transaction, inode, changes);
}

Result<void> AttributeOperations::SetFlags(InodeNumber number, uint32_t mask, uint32_t flags) {
  TRY(core_.CheckWritable());
  const ExclusiveInodeLocks lock(core_.locks, number);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  const uint32_t settable = SettableFlags(inode->mode);
  if ((mask & flags & ~settable) != 0) return Failure(EOPNOTSUPP);
  const uint32_t taken = mask & settable;
  const uint32_t after = (inode->flags & ~taken) | (flags & taken);
  if (after == inode->flags) return {};
  if ((inode->flags & after & media::kInodeImmutable) != 0) return Failure(EPERM);
  const bool is_backed = inode->body_form == media::BodyForm::kBacked;
  if (is_backed && (after & media::kInodeAtomic) != 0) {
    return Failure(EOPNOTSUPP, "a backed file can't be atomic");
  }
  // Without the wish for it a short file may go back into extents.
  const bool lost_dax = (inode->flags & ~after & media::kInodeDax) != 0;
  inode->flags = after;
  if (is_backed && lost_dax) TRY(transaction.MarkToRecover(*inode, media::kInodeMayDemote));
  SetChanged(*inode, CurrentTime());
  return transaction.Commit();
}

Result<void> AttributeOperations::SetProject(InodeNumber number, uint32_t project, bool inherit) {
  TRY(core_.CheckWritable());
  const ExclusiveInodeLocks lock(core_.locks, number);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  if (inherit && !S_ISDIR(inode->mode)) return Failure(EOPNOTSUPP);
  const uint32_t inherited = inherit ? uint32_t{media::kInodeProjectInherit} : 0;
  const uint32_t flags = (inode->flags & ~uint32_t{media::kInodeProjectInherit}) | inherited;
  if (inode->project == project && inode->flags == flags) return {};
  if ((inode->flags & media::kInodeImmutable) != 0) return Failure(EPERM);
  inode->project = project;
  inode->flags = flags;
  SetChanged(*inode, CurrentTime());
  return transaction.Commit();
}

void AttributeOperations::TouchAtime(InodeNumber number) {
  const AtimeMode rule = core_.options.atime;
  if (rule == AtimeMode::kNever || !core_.CheckWritable()) return;
  const Time now = CurrentTime();
  const auto is_due = [&](const media::Inode& inode) {
    if ((inode.flags & media::kInodeNoAtime) != 0) return false;
    if (inode.body_form == media::BodyForm::kBacked) return false;  // the host's business
    const Attributes old = StoredAttributesOf(inode);
    if (rule == AtimeMode::kStrict) return old.atime != now;
    return old.atime <= old.mtime || old.atime <= old.ctime ||
           now.seconds - old.atime.seconds >= kSecondsPerDay;
  };
  const auto touch = [&]() -> Result<void> {
    {
      const SharedInodeLock lock(core_.locks, number);
      if (!is_due(TRY(core_.reader.ReadInodeHead(number)))) return {};
    }
    const ExclusiveInodeLocks lock(core_.locks, number);
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode* inode = TRY(transaction.EditInode(number));
    if (!is_due(*inode)) return {};
    inode->atime_seconds = now.seconds;
    inode->atime_nanoseconds = now.nanoseconds;
    return transaction.Commit();
  };
  // The read itself was fine: nobody is to fail for a time stamp.
  if (const Result<void> touched = NoThrow(touch); !touched) {
    log::Debug("event=touch_atime inode={} error={} reason=\"{}\"", number.value,
               ErrnoName(touched.error().code), touched.error().context);
  }
}

}  // namespace ingot
