// SPDX-License-Identifier: BSD-3-Clause
// Two ioctls, which read and write all such flags at once.
#include "fs/core/dax_flag.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "pmemdev/base/descriptor.h"

namespace ingot {
namespace {

Result<fsxattr> ReadAttributes(int fd) {
  fsxattr attributes{};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return FailureFromErrno("the DAX flag");
  return attributes;
}

}  // namespace

Result<bool> ReadDaxFlag(int fd) {
  return (TRY(ReadAttributes(fd)).fsx_xflags & FS_XFLAG_DAX) != 0;
}

Result<void> SetDaxFlag(int fd, bool wanted) {
  fsxattr attributes = TRY(ReadAttributes(fd));
  attributes.fsx_xflags = wanted ? attributes.fsx_xflags | FS_XFLAG_DAX
                                 : attributes.fsx_xflags & ~uint32_t{FS_XFLAG_DAX};
  if (ioctl(fd, FS_IOC_FSSETXATTR, &attributes) != 0) return FailureFromErrno("the DAX flag");
  return {};
}

Result<bool> NewFilesAreDax(int directory) {
  const Descriptor file(openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  struct statx status {};
  if (!file || statx(file.get(), "", AT_EMPTY_PATH, 0, &status) != 0) {
    return FailureFromErrno("a file to try DAX with");
  }
  return (status.stx_attributes & STATX_ATTR_DAX) != 0;
}

}  // namespace ingot
