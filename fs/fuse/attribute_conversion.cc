// SPDX-License-Identifier: BSD-3-Clause
// Field by field; both forms of stat are filled from the same attributes.
#include "fs/fuse/attribute_conversion.h"

#include <sys/sysmacros.h>

namespace ingot {
namespace {

struct statx_timestamp ToStatxTime(Time time) {
  struct statx_timestamp result {};
  result.tv_sec = time.seconds;
  result.tv_nsec = time.nanoseconds;
  return result;
}

}  // namespace

double AttributeTimeout(const Attributes& attributes) {
  const bool set_group = (attributes.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
  const bool set_id = (attributes.mode & S_ISUID) != 0 || set_group;
  return (S_ISREG(attributes.mode) && set_id) || attributes.is_backed ? 0 : kForeverSeconds;
}

struct timespec ToTimespec(Time time) {
  struct timespec result {};
  result.tv_sec = time.seconds;
  result.tv_nsec = time.nanoseconds;
  return result;
}

Time ToTime(const struct timespec& time) {
  return Time{time.tv_sec, static_cast<uint32_t>(time.tv_nsec)};
}

struct stat ToStat(const Attributes& attributes) {
  struct stat result {};
  result.st_ino = attributes.inode.value;
  result.st_mode = attributes.mode;
  result.st_nlink = attributes.links;
  result.st_uid = attributes.uid;
  result.st_gid = attributes.gid;
  result.st_rdev = attributes.device;
  result.st_size = static_cast<off_t>(attributes.size_bytes);
  result.st_blocks = static_cast<blkcnt_t>(attributes.page_count * (kPageSize / 512));
  result.st_blksize = kPreferredIoBytes;
  result.st_atim = ToTimespec(attributes.atime);
  result.st_mtim = ToTimespec(attributes.mtime);
  result.st_ctim = ToTimespec(attributes.ctime);
  return result;
}

struct statx ToStatx(const Attributes& attributes) {
  struct statx result {};
  result.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
  result.stx_blksize = kPreferredIoBytes;
  result.stx_nlink = attributes.links;
  result.stx_uid = attributes.uid;
  result.stx_gid = attributes.gid;
  result.stx_mode = static_cast<uint16_t>(attributes.mode);
  result.stx_ino = attributes.inode.value;
  result.stx_size = attributes.size_bytes;
  result.stx_blocks = attributes.page_count * (kPageSize / 512);
  result.stx_atime = ToStatxTime(attributes.atime);
  result.stx_btime = ToStatxTime(attributes.birth);
  result.stx_ctime = ToStatxTime(attributes.ctime);
  result.stx_mtime = ToStatxTime(attributes.mtime);
  result.stx_rdev_major = major(attributes.device);
  result.stx_rdev_minor = minor(attributes.device);
  return result;
}

fuse_entry_param ToEntry(const Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = attributes.inode.value;
  entry.generation = attributes.generation;
  entry.attr = ToStat(attributes);
  entry.attr_timeout = AttributeTimeout(attributes);
  entry.entry_timeout = kForeverSeconds;
  return entry;
}

}  // namespace ingot
