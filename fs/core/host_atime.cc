// SPDX-License-Identifier: BSD-3-Clause
// A mount's rule is a flag of its own, not of the filesystem below.
#include "fs/core/host_atime.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

namespace ingot {
namespace {

AtimeMode RuleOf(unsigned long mount_flags) {
  if ((mount_flags & ST_NOATIME) != 0) return AtimeMode::kNever;
  return (mount_flags & ST_RELATIME) != 0 ? AtimeMode::kRelative : AtimeMode::kStrict;
}

uint64_t AttributeOf(AtimeMode rule) {
  switch (rule) {
    case AtimeMode::kNever:
      return MOUNT_ATTR_NOATIME;
    case AtimeMode::kStrict:
      return MOUNT_ATTR_STRICTATIME;
    case AtimeMode::kRelative:
      break;
  }
  return MOUNT_ATTR_RELATIME;
}

}  // namespace

Result<Descriptor> OpenWithAtimeRule(int directory, AtimeMode rule) {
  struct statvfs host {};
  if (fstatvfs(directory, &host) != 0) return FailureFromErrno("the host's mount");
  if (RuleOf(host.f_flag) == rule) return Descriptor(-1);
  const Descriptor copy(
      open_tree(directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!copy) return FailureFromErrno("a copy of the host's mount");
  struct mount_attr attributes {};
  attributes.attr_clr = MOUNT_ATTR__ATIME;
  attributes.attr_set = AttributeOf(rule);
  if (mount_setattr(copy.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0) {
    return FailureFromErrno("the access-time rule of the host's mount");
  }
  Descriptor opened(openat(copy.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return FailureFromErrno("backing/");
  return opened;
}

}  // namespace ingot
