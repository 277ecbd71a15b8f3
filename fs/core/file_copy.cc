// SPDX-License-Identifier: BSD-3-Clause
// CopyRange: guarded reads into a buffer, then the ordinary write. A crash leaves a prefix of the
// buffers copied.
#include <memory>

#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"

namespace ingot {
namespace {

constexpr uint64_t kBufferSize = 1 << 20;
// The locks of both files are held for one call: 128 MiB are some 50 ms.
constexpr uint64_t kMaxCopySize = uint64_t{128} << 20;

}  // namespace

Result<uint64_t> FileData::CopyRange(InodeNumber from, uint64_t from_offset, InodeNumber to,
                                     uint64_t to_offset, uint64_t size_bytes) {
  const std::array<InodeNumber, 2> both{from, to};
  const ExclusiveInodeLocks locks(core_.locks, both);
  TRY(OpenForChange(to, false));
  const media::Inode source = TRY(core_.reader.ReadInode(from));
  TRY(CheckRegular(source));
  if (from_offset >= source.size_bytes) return 0;
  size_bytes = std::min(size_bytes, source.size_bytes - from_offset);
  size_bytes = std::min(size_bytes, kMaxCopySize);
  if (to_offset >= media::kMaxFileSize) return Failure(EFBIG);
  size_bytes = std::min(size_bytes, media::kMaxFileSize - to_offset);
  const bool overlaps =
      from == to && from_offset < to_offset + size_bytes && to_offset < from_offset + size_bytes;
  if (overlaps) return Failure(EINVAL);
  if (size_bytes == 0) return 0;
  return CopyLocked(from, from_offset, to, to_offset, size_bytes);
}

Result<uint64_t> FileData::CopyLocked(InodeNumber from, uint64_t from_offset, InodeNumber to,
                                      uint64_t to_offset, uint64_t size_bytes) {
  std::unique_ptr<std::byte[]> buffer;
  uint64_t done = 0;
  const auto failed = [&done](const Error& error) -> Result<uint64_t> {
    if (error.code == ENOSPC && done > 0) return done;
    return Failure(error.code, error.context);
  };
  while (done < size_bytes) {
    // Read anew each time: the target may be the same file.
    const media::Inode source = TRY(core_.reader.ReadInode(from));
    const uint64_t at = from_offset + done;
    uint64_t count = size_bytes - done;
    if (source.body_form != media::BodyForm::kInline) {
      const FilePart part = TRY(FirstPart(core_.extents, source, at, at + count));
      count = part.size_bytes;
      if (part.is_zeros) {
        const Result<void> cleared = CopyHole(to, to_offset + done, count);
        if (!cleared) return failed(cleared.error());
        done += count;
        continue;
      }
    }
    count = std::min(count, kBufferSize);
    if (!buffer) buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    TRY(ReadRange(core_, source, at, {buffer.get(), count}));
    const media::Inode target = TRY(core_.reader.ReadInode(to));
    const Change change{to, false, HasFileCapability(target)};
    const Result<uint64_t> written =
        WriteLocked(change, target, to_offset + done, {buffer.get(), count});
    if (!written) return failed(written.error());
    done += *written;
    if (*written < count) break;
  }
  return done;
}

// Zeros come to [offset, offset + size): nothing is allocated for them, what is there goes.
Result<void> FileData::CopyHole(InodeNumber to, uint64_t offset, uint64_t size_bytes) {
  const uint64_t end = offset + size_bytes;
  media::Inode target = TRY(core_.reader.ReadInode(to));
  if (target.body_form == media::BodyForm::kInline) {
    if (end <= InlineRoom(target)) {
      TRY(ZeroInline(to, offset, end));
    } else {
      TRY(SpillInline(to));
    }
    target = TRY(core_.reader.ReadInode(to));
  }
  if (target.body_form == media::BodyForm::kTree) {
    TRY(ClearRange(to, offset, end, Clear::kPunch));
  }
  return end > target.size_bytes ? Extend({to}, end) : Result<void>();
}

}  // namespace ingot
