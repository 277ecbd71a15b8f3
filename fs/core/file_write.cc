// SPDX-License-Identifier: BSD-3-Clause
// Write: inline, in place, or through RangeWriter in one transaction a step. Durable on return; a
// crash leaves a prefix of the steps (of atomic files: of 1 MiB requests).
#include <cstring>

#include "fs/core/attributes.h"
#include "fs/core/data_placement.h"
#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"
#include "fs/core/range_writer.h"

namespace ingot {
namespace {

constexpr uint64_t kAtomicRequestSize = 1 << 20;

bool HasTimes(const media::Inode& inode, Time now) {
  return Time{inode.mtime_seconds, inode.mtime_nanoseconds} == now &&
         Time{inode.ctime_seconds, inode.ctime_nanoseconds} == now;
}

}  // namespace

Result<uint64_t> FileData::Write(InodeNumber number, uint64_t offset,
                                 std::span<const std::byte> from, const WriteOptions& options) {
  const ExclusiveInodeLocks lock(core_.locks, number);
  const media::Inode inode = TRY(OpenForChange(number, options.append || options.from_page_cache));
  if (options.append) offset = inode.size_bytes;
  if (from.empty()) return 0;
  if (offset >= media::kMaxFileSize) return Failure(EFBIG);
  from = from.first(std::min<uint64_t>(from.size(), media::kMaxFileSize - offset));
  // Nobody keeps a file's capabilities over a change of its contents, not even root (KILLPRIV_V2).
  const bool drop = !options.from_page_cache && HasFileCapability(inode);
  const bool sync = options.sync || (inode.flags & media::kInodeSync) != 0;
  return WriteLocked({number, options.kill_privileges, drop, options.append, sync}, inode, offset,
                     from);
}

// In a transaction of its own, and first: bytes are replaced in place, and those of somebody else
// must never have the privileges of the old ones, whatever ends the write in the middle.
Result<uint64_t> FileData::WriteLocked(const Change& change, const media::Inode& before,
                                       uint64_t offset, std::span<const std::byte> from) {
  media::Inode without = TRY(DropPrivileges(change, before));
  if (TryPromote(change.number, without, offset + from.size())) {
    without = TRY(core_.reader.ReadInode(change.number));
  }
  if (without.body_form == media::BodyForm::kBacked) {
    return WriteBacked(*TRY(core_.FileOf(without)), change, offset, from);
  }
  return WriteContents(change.number, without, offset, from);
}

// Returns the inode as it is then.
Result<media::Inode> FileData::DropPrivileges(const Change& change, const media::Inode& before) {
  media::Inode without = before;
  if (!change.drop_capability && !(change.kill_privileges && ClearSetIds(without))) return before;
  {
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(change.number));
    TRY(KillPrivileges(transaction, inode, change));
    SetChanged(inode, CurrentTime());
    TRY(transaction.Commit());
  }
  return core_.reader.ReadInode(change.number);
}

Result<uint64_t> FileData::WriteBacked(BackingFile& file, const Change& change, uint64_t offset,
                                       std::span<const std::byte> from) {
  const Result<uint64_t> written = core_.backing->WithRoom(
      [&] { return change.append ? file.Append(from) : file.Write(offset, from); });
  if (written && change.sync) TRY(file.Sync(/*data_only=*/true));
  return written;
}

Result<uint64_t> FileData::WriteContents(InodeNumber number, const media::Inode& before,
                                         uint64_t offset, std::span<const std::byte> from) {
  uint64_t done = 0;
  if (before.body_form == media::BodyForm::kTree) {
    done = TRY(WriteStep(number, before, offset, from));
  } else {
    const uint64_t room = InlineRoom(before);
    if (before.size_bytes <= room && offset <= room && from.size() <= room - offset) {
      TRY(WriteInline(number, offset, from));
      return from.size();
    }
    if (before.body_form == media::BodyForm::kInline) TRY(SpillInline(number));
  }
  while (done < from.size()) {
    const Result<uint64_t> written = NoThrow([&]() -> Result<uint64_t> {
      const media::Inode inode = TRY(core_.reader.ReadInode(number));
      return WriteStep(number, inode, offset + done, from.subspan(done));
    });
    if (!written) {
      if (IsShortage(written.error().code) && done > 0) return done;
      return written;
    }
    done += *written;
  }
  return done;
}

Result<void> FileData::WriteInline(InodeNumber number, uint64_t offset,
                                   std::span<const std::byte> from) {
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  std::array<std::byte, media::kInodeTailSize> contents{};
  std::memcpy(contents.data(), inode.tail.data(), inode.body_bytes);
  std::memcpy(contents.data() + offset, from.data(), from.size());
  const uint64_t size_bytes = std::max<uint64_t>(inode.size_bytes, offset + from.size());
  StoreInline(inode, std::span(contents).first(size_bytes));
  SetModified(inode, CurrentTime());
  return transaction.Commit();
}

// The cheapest write: nothing changes but bytes that are there already.
Result<bool> FileData::OverwriteInPlace(const media::Inode& before, uint64_t offset,
                                        std::span<const std::byte> from) {
  const uint64_t end = offset + from.size();
  if (end > before.size_bytes || IsAtomic(core_, before)) return false;
  if (!HasTimes(before, CurrentTime())) return false;
  absl::InlinedVector<FilePart, 4> parts;
  bool fits = true;
  TRY(ForEachPart(core_.extents, before, offset, end, [&](const FilePart& part) -> Result<void> {
    fits = fits && !part.is_zeros &&
           BytesBeforeBadPage(core_.device, part.at, part.size_bytes) == part.size_bytes;
    parts.push_back(part);
    return {};
  }));
  if (!fits) return false;
  PersistStream stream = core_.device.persist().NewStream();
  for (const FilePart& part : parts) {
    TRY(stream.CopyUnfenced(Geometry::ToMedia(part.at),
                            from.subspan(part.offset - offset, part.size_bytes)));
  }
  TRY(stream.Fence());
  return true;
}

bool FileData::HasMetBadPage(const Error& error, uint64_t known_bad) const {
  return error.code == EIO && core_.device.bad_pages().count() != known_bad &&
         core_.device.writable();
}

Result<uint64_t> FileData::WriteStep(InodeNumber number, const media::Inode& before,
                                     uint64_t offset, std::span<const std::byte> from) {
  const uint64_t known_bad = core_.device.bad_pages().count();
  const Result<bool> overwritten = OverwriteInPlace(before, offset, from);
  // A bad page that was met: the transaction knows what to do about it.
  if (!overwritten && !HasMetBadPage(overwritten.error(), known_bad)) {
    return tl::unexpected<Error>(overwritten.error());
  }
  if (overwritten && *overwritten) return from.size();
  if (placement_->PrepareWindow(before, FilePageOf(offset), EndPageOf(offset + from.size()))) {
    const media::Inode moved = TRY(core_.reader.ReadInode(number));
    return WriteTransaction(number, moved, offset, from);
  }
  return WriteTransaction(number, before, offset, from);
}

Result<uint64_t> FileData::WriteTransaction(InodeNumber number, const media::Inode& before,
                                            uint64_t offset, std::span<const std::byte> from) {
  const bool is_atomic = IsAtomic(core_, before);
  if (is_atomic) from = from.first(std::min(from.size(), kAtomicRequestSize));
  // Each page of the range may turn out to be bad, and so may the one that it then goes to.
  uint64_t new_places = 2 * (EndPageOf(offset + from.size()) - FilePageOf(offset));
  for (;;) {
    const uint64_t known_bad = core_.device.bad_pages().count();
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(number));
    RangeWriter writer(core_, *placement_, transaction, inode, before);
    Result<uint64_t> written = NoThrow([&] { return writer.Write(offset, from); });
    if (written && (!is_atomic || *written == from.size())) {
      inode.size_bytes = std::max(inode.size_bytes, offset + *written);
      SetModified(inode, CurrentTime());
      const Result<void> committed = transaction.Commit();
      if (committed) return written;
      written = Failure(committed.error().code, committed.error().context);
    }
    // What was reserved for this place went with the transaction; the rest would fit no more.
    placement_->reservations().Drop(number);
    // Once more, now that it is known which page is bad.
    if (!written && HasMetBadPage(written.error(), known_bad) && new_places > 0) {
      --new_places;
      continue;
    }
    if (is_atomic && written.error_code() != ENOSPC) {
      const bool too_large = written || written.error().code == EOVERFLOW;
      return too_large ? Failure(ENOSPC, "atomic write: too scattered") : written;
    }
    const int code = written.error().code;
    if (is_atomic || (!IsShortage(code) && code != EOVERFLOW)) return written;
    // Once more with as much as went well; after EOVERFLOW of Commit, with half of it.
    uint64_t shorter = writer.done_bytes();
    if (shorter == from.size()) shorter = RoundUp(shorter / 2, kPageSize);
    if (shorter == 0 || shorter >= from.size()) return written;
    from = from.first(shorter);
  }
}

}  // namespace ingot
