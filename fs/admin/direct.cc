// SPDX-License-Identifier: BSD-3-Clause
// The flag, and a question to the daemon.
#include "fs/admin/direct.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "fs/admin/mounts.h"
#include "fs/admin/status.h"
#include "fs/core/dax_flag.h"
#include "pmemdev/base/descriptor.h"

namespace ingot::admin {
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
    // Set again it is tried again: something may have stood in the way.
    if (wanted || TRY(ReadDaxFlag(file.get()))) TRY(SetDaxFlag(file.get(), wanted));
  }
  if (!is_regular || !wanted) return {};
  // Our own handle was one without passthrough; the daemon hears of its end some time later.
  std::string why_not;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const Json map = TRY(Map(path));
    if (map.value("direct", false)) return {};
    why_not = map.value("why_not_direct", std::string("no reason given"));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return Failure(EAGAIN, "not yet: " + why_not);
}

}  // namespace ingot::admin
