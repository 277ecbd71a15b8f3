// SPDX-License-Identifier: BSD-3-Clause
// Attributes: getattr, statx, setattr, readlink, statfs.
#include <sys/statvfs.h>

#include "fs/fuse/attribute_conversion.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/privileges.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

constexpr int kSetsOwner = FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
constexpr int kSaysToKill = FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID;

Result<void> Getattr(Request& request, fuse_ino_t inode, fuse_file_info*) {
  request.ReplyAttributes(TRY(request.volume().attributes().Get(InodeNumber(inode))));
  return {};
}

Result<void> Statx(Request& request, fuse_ino_t inode, int, int, fuse_file_info*) {
  request.ReplyStatx(TRY(request.volume().attributes().Get(InodeNumber(inode))));
  return {};
}

void SetTimes(AttributeChange& change, const struct stat& wanted, int set) {
  // The kernel sends ..._NOW beside the plain bit, which alone means the time that was given.
  const bool atime = (set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) != 0;
  const bool mtime = (set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) != 0;
  const bool atime_is_now = (set & FUSE_SET_ATTR_ATIME_NOW) != 0;
  const bool mtime_is_now = (set & FUSE_SET_ATTR_MTIME_NOW) != 0;
  if (atime) change.atime = atime_is_now ? CurrentTime() : ToTime(wanted.st_atim);
  if (mtime) change.mtime = mtime_is_now ? CurrentTime() : ToTime(wanted.st_mtim);
  if ((set & FUSE_SET_ATTR_CTIME) != 0) change.ctime = ToTime(wanted.st_ctim);
  change.times_are_now = atime == atime_is_now && mtime == mtime_is_now;
}

// With KILLPRIV_V2 the daemon clears set-id bits: where the request says so, whenever the owner
// changes, and if there is nothing to set at all, which is a chown(path, -1, -1) (privileges.h).
Result<bool> KillsPrivileges(Request& request, InodeNumber inode, int set) {
  if ((set & kSaysToKill) != 0) return true;
  if (set != 0 && (set & kSetsOwner) == 0) return false;
  if (set == 0 && !TRY(MayClearPrivileges(request, inode))) return false;
  // On directories the bits mean something else.
  return !S_ISDIR(TRY(request.volume().attributes().Get(inode)).mode);
}

Result<void> Setattr(Request& request, fuse_ino_t number, struct stat* wanted, int set,
                     fuse_file_info*) {
  const InodeNumber inode(number);
  AttributeChange change;
  if ((set & FUSE_SET_ATTR_MODE) != 0) change.mode = wanted->st_mode & 07777;
  if ((set & FUSE_SET_ATTR_UID) != 0) change.uid = wanted->st_uid;
  if ((set & FUSE_SET_ATTR_GID) != 0) change.gid = wanted->st_gid;
  if ((set & FUSE_SET_ATTR_SIZE) != 0) change.size_bytes = static_cast<uint64_t>(wanted->st_size);
  SetTimes(change, *wanted, set);
  if (set == 0) change.ctime = CurrentTime();  // chown(path, -1, -1) changes it
  change.kill_privileges = TRY(KillsPrivileges(request, inode, set));
  request.ReplyAttributes(TRY(request.volume().attributes().Set(inode, change)));
  return {};
}

Result<void> Readlink(Request& request, fuse_ino_t inode) {
  const InodeNumber number(inode);
  request.Target(TRY(request.volume().names().ReadLink(number)));
  request.session().TouchAtime(number);
  return {};
}

Result<void> Statfs(Request& request, fuse_ino_t) {
  const VolumeStatistics counts = request.volume().Statistics();
  struct statvfs reply {};
  reply.f_bsize = kPageSize;
  reply.f_frsize = kPageSize;
  reply.f_blocks = counts.total_bytes / kPageSize;
  reply.f_bfree = counts.free_bytes / kPageSize;
  reply.f_bavail = counts.available_bytes / kPageSize;
  reply.f_files = counts.total_inodes;
  reply.f_ffree = counts.free_inodes;
  reply.f_favail = counts.free_inodes;
  reply.f_namemax = media::kMaxNameLength;
  request.Statistics(reply);
  return {};
}

}  // namespace

void AddAttributeOperations(fuse_lowlevel_ops& operations) {
  operations.getattr = &Handler<Operation::kGetattr, &Getattr>::Call;
  operations.statx = &Handler<Operation::kStatx, &Statx>::Call;
  operations.setattr = &Handler<Operation::kSetattr, &Setattr>::Call;
  operations.readlink = &Handler<Operation::kReadlink, &Readlink>::Call;
  operations.statfs = &Handler<Operation::kStatfs, &Statfs>::Call;
}

}  // namespace ingot
