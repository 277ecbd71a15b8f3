// SPDX-License-Identifier: BSD-3-Clause
// The table. "Refused" entries are as deliberate as the wanted ones: libfuse sets some by default.
#include "fs/fuse/capabilities.h"

#include "pmemdev/base/log.h"

namespace ingot {
namespace {

struct Choice {
  uint64_t bit;
  const char* name;
  bool wanted;
};

constexpr Choice kChoices[] = {
    // Several reads of one handle at once: the core's locks order what has to be ordered.
    {FUSE_CAP_ASYNC_READ, "async_read", true},
    // The kernel keeps record locks and flocks by itself: nobody else sees this pool.
    {FUSE_CAP_POSIX_LOCKS, "posix_locks", false},
    {FUSE_CAP_FLOCK_LOCKS, "flock_locks", false},
    // O_TRUNC inside OPEN races with appenders in the kernel (rule B5); a SETATTR of its own does
    // not.
    {FUSE_CAP_ATOMIC_O_TRUNC, "atomic_o_trunc", false},
    // Handles (open_by_handle_at, NFS) of inodes that the kernel has forgotten: LOOKUP of "."
    // answers.
    {FUSE_CAP_EXPORT_SUPPORT, "export_support", true},
    {FUSE_CAP_NO_EXPORT_SUPPORT, "no_export_support", false},
    // A default ACL of the directory replaces the umask, so the mode must arrive unmasked, the
    // umask beside it.
    {FUSE_CAP_DONT_MASK, "dont_mask", true},
    // The kernel checks access by the lists it reads; inheritance and chmod are the core's.
    {FUSE_CAP_POSIX_ACL, "posix_acl", true},
    // Replies come from mapped memory and requests go there: a pipe between would only be a copy
    // more.
    {FUSE_CAP_SPLICE_READ, "splice_read", false},
    {FUSE_CAP_SPLICE_WRITE, "splice_write", false},
    {FUSE_CAP_SPLICE_MOVE, "splice_move", false},
    // chattr on directories.
    {FUSE_CAP_IOCTL_DIR, "ioctl_dir", true},
    // We are the only writer and the kernel sees every write: a changed mtime is no news to its
    // cache, and neither is a changed size.
    {FUSE_CAP_AUTO_INVAL_DATA, "auto_inval_data", false},
    {FUSE_CAP_EXPLICIT_INVAL_DATA, "explicit_inval_data", true},
    // Attributes with the names where the kernel expects them to be asked for.
    {FUSE_CAP_READDIRPLUS, "readdirplus", true},
    {FUSE_CAP_READDIRPLUS_AUTO, "readdirplus_auto", true},
    // Large asynchronous direct I/O in parallel pieces.
    {FUSE_CAP_ASYNC_DIO, "async_dio", true},
    // Would make the kernel the truth for size and mtime, lose "durable on return" and switch
    // passthrough off.
    {FUSE_CAP_WRITEBACK_CACHE, "writeback_cache", false},
    // Opens must be seen: they choose the I/O mode and keep unlinked files alive.
    {FUSE_CAP_NO_OPEN_SUPPORT, "no_open_support", false},
    // Directories have nothing to open; the kernel then also caches their entries, and drops them
    // when they change through this mount, which is the only way they can.
    {FUSE_CAP_NO_OPENDIR_SUPPORT, "no_opendir_support", true},
    // Lookups and readdirs of one directory at once.
    {FUSE_CAP_PARALLEL_DIROPS, "parallel_dirops", true},
    // V1 would have the daemon clear set-id bits at each write of anyone; V2 says when, and spares
    // each write the GETXATTR of security.capability (rule B6).
    {FUSE_CAP_HANDLE_KILLPRIV, "handle_killpriv", false},
    {FUSE_CAP_HANDLE_KILLPRIV_V2, "handle_killpriv_v2", true},
    // A symlink never changes.
    {FUSE_CAP_CACHE_SYMLINKS, "cache_symlinks", true},
    // Only matters for notifications that expire entries; none are sent, none are wrong.
    {FUSE_CAP_EXPIRE_ONLY, "expire_only", true},
    // libfuse reads the longer request but has no way to hand the flag on; caller.h finds it out.
    {FUSE_CAP_SETXATTR_EXT, "setxattr_ext", false},
    // Without it, MAP_SHARED of a file that bypasses the page cache is ENODEV.
    {FUSE_CAP_DIRECT_IO_ALLOW_MMAP, "direct_io_allow_mmap", true},
};

void Set(fuse_conn_info& connection, const Choice& choice, Negotiated& result) {
  if (!choice.wanted) {
    fuse_unset_feature_flag(&connection, choice.bit);
  } else if (fuse_set_feature_flag(&connection, choice.bit)) {
    result.capabilities.emplace_back(choice.name);
  }
}

}  // namespace

Negotiated Negotiate(fuse_conn_info& connection, const Wanted& wanted) {
  Negotiated result;
  for (const Choice& choice : kChoices) Set(connection, choice, result);
  // libfuse wants it whenever the kernel offers it; here the mount option decides.
  Set(connection, {FUSE_CAP_OVER_IO_URING, "over_io_uring", wanted.io_uring}, result);
  // Only directory pools have files to pass on to. (Never together with the writeback cache, which
  // would switch it off.)
  Set(connection, {FUSE_CAP_PASSTHROUGH, "passthrough", wanted.passthrough}, result);
  // The host's files lie on no stacked filesystem; so others may be stacked on ours.
  connection.max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;

  connection.max_write = kMaxTransferBytes;  // the kernel's own limit is 256 pages by default
  connection.time_gran = 1;
  // RELEASE and asynchronous I/O count as background; the default of 12 makes closers queue up.
  connection.max_background = 64;
  connection.congestion_threshold = 48;
  // Nothing here waits for long, so there is nothing to interrupt; each request is spared a list.
  connection.no_interrupt = 1;

  result.protocol_minor = connection.proto_minor;
  result.opendir_can_be_skipped = fuse_get_feature_flag(&connection, FUSE_CAP_NO_OPENDIR_SUPPORT);
  result.shared_mappings = fuse_get_feature_flag(&connection, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
  result.io_uring = wanted.io_uring && fuse_get_feature_flag(&connection, FUSE_CAP_OVER_IO_URING);
  result.passthrough =
      wanted.passthrough && fuse_get_feature_flag(&connection, FUSE_CAP_PASSTHROUGH);
  if (!result.shared_mappings) {
    log::Warning("fuse: shared mappings will fail, reason=\"the kernel is older than 6.6\"");
  }
  return result;
}

}  // namespace ingot
