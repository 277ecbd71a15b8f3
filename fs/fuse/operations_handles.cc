// SPDX-License-Identifier: BSD-3-Clause
// Handles of regular files: open, release and fsync.
#include "fs/fuse/open_mode.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

Result<void> Open(Request& request, fuse_ino_t number, fuse_file_info* file) {
  const InodeNumber inode(number);
  if (Passthrough* const passthrough = request.session().passthrough()) {
    const bool is_news = TRY(passthrough->Open(inode, *file));
    if (is_news) request.session().InvalidateAttributes(inode);
    request.Opened(inode, *file);
    return {};
  }
  const CacheMode cache = request.session().options().cache;
  uint64_t size_bytes = 0;
  if (OpensForWriting(file->flags) || cache != CacheMode::kNone) {
    const Attributes attributes = TRY(request.volume().attributes().Get(inode));
    TRY(CheckMayOpen(attributes, file->flags));
    size_bytes = attributes.size_bytes;
  }
  TRY(request.volume().names().Open(inode));
  ChooseOpenMode(*file, cache, size_bytes);
  request.Opened(inode, *file);
  return {};
}

Result<void> Release(Request& request, fuse_ino_t inode, fuse_file_info* file) {
  request.session().CloseHandle(InodeNumber(inode), file->fh);
  request.Done();
  return {};
}

// Only directory pools have it: of all else, what was answered is durable.
Result<void> Fsync(Request& request, fuse_ino_t inode, int data_only, fuse_file_info*) {
  TRY(request.volume().data().Sync(InodeNumber(inode), data_only != 0));
  request.Done();
  return {};
}

}  // namespace

void AddHandleOperations(fuse_lowlevel_ops& operations, bool has_backed_files) {
  operations.open = &Handler<Operation::kOpen, &Open>::Call;
  operations.release = &Handler<Operation::kRelease, &Release>::Call;
  if (has_backed_files) operations.fsync = &Handler<Operation::kFsync, &Fsync>::Call;
}

}  // namespace ingot
