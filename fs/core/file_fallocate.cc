// SPDX-License-Identifier: BSD-3-Clause
// Fallocate: preallocated space is unwritten extents, punching frees whole pages and zeroes parts
// of pages. A crash leaves a prefix of the transactions; partly zeroed pages of plain files may be
// torn, and show old bytes or zeros.
#include "fs/core/attributes.h"
#include "fs/core/backed_data.h"
#include "fs/core/data_placement.h"
#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"

namespace ingot {
namespace {

// Zeroes [offset, end), which lies in one page, where something is stored. Atomic files: by the
// lane.
Result<void> ZeroPart(const Core& core, Transaction& transaction, const media::Inode& inode,
                      uint64_t offset, uint64_t end) {
  if (offset >= end) return {};
  const FilePage page = FilePageOf(offset);
  const std::optional<Extent> extent = TRY(core.extents.Find(transaction, inode, page));
  if (!Holds(extent, page) || extent->unwritten) return {};
  const LogicalOffset at = AddressIn(*extent, offset);
  if (!IsAtomic(core, inode)) {
    return transaction.stream().ZeroUnfenced(Geometry::ToMedia(at), end - offset);
  }
  static constexpr std::array<std::byte, kPageSize> kZeros{};
  return transaction.LogData(at, std::span(kZeros).first(end - offset));
}

// Turns written pages of [first, end) into unwritten ones in their places, as far as there is room.
Result<FilePage> MakeUnwritten(Core& core, Transaction& transaction, media::Inode& inode,
                               FilePage first, FilePage end) {
  while (first < end && transaction.HasRoom()) {
    const std::optional<Extent> extent = TRY(core.extents.Find(transaction, inode, first));
    if (!extent || extent->file_page >= end) return end;
    first = std::max(first, extent->file_page);
    const FilePage piece_end = std::min(end, extent->end());
    if (!extent->unwritten) {
      ExtentMap::Removed removed =
          TRY(core.extents.Remove(transaction, inode, first, piece_end - first));
      for (Extent& piece : removed.pieces) {
        piece.unwritten = true;
        TRY(core.extents.Insert(transaction, inode, piece, /*from_reserve=*/true));
      }
      if (removed.done < piece_end - first) return first + removed.done;
    }
    first = piece_end;
  }
  return first;
}

}  // namespace

Result<void> FileData::Fallocate(InodeNumber number, uint32_t mode, uint64_t offset,
                                 uint64_t size_bytes) {
  const bool keeps_size = (mode & kFallocateKeepSize) != 0;
  const uint32_t kind = mode & ~uint32_t{kFallocateKeepSize};
  const bool is_known =
      kind == 0 || kind == kFallocateZeroRange || (kind == kFallocatePunchHole && keeps_size);
  if (!is_known) return Failure(EOPNOTSUPP);
  const ExclusiveInodeLocks lock(core_.locks, number);
  media::Inode inode = TRY(OpenForChange(number, kind == 0));
  if (size_bytes == 0) return Failure(EINVAL);
  if (offset > media::kMaxFileSize || size_bytes > media::kMaxFileSize - offset) {
    return Failure(EFBIG);
  }
  const uint64_t end = offset + size_bytes;
  const bool extends = !keeps_size && end > inode.size_bytes;
  if (kind != kFallocatePunchHole && TryPromote(number, inode, end)) {
    inode = TRY(core_.reader.ReadInode(number));
  }
  if (inode.body_form == media::BodyForm::kBacked) {
    const auto file = TRY(core_.FileOf(inode));
    return core_.backing->WithRoom(
        [&] { return backed::Fallocate(*file, mode, offset, size_bytes); });
  }

  if (inode.body_form != media::BodyForm::kTree && inode.size_bytes <= InlineRoom(inode)) {
    // What fits the tail needs no space of its own, now or later.
    if (kind == kFallocatePunchHole || end <= InlineRoom(inode)) {
      // Preallocating zeroes nothing, but the times change all the same.
      return ZeroInline(number, {kind != 0 ? offset : end, end, extends});
    }
    TRY(SpillInline(number));
  }
  if (kind == kFallocatePunchHole) return ClearRange(number, {offset, end}, Clear::kPunch);
  TRY(Preallocate(number, {FilePageOf(offset), EndPageOf(end)}));
  if (kind == kFallocateZeroRange) {
    return ClearRange(number, {offset, end, extends}, Clear::kMakeUnwritten);
  }
  return extends ? Extend({number}, end) : Result<void>();
}

Result<void> FileData::ZeroInline(InodeNumber number, const ClearedRange& range) {
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  std::array<std::byte, media::kInodeTailSize> contents{};
  std::copy_n(inode.tail.begin(), inode.body_bytes, contents.begin());
  const uint64_t end = std::min<uint64_t>(range.end, contents.size());
  if (range.offset < end) {
    std::fill_n(contents.begin() + static_cast<std::ptrdiff_t>(range.offset), end - range.offset,
                std::byte{0});
  }
  const uint64_t extended = range.extends ? range.end : 0;
  StoreInline(inode, std::span(contents).first(std::max(inode.size_bytes, extended)));
  SetModified(inode, CurrentTime());
  return transaction.Commit();
}

Result<void> FileData::ClearRange(InodeNumber number, const ClearedRange& range, Clear how) {
  const auto [offset, end, extends] = range;
  FilePage next = EndPageOf(offset);
  const FilePage whole_end = std::max(next, FilePageOf(end));
  bool is_first = true;
  do {
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(number));
    if (is_first) {
      SetModified(inode, CurrentTime());
      // Both edges, or the one part if the range lies within a page.
      TRY(ZeroPart(core_, transaction, inode, offset, std::min(end, OffsetOf(next))));
      TRY(ZeroPart(core_, transaction, inode, std::max(offset, OffsetOf(FilePageOf(end))),
                   FilePageOf(end) < next ? 0 : end));
      is_first = false;
    }
    Result<FilePage> cleared =
        how == Clear::kPunch ? FreeRange(core_, transaction, inode, next, whole_end)
                             : MakeUnwritten(core_, transaction, inode, next, whole_end);
    next = TRY(cleared);
    if (next >= whole_end && extends && end > inode.size_bytes) {
      TRY(ZeroOldTail(core_, transaction, inode, end));
      inode.size_bytes = end;
    }
    TRY(transaction.Commit());
  } while (next < whole_end);
  return {};
}

Result<void> FileData::Preallocate(InodeNumber number, PageRange range) {
  const media::Inode before = TRY(core_.reader.ReadInode(number));
  TRY(CheckFits(before, range));
  placement_->PrepareWindow(before, range.first, range.end);
  std::vector<PageRange> added;
  while (range.first < range.end) {
    const Result<FilePage> next =
        NoThrow([&] { return PreallocateStep(number, range, added); });
    if (!next) {
      GiveBack(number, added);
      return Failure(next.error().code, next.error().context);
    }
    range.first = *next;
  }
  return {};
}

Result<void> FileData::CheckFits(const media::Inode& inode, PageRange range) const {
  uint64_t wanted = 0;
  FilePage page = range.first;
  while (page < range.end) {
    const std::optional<Extent> extent = TRY(core_.extents.Find(inode, page));
    const FilePage hole_end = extent ? std::min(extent->file_page, range.end) : range.end;
    if (hole_end > page) wanted += hole_end - page;
    page = extent ? std::max(extent->end(), page + 1) : range.end;
  }
  const SpaceCounts counts = core_.allocator->Count();
  if (wanted + counts.reserve_pages > counts.free_pages && wanted > 0) return Failure(ENOSPC);
  return {};
}

Result<FilePage> FileData::PreallocateStep(InodeNumber number, PageRange range,
                                           std::vector<PageRange>& added) {
  for (;;) {
    std::vector<PageRange> adding;
    const Result<FilePage> next = TryPreallocate(number, range, adding);
    if (next) {
      for (const PageRange& run : adding) {
        if (!added.empty() && added.back().end == run.first) {
          added.back().end = run.end;
        } else {
          added.push_back(run);
        }
      }
      return next;
    }
    // Too many groups: once more with half of what it had got.
    const uint64_t count = adding.size();
    if (next.error().code != EOVERFLOW || count < 2) return next;
    range.end = adding[count / 2].first;
  }
}

Result<FilePage> FileData::TryPreallocate(InodeNumber number, PageRange range,
                                          std::vector<PageRange>& adding) {
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  const media::Inode before = inode;
  FilePage page = range.first;
  while (page < range.end && transaction.HasRoom()) {
    const std::optional<Extent> extent = TRY(core_.extents.Find(transaction, inode, page));
    if (Holds(extent, page)) {
      page = extent->end();
      continue;
    }
    const FilePage hole_end = extent ? std::min(extent->file_page, range.end) : range.end;
    Claim claim = TRY(placement_->ClaimFor(transaction, inode, before, page, hole_end - page,
                                           /*appending=*/false));
    const Extent piece{
        .file_page = page, .start = claim.first(), .pages = claim.count(), .unwritten = true};
    adding.push_back({page, piece.end()});
    TRY(transaction.Allocate(std::move(claim), number, ClaimPurpose::kData, page));
    TRY(core_.extents.Insert(transaction, inode, piece));
    inode.page_count += piece.pages;
    page = piece.end();
  }
  SetModified(inode, CurrentTime());  // as ext4, xfs and tmpfs, with KEEP_SIZE too
  TRY(transaction.Commit());
  return page;
}

// Best effort: what stays allocated reads as zeros and is of use to the file.
void FileData::GiveBack(InodeNumber number, const std::vector<PageRange>& ranges) {
  placement_->reservations().Drop(number);
  (void)NoThrow([&]() -> Result<void> {
    for (const PageRange& range : ranges) {
      for (FilePage next = range.first; next < range.end;) {
        Transaction transaction(*core_.allocator, core_.reader);
        media::Inode& inode = *TRY(transaction.EditInode(number));
        next = TRY(FreeRange(core_, transaction, inode, next, range.end));
        TRY(transaction.Commit());
      }
    }
    return {};
  });
}

}  // namespace ingot
