// SPDX-License-Identifier: BSD-3-Clause
// The groups joined, and what is left out on purpose.
#include "fs/fuse/operations.h"

namespace ingot {

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops operations{};
  AddNameOperations(operations);
  AddCreationOperations(operations);
  AddAttributeOperations(operations);
  AddHandleOperations(operations);
  AddDataOperations(operations);
  AddDirectoryOperations(operations);
  AddXattrOperations(operations);
  AddIoctlOperations(operations);
  // Left out on purpose; libfuse answers ENOSYS, and after the first one the kernel asks no more:
  // - flush, fsync, fsyncdir: what was answered is durable. The kernel still writes back the
  //   pages of shared mappings itself at close, munmap and fsync. (Directory pools will need
  //   fsync: rule B3.)
  // - opendir, releasedir: see FUSE_CAP_NO_OPENDIR_SUPPORT.
  // - access: default_permissions. getlk, setlk, flock: the kernel's own. bmap, poll: nothing to
  //   say.
  return operations;
}

}  // namespace ingot
