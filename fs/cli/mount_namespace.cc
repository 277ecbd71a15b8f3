// SPDX-License-Identifier: BSD-3-Clause
// setns(2) and nothing else.
#include "fs/cli/mount_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace ingot::cli {

Result<void> EnterMountNamespace(const std::string& path) {
  if (path.empty()) return {};
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FailureFromErrno(path);
  const int result = setns(fd, CLONE_NEWNS);
  const int code = errno;
  close(fd);
  return result == 0 ? Result<void>() : Failure(code, "setns");
}

}  // namespace ingot::cli
