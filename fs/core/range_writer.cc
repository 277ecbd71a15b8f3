// SPDX-License-Identifier: BSD-3-Clause
// Data stores of one transaction. New pages are stored unfenced; Commit fences before it shows
// them.
#include "fs/core/range_writer.h"

#include "pmemdev/base/check.h"

namespace ingot {

RangeWriter::RangeWriter(Core& core, DataPlacement& placement, Transaction& transaction,
                         media::Inode& inode, const media::Inode& before)
    : core_(core),
      placement_(placement),
      transaction_(transaction),
      inode_(inode),
      before_(before),
      is_atomic_(IsAtomic(core, before)) {}

Result<uint64_t> RangeWriter::Write(uint64_t offset, Bytes from) {
  is_logged_ = from.size() <= kMaxLoggedBytes;
  TRY(ZeroOldTail(core_, transaction_, inode_, offset));
  done_bytes_ = 0;
  while (done_bytes_ < from.size()) {
    const uint64_t at = offset + done_bytes_;
    const Bytes rest = from.subspan(done_bytes_);
    const FilePage page = FilePageOf(at);
    const std::optional<Extent> extent = TRY(core_.extents.Find(transaction_, inode_, page));
    if (Holds(extent, page)) {
      done_bytes_ += TRY(WriteExtent(*extent, at, rest));
    } else {
      done_bytes_ += TRY(WriteHole(extent ? extent->file_page : kNoFilePage, at, rest));
    }
    if (!is_atomic_ && !transaction_.HasRoom()) break;
  }
  return done_bytes_;
}

Result<uint64_t> RangeWriter::WriteExtent(const Extent& extent, uint64_t offset, Bytes from) {
  from = from.first(std::min<uint64_t>(from.size(), OffsetOf(extent.end()) - offset));
  // Bytes behind the end of the file are nobody's until the new size is committed.
  const bool replaces = is_atomic_ && !extent.unwritten && offset < before_.size_bytes;
  if (replaces && !is_logged_) return WriteCopy(extent, offset, from);
  const LogicalOffset at = AddressIn(extent, offset);
  const uint64_t good = BytesBeforeBadPage(core_.device, at, from.size());
  if (good == 0) [[unlikely]] return WriteElsewhere(extent, offset, from);
  from = from.first(good);
  if (extent.unwritten) return WriteUnwritten(extent, offset, from);
  if (replaces) {
    TRY(transaction_.LogData(at, from));
  } else {
    TRY(transaction_.stream().CopyUnfenced(Geometry::ToMedia(at), from));
  }
  return from.size();
}

Result<uint64_t> RangeWriter::WriteUnwritten(const Extent& extent, uint64_t offset, Bytes from) {
  const FilePage first = FilePageOf(offset);
  const LogicalPage at = extent.start + (first - extent.file_page);
  TRY(FillPages(at, first, offset, from));
  TRY(core_.extents.MarkWritten(transaction_, inode_, first,
                                EndPageOf(offset + from.size()) - first));
  return from.size();
}

Result<uint64_t> RangeWriter::WriteHole(FilePage hole_end, uint64_t offset, Bytes from) {
  const FilePage first = FilePageOf(offset);
  const FilePage end = std::min(hole_end, EndPageOf(offset + from.size()));
  const bool appending = offset >= before_.size_bytes && offset <= before_.size_bytes + kPageSize;
  Claim claim =
      TRY(placement_.ClaimFor(transaction_, inode_, before_, first, end - first, appending));
  const Extent extent{.file_page = first, .start = claim.first(), .pages = claim.count()};
  from = from.first(std::min<uint64_t>(from.size(), OffsetOf(extent.end()) - offset));
  TRY(transaction_.Allocate(std::move(claim), InodeNumber(inode_.number), ClaimPurpose::kData,
                            first));
  TRY(FillPages(extent.start, first, offset, from));
  TRY(core_.extents.Insert(transaction_, inode_, extent));
  inode_.page_count += extent.pages;
  return from.size();
}

Result<uint64_t> RangeWriter::WriteCopy(const Extent& extent, uint64_t offset, Bytes from) {
  const FilePage page = FilePageOf(offset);
  const FilePage window(RoundDown(page.value, kPagesPerHugePage));
  const FilePage window_end = window + kPagesPerHugePage;
  const bool in_huge_page =
      extent.file_page <= window && window_end <= extent.end() &&
      (extent.start.value + (window - extent.file_page)) % kPagesPerHugePage == 0;
  const uint64_t end = std::min(offset + from.size(), OffsetOf(window_end));
  // Bad pages that the request doesn't replace stay where they are, and nobody needs them.
  if (in_huge_page && IsGood(extent, OffsetOf(window), offset) &&
      IsGood(extent, end, std::min(before_.size_bytes, OffsetOf(window_end)))) {
    Result<Claim> huge = core_.allocator->Take(
        {.pages = kPagesPerHugePage, .goal = extent.start, .whole_huge = true});
    if (huge) {
      from = from.first(end - offset);
      TRY(Replace(extent, window, std::move(*huge), offset, from));
      return from.size();
    }
    if (huge.error().code != ENOSPC) return Failure(huge.error().code, huge.error().context);
  }
  const uint64_t pages = EndPageOf(offset + from.size()) - page;
  Claim claim = TRY(core_.allocator->Take({.pages = pages, .goal = extent.start}));
  from = from.first(std::min<uint64_t>(from.size(), OffsetOf(page + claim.count()) - offset));
  TRY(Replace(extent, page, std::move(claim), offset, from));
  return from.size();
}

bool RangeWriter::IsGood(const Extent& extent, uint64_t offset, uint64_t end) const {
  if (offset >= end) return true;
  return BytesBeforeBadPage(core_.device, AddressIn(extent, offset), end - offset) == end - offset;
}

// The bad pages are free then, and given to nobody. From the reserve: what is overwritten, or was
// preallocated, needs no space in a full pool either.
Result<uint64_t> RangeWriter::WriteElsewhere(const Extent& extent, uint64_t offset, Bytes from) {
  const FilePage page = FilePageOf(offset);
  const uint64_t pages = core_.device.bad_pages().BadFrom(
      PageOf(AddressIn(extent, offset)), EndPageOf(offset + from.size()) - page);
  Claim claim = TRY(
      core_.allocator->Take({.pages = pages, .goal = extent.start, .from_reserve = true}));
  from = from.first(std::min<uint64_t>(from.size(), OffsetOf(page + claim.count()) - offset));
  TRY(Replace(extent, page, std::move(claim), offset, from));
  return from.size();
}

Result<void> RangeWriter::FillPages(LogicalPage to, FilePage first, uint64_t offset, Bytes from) {
  PersistStream& stream = transaction_.stream();
  const MediaOffset at = Geometry::ToMedia(to);
  const uint64_t head = offset - OffsetOf(first);
  const uint64_t tail = RoundUp(head + from.size(), kPageSize) - head - from.size();
  if (head > 0) TRY(stream.ZeroUnfenced(at, head));
  TRY(stream.CopyUnfenced(at + head, from));
  if (tail > 0) TRY(stream.ZeroUnfenced(at + head + from.size(), tail));
  return {};
}

Result<void> RangeWriter::Replace(const Extent& extent, FilePage first, Claim claim,
                                  uint64_t offset, Bytes from) {
  const Extent copy{.file_page = first, .start = claim.first(), .pages = claim.count()};
  const LogicalPage old = extent.start + (first - extent.file_page);
  const uint64_t end = offset + from.size();
  TRY(transaction_.Allocate(std::move(claim), InodeNumber(inode_.number), ClaimPurpose::kData,
                            first));
  TRY(CopyOld(extent, OffsetOf(first), offset, OffsetOf(copy.start)));
  TRY(transaction_.stream().CopyUnfenced(Geometry::ToMedia(AddressIn(copy, offset)), from));
  TRY(CopyOld(extent, end, OffsetOf(copy.end()), AddressIn(copy, end)));

  const ExtentMap::Removed removed =
      TRY(core_.extents.Remove(transaction_, inode_, first, copy.pages));
  if (removed.done < copy.pages) return Failure(EOVERFLOW, "new places: transaction full");
  TRY(core_.extents.Insert(transaction_, inode_, copy, /*from_reserve=*/true));
  return transaction_.Free(old, copy.pages);
}

Result<void> RangeWriter::CopyOld(const Extent& extent, uint64_t offset, uint64_t end,
                                  LogicalOffset to) {
  const uint64_t size = before_.size_bytes;
  const uint64_t valid_end = extent.unwritten ? offset : std::clamp(size, offset, end);
  if (offset < valid_end) {
    TRY(CopyWithin(core_, transaction_, AddressIn(extent, offset), to, valid_end - offset));
  }
  if (valid_end == end) return {};
  return transaction_.stream().ZeroUnfenced(Geometry::ToMedia(to) + (valid_end - offset),
                                            end - valid_end);
}

}  // namespace ingot
