// SPDX-License-Identifier: BSD-3-Clause
// FUSE_DEV_IOC_BACKING_OPEN and _CLOSE of linux/fuse.h (Linux 6.9), which Debian 12's doesn't have.
//
// Given to a FUSE connection, owned by nobody here. (libfuse's calls want a request, and lose the
// error.) Stateless; any thread.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

#include "pmemdev/base/result.h"

namespace ingot {

// The id by which replies to OPEN name the file. ELOOP: its filesystem lies upon another; EPERM: no
// CAP_SYS_ADMIN, or before the handshake; EOPNOTSUPP: not such a file; ENOTTY: an older kernel.
inline Result<uint32_t> RegisterBacking(int connection, int fd) {
  struct {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
  } map{fd, 0, 0};
  const int id = ioctl(connection, _IOW(229, 1, decltype(map)), &map);
  if (id > 0) return static_cast<uint32_t>(id);
  return FailureFromErrno("registering a backing file");
}

// Of an id that nobody uses any more: nothing can fail.
inline void UnregisterBacking(int connection, uint32_t id) {
  (void)ioctl(connection, _IOW(229, 2, uint32_t), &id);
}

}  // namespace ingot
