// SPDX-License-Identifier: BSD-3-Clause
// ingot mount, and what mount(8) calls as /sbin/mount.ingot or /sbin/mount.fuse.ingot:
// DEV DIR [-sfnv] [-N namespace] [-o options] [-t type].
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "fs/admin/mounts.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/mount_namespace.h"
#include "fs/cli/mount_request.h"
#include "fs/cli/remount.h"
#include "fs/core/pool_path.h"
#include "fs/fuse/daemon.h"
#include "fs/fuse/pool.h"
#include "pmemdev/base/descriptor.h"

namespace ingot::cli {
namespace {

struct MountArguments {
  std::string pool;
  std::string directory;
  std::vector<std::string> texts;  // each -o
  std::string type;
  std::string name_space;
  std::string log_file;
  uint32_t threads = 0;
  bool from_mount8 = false;  // called as mount.ingot or mount.fuse.ingot
  bool read_only = false;
  bool foreground = false;
  bool sloppy = false;
  bool fake = false;
  bool verbose = false;
  bool no_mtab = false;
};

int ExitCodeOf(int code) {
  switch (code) {
    case EPERM:
    case EACCES: return kMountUsage;
    case ENOMEM:
    case EAGAIN: return kMountSystem;
    case EINTR: return kMountInterrupted;
    default: return kMountFailure;
  }
}

Result<MountRequest> MakeRequest(const MountArguments& options) {
  MountRequest request;
  // What root mounts is for everybody, like every other filesystem; libfuse would keep it to root.
  request.mount.allow_other = geteuid() == 0;
  // mount(8) takes "suid" and "dev" out of what it passes on: there, what isn't forbidden is
  // allowed.
  request.mount.suid = request.mount.dev = options.from_mount8 && geteuid() == 0;
  for (const std::string& text : options.texts) {
    TRY(ParseMountOptions(text, options.sloppy, request));
  }
  if (options.read_only) TRY(ParseMountOptions("ro", false, request));
  MountOptions& mount = request.mount;
  mount.pool_path = options.pool;
  mount.mountpoint = options.directory;
  mount.foreground = options.foreground;
  if (!options.log_file.empty()) mount.log_file = options.log_file;
  if (options.threads != 0) mount.threads = options.threads;
  if (request.uses_source) return request;
  // The pool's own path, so that status and umount find it whatever directory they are called from.
  char* real = realpath(options.pool.c_str(), nullptr);
  mount.source_name = real == nullptr ? options.pool : real;
  free(real);
  return request;
}

// What mounting would find out late, or say less clearly.
Result<void> CheckFirst(const MountRequest& request) {
  if (access(request.mount.pool_path.c_str(), F_OK) != 0) {
    if (errno != ENOENT) return FailureFromErrno(request.mount.pool_path);
    return Failure(ENOENT, fmt::format("there is no such file or directory. Hint: ingot mkfs {}",
                                       request.mount.pool_path));
  }
  if (access("/dev/fuse", F_OK) != 0) {
    return Failure(ENODEV, "there is no /dev/fuse. Hint: modprobe fuse");
  }
  return {};
}

// Whether root may show that mount to others: as a whole, and mounted by root. A user's FUSE
// filesystem may say that it is anybody's; its user_id is the kernel's word.
bool IsRootsOwn(const admin::MountEntry& entry) {
  const std::string options = "," + entry.super_options + ",";
  return entry.root == "/" && options.find(",user_id=0,") != std::string::npos;
}

// A copy of the mount that nobody sees yet. None: something else is there by now, or above it.
Descriptor CopyOf(const admin::MountEntry& entry) {
  Descriptor copy(open_tree(AT_FDCWD, entry.mountpoint.c_str(),
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
  struct stat status;
  const bool is_it = copy && fstat(copy.get(), &status) == 0 &&
                     major(status.st_dev) == entry.device_major &&
                     minor(status.st_dev) == entry.device_minor;
  return is_it ? std::move(copy) : Descriptor(-1);
}

// What a kernel's filesystem does when its device is mounted once more: shows itself at a second
// place, by the options that it was mounted with first, and in no peer group with that place. Each
// mount has its own nosuid, nodev and noexec. False: that can't be done; it isn't mounted as a
// whole by root, not read-only as it is to be now, or mounted there already.
Result<bool> MountAgain(const MountOptions& wanted) {
  for (const admin::MountEntry& entry : TRY(admin::IngotMounts())) {
    if (!IsRootsOwn(entry) || !entry.source.starts_with('/')) continue;
    if (!IsSamePool(entry.source, wanted.pool_path)) continue;
    if (entry.super_options.starts_with("ro") != wanted.volume.read_only) continue;
    const std::optional<admin::MountEntry> there = TRY(admin::FindMountAt(wanted.mountpoint));
    if (there && there->device_major == entry.device_major &&
        there->device_minor == entry.device_minor) {
      return false;
    }
    const Descriptor copy = CopyOf(entry);
    if (!copy) continue;
    struct mount_attr attributes {};
    attributes.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                          MOUNT_ATTR_NOEXEC;
    attributes.attr_set = (wanted.suid ? 0 : MOUNT_ATTR_NOSUID) |
                          (wanted.dev ? 0 : MOUNT_ATTR_NODEV) |
                          (wanted.exec ? 0 : MOUNT_ATTR_NOEXEC);
    attributes.propagation = MS_PRIVATE;
    return mount_setattr(copy.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) == 0 &&
           move_mount(copy.get(), "", AT_FDCWD, wanted.mountpoint.c_str(),
                      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0;
  }
  return false;
}

Result<void> Mount(const MountArguments& options, const MountRequest& request) {
  TRY(EnterMountNamespace(options.name_space));
  if (request.remount) return Remount(options.directory, request);
  TRY(CheckFirst(request));
  if (options.fake) {
    TRY(ValidateMountOptions(request.mount));
    MountOptions probe = request.mount;
    probe.volume.read_only = true;
    TRY(OpenPool(probe));
    return {};
  }
  Result<void> mounted = MountPool(request.mount);
  const bool may_be_twice = geteuid() == 0 && !request.mount.foreground;
  if (mounted.error_code() == EBUSY && may_be_twice && TRY(MountAgain(request.mount))) return {};
  if (mounted.has_value() || geteuid() == 0) return mounted;
  const bool denied = mounted.error_code() == EPERM || mounted.error_code() == EACCES;
  if (denied && access("/dev/fuse", R_OK | W_OK) != 0) {
    return Failure(mounted.error_code(),
                   "this user may not use /dev/fuse. Hint: run it as root, or chmod 666 /dev/fuse");
  }
  return mounted;
}

int RunMount(const MountArguments& options) {
  const Result<MountRequest> request = MakeRequest(options);
  if (!request.has_value()) {
    PrintError({"mount", options.pool}, request.error());
    return kMountUsage;
  }
  for (const std::string& ignored : request->ignored) {
    if (options.verbose) {
      std::fputs(fmt::format("ingot: option '{}' is ignored\n", ignored).c_str(), stderr);
    }
  }
  const Result<void> mounted = Mount(options, *request);
  if (!mounted.has_value()) {
    const bool nothing_there = mounted.error_code() == ENOENT && request->nofail &&
                               access(options.pool.c_str(), F_OK) != 0;
    if (nothing_there) return kExitOk;
    PrintError({request->remount ? "remount" : "mount",
                request->remount ? options.directory : options.pool},
               mounted.error());
    return ExitCodeOf(mounted.error_code());
  }
  if (options.verbose) {
    std::fputs(fmt::format("{} is mounted on {}\n", options.pool, options.directory).c_str(),
               stdout);
  }
  return kExitOk;
}

}  // namespace

Action SetUpMount(CLI::App& app) {
  auto options = std::make_shared<MountArguments>();
  options->from_mount8 = app.get_name().starts_with("mount.");
  app.add_option("pool", options->pool,
                 "pool: a file, a directory, a devdax device or a prepared block device")
      ->required()
      ->type_name("POOL");
  app.add_option("directory", options->directory, "mount point, an empty directory")
      ->required()
      ->type_name("DIR");
  app.add_option("-o,--options", options->texts,
                 "comma-separated: those of mount(8), and atomic, cache=none|small, "
                 "direct=auto|always|never, page_array=auto|device|dram, io_uring=auto|on|off, "
                 "threads=N, spin=auto|MICROSECONDS, log=FILE, loglevel=LEVEL, [no]allow_other, "
                 "nonempty")
      ->type_name("LIST")
      ->expected(1)
      ->take_all();
  app.add_flag("-r,--read-only", options->read_only, "same as -o ro");
  app.add_flag("--foreground", options->foreground, "serve in this process, until the unmount");
  app.add_option("--log", options->log_file, "file for the daemon's log")->type_name("FILE");
  app.add_option("--threads", options->threads, "serve at most so many requests at once")
      ->type_name("N");
  app.add_flag("-f,--fake", options->fake, "check everything, mount nothing");
  app.add_flag("-v,--verbose", options->verbose, "say what was done");
  app.add_flag("-s,--sloppy", options->sloppy, "tolerate unknown options");
  app.add_flag("-n,--no-mtab", options->no_mtab, "for mount(8); there is no mtab");
  app.add_option("-t,--types", options->type, "for mount(8); the type is always fuse.ingot");
  app.add_option("-N,--namespace", options->name_space, "mount namespace to mount in")
      ->type_name("FILE");
  return [options] { return RunMount(*options); };
}

}  // namespace ingot::cli
