// SPDX-License-Identifier: BSD-3-Clause
// The groups joined, and what is left out on purpose.
#include "fs/fuse/operations.h"

namespace ingot {

fuse_lowlevel_ops MakeOperations(bool has_backed_files) {
  fuse_lowlevel_ops operations{};
  AddNameOperations(operations);
  AddCreationOperations(operations);
  AddAttributeOperations(operations);
  AddHandleOperations(operations, has_backed_files);
  AddDataOperations(operations);
  AddDirectoryOperations(operations);
  AddXattrOperations(operations);
  AddIoctlOperations(operations);
  // Left out on purpose; libfuse answers ENOSYS, and after the first one the kernel asks no more:
  // - flush, fsyncdir, and fsync of device pools: what was answered is durable. The kernel still
  //   writes back the pages of shared mappings itself at close, munmap and fsync.
  // - opendir, releasedir: see FUSE_CAP_NO_OPENDIR_SUPPORT.
  // - access: default_permissions. getlk, setlk, flock: the kernel's own. bmap, poll: nothing to
  //   say.
  return operations;
}

}  // namespace ingot
