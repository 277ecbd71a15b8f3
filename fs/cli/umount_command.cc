// SPDX-License-Identifier: BSD-3-Clause
// ingot umount, and what umount(8) calls as /sbin/umount.fuse.ingot: DIR [-flnrv] [-N namespace].
//
// umount(2) returns while the daemon still runs and holds the pool's lock; this waits for its end,
// so that whatever comes next can have the pool. Unless it is mounted at another place as well.
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "fs/admin/mounts.h"
#include "fs/admin/status.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/mount_namespace.h"

namespace ingot::cli {
namespace {

constexpr std::chrono::milliseconds kDaemonWait{30'000};

struct UmountArguments {
  std::string target;
  std::string name_space;
  std::string type;
  bool lazy = false;
  bool force = false;
  bool read_only = false;
  bool no_mtab = false;
  bool verbose = false;
};

// The daemon, known before the unmount and waited for after it.
class Daemon {
 public:
  // `ask` false: perhaps it doesn't answer any more, which is why it is to be unmounted by force.
  Daemon(const std::string& mountpoint, bool ask) {
    if (!ask) return;
    const Result<admin::Json> status = admin::Status(mountpoint);
    if (!status.has_value() || !status->contains("mount")) return;
    const auto pid = (*status)["mount"].value("pid", pid_t{0});
    if (pid > 0) fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  }
  ~Daemon() {
    if (fd_ >= 0) close(fd_);
  }
  Daemon(const Daemon&) = delete;

  // True if it has ended, or nothing is known about it.
  [[nodiscard]] bool WaitForEnd() const {
    if (fd_ < 0) return true;
    struct pollfd events = {fd_, POLLIN, 0};
    return poll(&events, 1, static_cast<int>(kDaemonWait.count())) != 0;
  }

 private:
  int fd_ = -1;
};

// For those who may not call umount(2): fusermount3 checks that the mount is theirs.
Result<void> UnmountAsUser(const std::string& directory, bool lazy) {
  const pid_t child = fork();
  if (child < 0) return FailureFromErrno("fork");
  if (child == 0) {
    const char* flags = lazy ? "-uqz" : "-uq";
    execlp("fusermount3", "fusermount3", flags, "--", directory.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    return Failure(EPERM, "fusermount3 is not installed. Hint: run it as root");
  }
  return Failure(EBUSY, fmt::format("fusermount3 refused: it is in use or another user's. Hint: "
                                    "fuser -vm {}",
                                    directory));
}

Result<admin::MountEntry> FindTarget(const std::string& target) {
  std::optional<admin::MountEntry> mount = TRY(admin::FindMountAt(target));
  if (!mount.has_value()) {
    // umount(8) also takes the device.
    const auto of_pool = admin::FindMountOfPool(target);
    if (of_pool.has_value()) mount = *of_pool;
  }
  if (mount.has_value()) return *mount;
  return Failure(EINVAL, "no ingot pool is mounted there. Hint: ingot status lists all mounts");
}

Result<void> Unmount(const UmountArguments& options) {
  TRY(EnterMountNamespace(options.name_space));
  const admin::MountEntry mount = TRY(FindTarget(options.target));
  const Daemon daemon(mount.mountpoint, !options.lazy && !options.force);
  const int flags =
      UMOUNT_NOFOLLOW | (options.lazy ? MNT_DETACH : 0) | (options.force ? MNT_FORCE : 0);
  if (umount2(mount.mountpoint.c_str(), flags) != 0) {
    if (errno == EBUSY) {
      return Failure(EBUSY, fmt::format("it is in use. Hint: fuser -vm {0}, or ingot umount -l {0}",
                                        mount.mountpoint));
    }
    if (errno != EPERM) return FailureFromErrno("umount");
    TRY(UnmountAsUser(mount.mountpoint, options.lazy));
  }
  if (options.lazy || admin::IsMountedElsewhere(mount).value_or(false)) return {};
  if (daemon.WaitForEnd()) return {};
  return Failure(ETIMEDOUT,
                 fmt::format("it is unmounted, but its daemon still holds the pool after {} s, as "
                             "it does while another mount namespace has a copy of the mount. "
                             "Hint: grep -l {} /proc/[0-9]*/mounts",
                             kDaemonWait.count() / 1000, mount.mountpoint));
}

int RunUmount(const UmountArguments& options) {
  const Result<void> unmounted = Unmount(options);
  if (unmounted.has_value()) {
    if (options.verbose) {
      std::fputs(fmt::format("{} is unmounted\n", options.target).c_str(), stdout);
    }
    return kExitOk;
  }
  PrintError({"unmount", options.target}, unmounted.error());
  return unmounted.error_code() == EPERM ? kMountUsage : kMountFailure;
}

}  // namespace

Action SetUpUmount(CLI::App& app) {
  auto options = std::make_shared<UmountArguments>();
  app.add_option("directory", options->target, "mount point, or the pool that is mounted")
      ->required()
      ->type_name("DIR");
  app.add_flag("-l,--lazy", options->lazy, "detach now, end when nobody uses it; does not wait");
  app.add_flag("-f,--force", options->force, "abort requests that wait for the daemon");
  app.add_flag("-v,--verbose", options->verbose, "say what was done");
  app.add_flag("-r,--read-only", options->read_only, "for umount(8); without effect");
  app.add_flag("-n,--no-mtab", options->no_mtab, "for umount(8); there is no mtab");
  app.add_option("-t,--types", options->type, "for umount(8); the type is always fuse.ingot");
  app.add_option("-N,--namespace", options->name_space, "mount namespace to unmount in")
      ->type_name("FILE");
  return [options] { return RunUmount(*options); };
}

}  // namespace ingot::cli
