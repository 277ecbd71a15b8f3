// SPDX-License-Identifier: BSD-3-Clause
// CopyRange: guarded reads into a buffer, then the ordinary write. A crash leaves a prefix of the
// buffers copied.
#include <memory>

#include "fs/core/backed_data.h"
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
  const uint64_t source_bytes = TRY(core_.AttributesOf(source)).size_bytes;
  if (from_offset >= source_bytes) return 0;
  size_bytes = std::min(size_bytes, source_bytes - from_offset);
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
  CopyBuffer buffer;
  uint64_t done = 0;
  while (done < size_bytes) {
    const Result<uint64_t> copied = NoThrow([&] {
      return CopyStep(from, from_offset + done, to, to_offset + done, size_bytes - done, buffer);
    });
    if (!copied) {
      if (IsShortage(copied.error().code) && done > 0) return done;
      return copied;
    }
    done += *copied;
  }
  return done;
}

Result<uint64_t> FileData::CopyStep(InodeNumber from, uint64_t from_offset, InodeNumber to,
                                    uint64_t to_offset, uint64_t size_bytes, CopyBuffer& buffer) {
  // Read anew each time: the target may be the same file.
  const media::Inode source = TRY(core_.reader.ReadInode(from));
  if (source.body_form == media::BodyForm::kBacked) {
    return CopyFromBacked(source, from_offset, to, to_offset, size_bytes, buffer);
  }
  if (source.body_form != media::BodyForm::kInline) {
    const FilePart part =
        TRY(FirstPart(core_.extents, source, from_offset, from_offset + size_bytes));
    if (part.is_zeros) return CopyHole(to, to_offset, part.size_bytes);
    size_bytes = part.size_bytes;
  }
  size_bytes = std::min(size_bytes, kBufferSize);
  if (!buffer) buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  TRY(ReadRange(core_, source, from_offset, {buffer.get(), size_bytes}));
  return WriteCopied(to, to_offset, {buffer.get(), size_bytes});
}

Result<uint64_t> FileData::WriteCopied(InodeNumber to, uint64_t offset,
                                       std::span<const std::byte> bytes) {
  const media::Inode target = TRY(core_.reader.ReadInodeAnew(to));
  const Change change{.number = to, .drop_capability = HasFileCapability(target)};
  return WriteLocked(change, target, offset, bytes);
}

Result<uint64_t> FileData::CopyFromBacked(const media::Inode& source, uint64_t from_offset,
                                          InodeNumber to, uint64_t to_offset, uint64_t size_bytes,
                                          CopyBuffer& buffer) {
  const auto file = TRY(core_.FileOf(source));
  const backed::Part part = TRY(backed::FirstPart(*file, from_offset, from_offset + size_bytes));
  if (part.is_hole) return CopyHole(to, to_offset, part.size_bytes);
  size_bytes = std::min(part.size_bytes, kBufferSize);
  media::Inode target = TRY(core_.reader.ReadInodeAnew(to));
  if (TryPromote(to, target, to_offset + size_bytes)) target = TRY(core_.reader.ReadInode(to));
  if (target.body_form == media::BodyForm::kBacked) {
    const Change change{.number = to, .drop_capability = HasFileCapability(target)};
    target = TRY(DropPrivileges(change, target));
    const auto to_file = TRY(core_.FileOf(target));
    const uint64_t copied = TRY(core_.backing->WithRoom([&] {
      return to_file->CopyFrom(*file, from_offset, to_offset, part.size_bytes);
    }));
    if (copied == 0) return Failure(EIO, "a backing file became shorter");
    return copied;
  }
  if (!buffer) buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  const uint64_t got = TRY(file->Read(from_offset, {buffer.get(), size_bytes}));
  if (got == 0) return Failure(EIO, "a backing file became shorter");
  return WriteCopied(to, to_offset, {buffer.get(), got});
}

// Zeros come to [offset, offset + size): nothing is allocated for them, what is there goes. Returns
// how many: what is inside of the file, or else what extends it, so that each is done or not done.
Result<uint64_t> FileData::CopyHole(InodeNumber to, uint64_t offset, uint64_t size_bytes) {
  const media::Inode target = TRY(core_.reader.ReadInodeAnew(to));
  if (target.body_form == media::BodyForm::kBacked) {
    const auto file = TRY(core_.FileOf(target));
    const auto size = static_cast<uint64_t>(TRY(file->Stat()).st_size);
    const uint64_t end = offset + size_bytes;
    if (offset < size) TRY(backed::Clear(*file, offset, std::min(end, size)));
    if (end > size) TRY(file->Resize(end));
    return size_bytes;
  }
  if (offset >= target.size_bytes) {
    const uint64_t end = offset + size_bytes;
    const bool leaves_inline =
        target.body_form == media::BodyForm::kInline && end > InlineRoom(target);
    if (leaves_inline) TRY(SpillInline(to));
    TRY(Extend({to}, end));
    return size_bytes;
  }
  size_bytes = std::min(size_bytes, target.size_bytes - offset);
  const ClearedRange range{offset, offset + size_bytes};
  if (target.body_form == media::BodyForm::kInline) {
    TRY(ZeroInline(to, range));
  } else if (target.body_form == media::BodyForm::kTree) {
    TRY(ClearRange(to, range, Clear::kPunch));
  }
  return size_bytes;
}

}  // namespace ingot
