// SPDX-License-Identifier: BSD-3-Clause
// Placement policy of file data, and the moves of a window into a huge page and out of one. A crash
// during a move leaves the old or the new place; contents are the same.
#include "fs/core/data_placement.h"

#include <utility>

#include "fs/core/file_parts.h"

namespace ingot {
namespace {

constexpr uint64_t kWindow = kPagesPerHugePage;
constexpr uint64_t kLargePages = kWindow / 2;  // 1 MiB
// A small appender claims as much again as it has, up to this (256 KiB): files that grow side by
// side stay in one piece each, and most appends need no search.
constexpr uint64_t kMaxReadAheadPages = 64;
// What is packed lies in at most so many pieces.
constexpr size_t kMaxTailPieces = 4;

bool IsCongruent(FilePage page, LogicalPage at) {
  return page.value % kWindow == at.value % kWindow;
}

// The place that continues the extent's line at `page`, if it is in the same group.
LogicalPage Continue(const Extent& extent, FilePage page) {
  const uint64_t line = extent.start.value + page.value - extent.file_page.value;  // may wrap
  const LogicalPage goal(line);
  return GroupOf(goal) == GroupOf(extent.start) ? goal : extent.start;
}

// Gives the extent, which is out of the map, another place and puts it back. Its old pages are the
// caller's.
Result<void> MovePiece(Core& core, Transaction& transaction, media::Inode& inode, Extent piece,
                       Claim to) {
  const LogicalPage from = std::exchange(piece.start, to.first());
  if (!piece.unwritten) {
    TRY(CopyWithin(core, transaction, OffsetOf(from), OffsetOf(piece.start),
                   piece.pages * kPageSize));
  }
  TRY(transaction.Allocate(std::move(to), InodeNumber(inode.number), ClaimPurpose::kData,
                           piece.file_page));
  return core.extents.Insert(transaction, inode, piece);
}

}  // namespace

DataPlacement::DataPlacement(Core& core) : core_(core) {
  core_.allocator->set_reclaimer([this] { return reservations_.DropAll(); });
}

DataPlacement::~DataPlacement() {
  core_.allocator->set_reclaimer(nullptr);
}

Result<Claim> DataPlacement::ClaimFor(Transaction& transaction, const media::Inode& inode,
                                      const media::Inode& before, FilePage page, uint64_t pages,
                                      bool appending) {
  const InodeNumber number(inode.number);
  if (Claim reserved = reservations_.Take(number, page, pages)) return reserved;
  // A window at a time: each is judged for itself.
  const uint64_t wanted = std::min(pages, kWindow - page.value % kWindow);
  const LogicalPage goal = TRY(GoalFor(transaction, inode, before, page));
  if (TRY(WantsHugePage(transaction, inode, page, wanted))) {
    Result<Claim> huge =
        core_.allocator->Take({.pages = kWindow, .goal = goal, .whole_huge = true});
    if (!huge && huge.error().code != ENOSPC) return huge;
    if (huge) {
      Claim front = huge->TakeFront(static_cast<uint32_t>(wanted));
      if (wanted < kWindow) reservations_.Put(number, page + wanted, std::move(*huge));
      return front;
    }
  }
  uint64_t ahead = appending ? std::min(inode.page_count, kMaxReadAheadPages) : 0;
  ahead = std::min(ahead, kWindow - page.value % kWindow - wanted);
  Claim claim = TRY(core_.allocator->Take({.pages = wanted + ahead, .goal = goal}));
  if (claim.count() <= wanted) return claim;
  Claim front = claim.TakeFront(static_cast<uint32_t>(wanted));
  reservations_.Put(number, page + wanted, std::move(claim));
  return front;
}

Result<bool> DataPlacement::WantsHugePage(Transaction& transaction, const media::Inode& inode,
                                          FilePage page, uint64_t pages) const {
  if (page.value % kWindow != 0) return false;
  if (pages >= kWindow) return true;
  if (page.value == 0) return false;  // PrepareWindow's business
  if (Holds(TRY(core_.extents.Find(transaction, inode, page - 1)), page - 1)) return true;
  const std::optional<Extent> head = TRY(core_.extents.Find(transaction, inode, FilePage(0)));
  return Holds(head, FilePage(0)) && IsCongruent(FilePage(0), head->start) &&
         head->pages >= kLargePages;
}

Result<LogicalPage> DataPlacement::GoalFor(Transaction& transaction, const media::Inode& inode,
                                           const media::Inode& before, FilePage page) const {
  const FilePage previous(page.value == 0 ? 0 : page.value - 1);
  const std::optional<Extent> near = TRY(core_.extents.Find(transaction, inode, previous));
  if (near) return Continue(*near, page);
  // Nothing here or behind: the last extent, by the copy of what is on media.
  const std::optional<Extent> last = TRY(core_.extents.Last(before));
  if (last) return Continue(*last, page);
  return PageOf(InodeNumber(inode.number));
}

Result<bool> DataPlacement::CrossesHalf(const media::Inode& inode, FilePage first,
                                        FilePage end) const {
  if (first.value >= kWindow) return false;
  const uint64_t head_end = std::min(end.value, kWindow);
  if (inode.page_count + (head_end - first.value) < kLargePages) return false;
  uint64_t used = 0;
  uint64_t added = head_end - first.value;
  FilePage page(0);
  while (page.value < kWindow) {
    const std::optional<Extent> extent = TRY(core_.extents.Find(inode, page));
    if (!extent || extent->file_page.value >= kWindow) break;
    const uint64_t from = std::max(page, extent->file_page).value;
    const uint64_t to = std::min(extent->end().value, kWindow);
    used += to - from;
    const uint64_t shared_from = std::max(from, first.value);
    const uint64_t shared_to = std::min(to, head_end);
    if (shared_from < shared_to) added -= shared_to - shared_from;
    page = FilePage(to);
  }
  return used < kLargePages && used + added >= kLargePages;
}

// The window is used from its begin to `first`, and begins somewhere else than its huge page would.
Result<bool> DataPlacement::CompletesPieces(const media::Inode& inode, FilePage first,
                                            FilePage end) const {
  const FilePage window(RoundDown(first.value, kWindow));
  if (first == window || end < window + kWindow) return false;
  const std::optional<Extent> begin = TRY(core_.extents.Find(inode, window));
  if (!Holds(begin, window) || IsCongruent(begin->file_page, begin->start)) return false;
  for (FilePage page = begin->end(); page < first;) {
    const std::optional<Extent> next = TRY(core_.extents.Find(inode, page));
    if (!Holds(next, page)) return false;
    page = next->end();
  }
  return !Holds(TRY(core_.extents.Find(inode, window + (kWindow - 1))), window + (kWindow - 1));
}

bool DataPlacement::PrepareWindow(const media::Inode& inode, FilePage first, FilePage end) {
  if (first.value == 0 && end.value >= kWindow && inode.page_count == 0) return false;
  const Result<bool> moved = NoThrow([&]() -> Result<bool> {
    if (!TRY(CrossesHalf(inode, first, end)) && !TRY(CompletesPieces(inode, first, end))) {
      return false;
    }
    const InodeNumber number(inode.number);
    Claim huge =
        TRY(core_.allocator->Take({.pages = kWindow, .goal = PageOf(number), .whole_huge = true}));
    TRY(MoveWindow(number, FilePage(RoundDown(first.value, kWindow)), std::move(huge)));
    return true;
  });
  return moved && *moved;
}

Result<void> DataPlacement::MoveWindow(InodeNumber number, FilePage window, Claim huge) {
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  const ExtentMap::Removed old = TRY(core_.extents.Remove(transaction, inode, window, kWindow));
  if (old.done < kWindow) return Failure(EOVERFLOW, "too many pieces");
  struct Gap {
    FilePage page;
    Claim claim;
  };
  absl::InlinedVector<Gap, 4> gaps;
  FilePage at = window;
  for (const Extent& piece : old.pieces) {
    if (piece.file_page > at) {
      gaps.push_back({at, huge.TakeFront(static_cast<uint32_t>(piece.file_page - at))});
    }
    TRY(MovePiece(core_, transaction, inode, piece, huge.TakeFront(piece.pages)));
    TRY(transaction.Free(piece.start, piece.pages));
    at = piece.end();
  }
  if (huge) gaps.push_back({at, std::move(huge)});
  if (!old.pieces.empty()) TRY(transaction.Commit());
  reservations_.Drop(number);
  for (Gap& gap : gaps) reservations_.Put(number, gap.page, std::move(gap.claim));
  return {};
}

void DataPlacement::Settle(InodeNumber number) {
  if (core_.allocator->IsShortOfHugePages() && reservations_.Has(number)) {
    (void)NoThrow([&] { return PackTail(number); });
  }
  reservations_.Drop(number);
}

// The first is not congruent with a window, or the window would look as if it lay in its huge page
// when it is filled up. ENOSPC: not in so few pieces.
Result<DataPlacement::Places> DataPlacement::PlacesFor(uint64_t pages, LogicalPage goal) {
  Places places;
  Claim dropped;
  while (pages > 0) {
    if (places.size() == kMaxTailPieces) return Failure(ENOSPC);
    places.push_back(
        TRY(core_.allocator->Take({.pages = pages, .goal = goal, .only_fragments = true})));
    if (places.size() == 1 && IsCongruent(FilePage(0), places[0].first())) {
      dropped = places[0].TakeFront(1);
      if (!places[0]) return Failure(ENOSPC);
    }
    pages -= places.back().count();
  }
  return places;
}

Result<void> DataPlacement::PackTail(InodeNumber number) {
  TRY(core_.CheckWritable());
  const ExclusiveInodeLocks lock(core_.locks, number);
  const media::Inode before = TRY(core_.reader.ReadInodeAnew(number));
  if (before.body_form != media::BodyForm::kTree || before.links == 0) return {};
  const std::optional<Extent> last = TRY(core_.extents.Last(before));
  if (!last) return {};
  const FilePage window(RoundDown(last->end().value - 1, kWindow));
  const uint64_t used = last->end() - window;
  // Held until the move is done, or what is searched for would be found here.
  const Claim rest = reservations_.Take(number, last->end(), kWindow);
  const bool is_own = rest && rest.first() == last->start + last->pages &&
                      rest.count() == kWindow - used &&
                      IsCongruent(last->file_page, last->start);
  if (!is_own) return {};
  Places places = TRY(PlacesFor(used, last->start));

  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  const ExtentMap::Removed old = TRY(core_.extents.Remove(transaction, inode, window, used));
  if (old.done < used) return {};
  Places::iterator place = places.begin();
  for (const Extent& piece : old.pieces) {
    Extent left = piece;
    while (left.pages > 0) {
      Claim to = place->TakeFront(std::min(left.pages, place->count()));
      if (!*place) ++place;
      Extent part = left;
      part.pages = to.count();
      TRY(MovePiece(core_, transaction, inode, part, std::move(to)));
      left.file_page += part.pages;
      left.start += part.pages;
      left.pages -= part.pages;
    }
    TRY(transaction.Free(piece.start, piece.pages));
  }
  return transaction.Commit();
}

}  // namespace ingot
