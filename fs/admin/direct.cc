// SPDX-License-Identifier: BSD-3-Clause
// Two ioctls, and a question to the daemon.
#include "fs/admin/direct.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "fs/admin/mounts.h"
#include "fs/admin/status.h"
#include "pmemdev/base/descriptor.h"

namespace ingot::admin {
namespace {

// False: it was so already.
Result<bool> ChangeFlag(int fd, bool wanted) {
  struct fsxattr attributes {};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return FailureFromErrno("");
  if (((attributes.fsx_xflags & FS_XFLAG_DAX) != 0) == wanted && !wanted) return false;
  attributes.fsx_xflags = wanted ? attributes.fsx_xflags | FS_XFLAG_DAX
                                 : attributes.fsx_xflags & ~uint32_t{FS_XFLAG_DAX};
  // Set again it is tried again: something may have stood in the way.
  if (ioctl(fd, FS_IOC_FSSETXATTR, &attributes) != 0) return FailureFromErrno("");
  return true;
}

}  // namespace

Result<void> SetDirect(const std::string& path, bool wanted) {
  if (!TRY(FindMountOf(path)).has_value()) {
    return Failure(ENOTSUP, "it lies in no ingot mount. Hint: name a path below a mount point");
  }
  bool is_regular = false;
  {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!file) return FailureFromErrno("");
    struct stat status {};
    if (fstat(file.get(), &status) != 0) return FailureFromErrno("");
    is_regular = S_ISREG(status.st_mode);
    if (!is_regular && !S_ISDIR(status.st_mode)) {
      return Failure(EINVAL, "only regular files and directories can be mapped directly");
    }
    TRY(ChangeFlag(file.get(), wanted));
  }
  if (!is_regular || !wanted) return {};
  // Our own handle was one without passthrough; the daemon hears of its end some time later.
  std::string why_not;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const Json map = TRY(Map(path));
    if (map.value("direct", false)) return {};
    why_not = map.value("why_not_direct", std::string("no reason given"));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return Failure(EAGAIN, "not yet: " + why_not);
}

}  // namespace ingot::admin
