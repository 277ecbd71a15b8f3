// SPDX-License-Identifier: BSD-3-Clause
// Handles of regular files: open and release.
#include <fcntl.h>

#include "fs/format.h"
#include "fs/fuse/open_mode.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

// The kernel knows nothing of these flags on a FUSE file, so open(2)'s checks are made here.
Result<void> CheckFlags(const Attributes& attributes, int flags) {
  if (!OpensForWriting(flags)) return {};
  if ((attributes.flags & media::kInodeImmutable) != 0) return Failure(EPERM);
  const bool append_only = (attributes.flags & media::kInodeAppendOnly) != 0;
  if (append_only && (flags & O_APPEND) == 0) return Failure(EPERM);
  return {};
}

Result<void> Open(Request& request, fuse_ino_t number, fuse_file_info* file) {
  const InodeNumber inode(number);
  const CacheMode cache = request.session().options().cache;
  uint64_t size_bytes = 0;
  if (OpensForWriting(file->flags) || cache != CacheMode::kNone) {
    const Attributes attributes = TRY(request.volume().attributes().Get(inode));
    TRY(CheckFlags(attributes, file->flags));
    size_bytes = attributes.size_bytes;
  }
  TRY(request.volume().names().Open(inode));
  ChooseOpenMode(*file, cache, size_bytes);
  request.Opened(inode, *file);
  return {};
}

Result<void> Release(Request& request, fuse_ino_t inode, fuse_file_info*) {
  request.volume().names().Release(InodeNumber(inode));
  request.Done();
  return {};
}

}  // namespace

void AddHandleOperations(fuse_lowlevel_ops& operations) {
  operations.open = &Handler<Operation::kOpen, &Open>::Call;
  operations.release = &Handler<Operation::kRelease, &Release>::Call;
}

}  // namespace ingot
