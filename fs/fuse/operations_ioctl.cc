// SPDX-License-Identifier: BSD-3-Clause
// ioctl, on files and directories: inode flags, project, generation, and FS_IOC_SHUTDOWN for tests.
// Only fixed-size arguments: the kernel copies them in and out by the command's own size.
#include <linux/capability.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cstring>

#include "fs/format.h"
#include "fs/fuse/caller.h"
#include "fs/fuse/inode_flags.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"
#include "pmemdev/base/fields.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

// XFS_IOC_GOINGDOWN, as xfstests' src/godown sends it; its argument can't be seen, because the
// number says that it is only written to.
constexpr unsigned kShutdown = 0x8004587d;

template <typename T>
Result<T> ArgumentAs(std::span<const std::byte> argument) {
  if (argument.size() < sizeof(T)) return Failure(EINVAL);
  T value;
  std::memcpy(&value, argument.data(), sizeof(T));
  return value;
}

Result<void> GetFlags(Request& request, InodeNumber inode) {
  const Attributes attributes = TRY(request.volume().attributes().Get(inode));
  const uint32_t flags = ToChattr(attributes.flags);
  request.IoctlResult(BytesOf(flags));
  return {};
}

// A regular file that is given the DAX flag can be mapped directly from then on, if its pool can
// do that: contents move at once, and the first open after all handles were closed maps them.
Result<void> ApplyFlags(Request& request, InodeNumber inode, uint32_t known, uint32_t flags) {
  Volume& volume = request.volume();
  // Whoever has it open for writing past the daemon would not be bound by these.
  constexpr uint32_t kDaemonsBusiness = media::kInodeAppendOnly | media::kInodeSync;
  const Passthrough* const passthrough = request.session().passthrough();
  if (passthrough != nullptr && (flags & known & kDaemonsBusiness) != 0 &&
      passthrough->HasWriter(inode)) {
    return Failure(EBUSY);
  }
  TRY(volume.attributes().SetFlags(inode, known, flags));
  const bool wants_direct = (flags & media::kInodeDax) != 0 && volume.core().backing != nullptr &&
                            volume.core().direct.load() != DirectMode::kNever;
  if (!wants_direct || !S_ISREG(TRY(volume.attributes().Get(inode)).mode)) return {};
  // The flag is set, and the next write tries again; `ingot map` says how it is.
  if (const Result<bool> made = volume.data().MakeDirect(inode); !made) {
    log::Info("event=not_made_direct inode={} error={} reason=\"{}\"", inode.value,
              ErrnoName(made.error().code), made.error().context);
  }
  return {};
}

Result<void> SetFlags(Request& request, InodeNumber inode, std::span<const std::byte> argument) {
  const uint32_t flags = TRY(FromChattr(TRY(ArgumentAs<uint32_t>(argument))));
  TRY(ApplyFlags(request, inode, FlagsKnownToChattr(), flags));
  request.session().InvalidateAttributes(inode);  // ctime
  request.IoctlResult({});
  return {};
}

Result<void> GetExtended(Request& request, InodeNumber inode) {
  const Attributes attributes = TRY(request.volume().attributes().Get(inode));
  struct fsxattr reply {};
  reply.fsx_xflags = ToXflags(attributes.flags);
  reply.fsx_projid = attributes.project;
  request.IoctlResult(BytesOf(reply));
  return {};
}

Result<void> SetExtended(Request& request, InodeNumber inode, std::span<const std::byte> argument) {
  const auto wanted = TRY(ArgumentAs<struct fsxattr>(argument));
  // Hints for other allocators; zero says nothing.
  if (wanted.fsx_extsize != 0 || wanted.fsx_cowextsize != 0) return Failure(EOPNOTSUPP);
  const uint32_t flags = TRY(FromXflags(wanted.fsx_xflags));
  AttributeOperations& attributes = request.volume().attributes();
  const Attributes before = TRY(attributes.Get(inode));
  if (wanted.fsx_projid != before.project) {
    const bool inherit = (flags & media::kInodeProjectInherit) != 0;
    TRY(attributes.SetProject(inode, wanted.fsx_projid, inherit));
  }
  TRY(ApplyFlags(request, inode, FlagsKnownToXflags(), flags));
  request.session().InvalidateAttributes(inode);
  request.IoctlResult({});
  return {};
}

Result<void> GetVersion(Request& request, InodeNumber inode) {
  const Attributes attributes = TRY(request.volume().attributes().Get(inode));
  const uint32_t generation = attributes.generation;
  request.IoctlResult(BytesOf(generation));
  return {};
}

Result<void> ShutDown(Request& request) {
  if (!HasCapability(request.pid(), CAP_SYS_ADMIN)) return Failure(EPERM);
  request.session().ShutDown();
  request.IoctlResult({});
  return {};
}

Result<void> Ioctl(Request& request, fuse_ino_t number, unsigned command, void*, fuse_file_info*,
                   unsigned, const void* in, size_t in_bytes, size_t) {
  const InodeNumber inode(number);
  const std::span argument(static_cast<const std::byte*>(in), in_bytes);
  switch (command) {
    case FS_IOC_GETFLAGS:
      return GetFlags(request, inode);
    case FS_IOC_SETFLAGS:
      return SetFlags(request, inode, argument);
    case FS_IOC_FSGETXATTR:
      return GetExtended(request, inode);
    case FS_IOC_FSSETXATTR:
      return SetExtended(request, inode, argument);
    case FS_IOC_GETVERSION:
      return GetVersion(request, inode);
    case kShutdown:
      return ShutDown(request);
    default:
      return Failure(ENOTTY);
  }
}

}  // namespace

void AddIoctlOperations(fuse_lowlevel_ops& operations) {
  operations.ioctl = &Handler<Operation::kIoctl, &Ioctl>::Call;
}

}  // namespace ingot
