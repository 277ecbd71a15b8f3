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
  if (extent.unwritten) return WriteUnwritten(extent, offset, from);
  const LogicalOffset at = AddressIn(extent, offset);
  if (core_.device.bad_pages().any() && !is_atomic_) [[unlikely]] {
    const LogicalPage first = PageOf(at);
    const uint64_t pages = EndPageOf(offset + from.size()) - FilePageOf(offset);
    const uint64_t good = core_.device.bad_pages().GoodFrom(first, pages);
    if (good == 0) return WriteElsewhere(extent, offset, from);
    if (good < pages) from = from.first(OffsetOf(FilePageOf(offset) + good) - offset);
  }
  // Bytes behind the end of the file are nobody's until the new size is committed.
  if (!is_atomic_ || offset >= before_.size_bytes) {
    TRY(transaction_.stream().CopyUnfenced(Geometry::ToMedia(at), from));
  } else if (is_logged_) {
    TRY(transaction_.LogData(at, from));
  } else {
    return WriteCopy(extent, offset, from);
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
  if (in_huge_page) {
    Result<Claim> huge = core_.allocator->Take(
        {.pages = kPagesPerHugePage, .goal = extent.start, .whole_huge = true});
    if (huge) {
      from = from.first(std::min<uint64_t>(from.size(), OffsetOf(window_end) - offset));
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

// A page that is known to be bad, and all of whose bytes are given anew, gets another place. The
// bad one is free then, and given to nobody. EIO: some of its bytes are to stay.
Result<uint64_t> RangeWriter::WriteElsewhere(const Extent& extent, uint64_t offset, Bytes from) {
  const FilePage page = FilePageOf(offset);
  Claim claim = TRY(core_.allocator->Take({.pages = 1, .goal = extent.start}));
  from = from.first(std::min<uint64_t>(from.size(), OffsetOf(page + 1) - offset));
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
  if (removed.done < copy.pages) return Failure(EOVERFLOW, "atomic write: transaction full");
  TRY(core_.extents.Insert(transaction_, inode_, copy));
  return transaction_.Free(old, copy.pages);
}

Result<void> RangeWriter::CopyOld(const Extent& extent, uint64_t offset, uint64_t end,
                                  LogicalOffset to) {
  const uint64_t size = before_.size_bytes;
  const uint64_t valid_end = std::clamp(size, offset, end);
  if (offset < valid_end) {
    TRY(CopyWithin(core_, transaction_, AddressIn(extent, offset), to, valid_end - offset));
  }
  if (valid_end == end) return {};
  return transaction_.stream().ZeroUnfenced(Geometry::ToMedia(to) + (valid_end - offset),
                                            end - valid_end);
}

}  // namespace ingot
