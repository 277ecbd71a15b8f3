// SPDX-License-Identifier: BSD-3-Clause
// Contents of regular files: read, write, fallocate, lseek, copy_file_range.
//
// A read's reply points at the medium and the kernel copies from there; the inode lock is held
// shared until that is done (ReadView). Through io_uring libfuse would copy unguarded, so we copy
// ourselves, under the guard, into the reply's own memory: one copy either way.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "fs/fuse/operations.h"
#include "fs/fuse/privileges.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"
#include "pmemdev/poison.h"

namespace ingot {
namespace {

// A reply from the medium failed with EFAULT: finds the page, marks and reports it.
void FindPoison(Volume& volume, InodeNumber inode, uint64_t offset, uint64_t size_bytes) {
  std::array<std::byte, kPageSize> page;
  for (uint64_t done = 0; done < size_bytes; done += page.size()) {
    const size_t wanted = std::min<uint64_t>(page.size(), size_bytes - done);
    const auto read = volume.data().ReadInto(inode, offset + done, std::span(page).first(wanted));
    if (!read || *read < wanted) return;
  }
}

Result<size_t> CopyPieces(Volume& volume, const ReadView& view, std::span<std::byte> to) {
  size_t done = 0;
  for (const struct iovec& piece : view.pieces) {
    const size_t size_bytes = std::min(piece.iov_len, to.size() - done);
    const auto* from = static_cast<const std::byte*>(piece.iov_base);
    if (!poison::Copy(to.data() + done, from, size_bytes)) [[unlikely]] {
      TRY(volume.device().ReportFault(poison::LastFaultAddress()));
      return Failure(EIO);
    }
    done += size_bytes;
  }
  return done;
}

// What a kernel without passthrough, or another handle's mode, leaves to the daemon: one copy by
// the host into the reply.
Result<void> ReadBackedAndReply(Request& request, const ReadView& view) {
  std::span<std::byte> to = request.Payload();
  std::unique_ptr<std::byte[]> buffer;
  if (to.empty() && view.size_bytes != 0) {
    buffer = std::make_unique_for_overwrite<std::byte[]>(view.size_bytes);
    to = {buffer.get(), view.size_bytes};
  }
  to = to.first(std::min<size_t>(to.size(), view.size_bytes));
  request.Bytes(to.first(TRY(view.file->Read(view.offset, to))));
  return {};
}

// Returns whether the access time is stale. The view, and with it the lock, ends here.
Result<bool> ReadAndReply(Request& request, InodeNumber inode, uint64_t offset, size_t size_bytes) {
  Volume& volume = request.volume();
  int refused = 0;
  bool atime_is_stale = false;
  {
    ReadView view;
    TRY(volume.data().Read(inode, offset, size_bytes, view));
    atime_is_stale = view.atime_is_stale;
    if (view.file != nullptr) {
      TRY(ReadBackedAndReply(request, view));
      return false;
    }
    if (const std::span<std::byte> payload = request.Payload(); !payload.empty()) {
      const size_t copied = TRY(CopyPieces(volume, view, payload));
      refused = request.Bytes(payload.first(copied));
    } else {
      refused = request.Pieces(view.pieces);
    }
  }
  if (refused == EFAULT) FindPoison(volume, inode, offset, size_bytes);
  return atime_is_stale;
}

Result<void> Read(Request& request, fuse_ino_t number, size_t size_bytes, off_t offset,
                  fuse_file_info* file) {
  const InodeNumber inode(number);
  const bool atime_is_stale =
      TRY(ReadAndReply(request, inode, static_cast<uint64_t>(offset), size_bytes));
  if (atime_is_stale && (file->flags & O_NOATIME) == 0) request.session().TouchAtime(inode);
  return {};
}

Result<void> Write(Request& request, fuse_ino_t inode, const char* bytes, size_t size_bytes,
                   off_t offset, fuse_file_info* file) {
  FileData::WriteOptions options;
  // Pages of a shared mapping have their place, whatever the handle they are written through.
  options.from_page_cache = file->writepage;
  options.append = (file->flags & O_APPEND) != 0 && !file->writepage;
  options.kill_privileges = file->kill_suidgid;
  options.sync = (file->flags & (O_SYNC | O_DSYNC)) != 0;
  const auto from = std::as_bytes(std::span(bytes, size_bytes));
  const auto at = static_cast<uint64_t>(offset);
  const size_t written = TRY(request.volume().data().Write(InodeNumber(inode), at, from, options));
  // What may have become a backed file is to be mapped by others while this handle stays open.
  Passthrough* const passthrough = request.session().passthrough();
  if (passthrough != nullptr && at + size_bytes > kDirectFromBytes) {
    passthrough->NoteWritten(InodeNumber(inode), file->fh);
  }
  request.Written(written);
  return {};
}

Result<void> Fallocate(Request& request, fuse_ino_t number, int mode, off_t offset,
                       off_t size_bytes, fuse_file_info*) {
  const InodeNumber inode(number);
  TRY(ClearPrivileges(request, inode));
  TRY(request.volume().data().Fallocate(inode, static_cast<uint32_t>(mode),
                                        static_cast<uint64_t>(offset),
                                        static_cast<uint64_t>(size_bytes)));
  request.Done();
  return {};
}

Result<void> Lseek(Request& request, fuse_ino_t number, off_t offset, int whence, fuse_file_info*) {
  FileData& data = request.volume().data();
  const InodeNumber inode(number);
  if (offset < 0) return Failure(ENXIO);
  const auto from = static_cast<uint64_t>(offset);
  switch (whence) {
    case SEEK_DATA:
      request.Offset(TRY(data.SeekData(inode, from)));
      return {};
    case SEEK_HOLE:
      request.Offset(TRY(data.SeekHole(inode, from)));
      return {};
    default:
      return Failure(EINVAL);
  }
}

// A request ties up a thread, and its caller can't be interrupted: long copies come in steps.
constexpr size_t kMaxCopyBytes = size_t{256} << 20;

Result<void> CopyFileRange(Request& request, fuse_ino_t from, off_t from_offset, fuse_file_info*,
                           fuse_ino_t to, off_t to_offset, fuse_file_info*, size_t size_bytes,
                           int flags) {
  if (flags != 0) return Failure(EINVAL);
  TRY(ClearPrivileges(request, InodeNumber(to)));
  request.Written(TRY(request.volume().data().CopyRange(
      InodeNumber(from), static_cast<uint64_t>(from_offset), InodeNumber(to),
      static_cast<uint64_t>(to_offset), std::min(size_bytes, kMaxCopyBytes))));
  return {};
}

}  // namespace

void AddDataOperations(fuse_lowlevel_ops& operations) {
  operations.read = &Handler<Operation::kRead, &Read>::Call;
  operations.write = &Handler<Operation::kWrite, &Write>::Call;
  operations.fallocate = &Handler<Operation::kFallocate, &Fallocate>::Call;
  operations.lseek = &Handler<Operation::kLseek, &Lseek>::Call;
  operations.copy_file_range = &Handler<Operation::kCopyFileRange, &CopyFileRange>::Call;
}

}  // namespace ingot
