// SPDX-License-Identifier: BSD-3-Clause
// The durable side of the allocator: what a transaction changes in bitmaps and group entries.
//
// Stage computes and logs under the groups' locks, Finish gives them back when the lane has been
// invalidated. A crash in between is the lane's matter. A group that was never used gets its
// bitmaps and first inode page here, unlogged: nobody believes them before its entry, logged, says
// so.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "fs/core/allocator.h"
#include "fs/core/bitmap_edit.h"
#include "fs/core/log_changes.h"
#include "fs/format.h"
#include "pmemdev/base/check.h"

namespace ingot {
namespace {

PageRun RunOf(const GroupChange::Run& run) {
  return {run.first, run.count};
}

tl::unexpected<Error> Inconsistent(GroupIndex group, const char* what) {
  return Failure(EUCLEAN, fmt::format("group {}: {}", group.value, what));
}

Result<void> LogRun(Lane& lane, MediaOffset bitmap_at, const PageBitmap& bitmap, PageRun run) {
  const uint32_t first = run.first / 64;
  const uint32_t last = (run.first + run.count - 1) / 64;
  return lane.Log(bitmap_at + first * kWordSize,
                  std::span(bitmap).subspan(first, last - first + 1));
}

// Applies the runs to the allocation bitmap; false if one is not in the state it should be in.
Result<void> ApplyRuns(const GroupChange& change, BitmapEdit& edit) {
  PageBitmap& bitmap = edit.bitmap();
  for (const GroupChange::Run& run : change.allocate) {
    TRY(edit.Load(RunOf(run)));
    if (!AllClear(bitmap, RunOf(run))) return Inconsistent(change.group, "page allocated twice");
    SetRun(bitmap, RunOf(run));
  }
  for (const GroupChange::Run& run : change.release) {
    TRY(edit.Load(RunOf(run)));
    if (!AllSet(bitmap, RunOf(run))) return Inconsistent(change.group, "page freed twice");
    ClearRun(bitmap, RunOf(run));
  }
  return {};
}

void ApplyHugeMask(const GroupChange::Run& run, const PageBitmap& bitmap, uint32_t pages,
                   media::GroupEntry& entry) {
  const uint32_t last = (run.first + run.count - 1) / kRunPages;
  for (uint32_t huge = run.first / kRunPages; huge <= last; ++huge) {
    const PageRun whole{huge * kRunPages, kRunPages};
    const uint64_t bit = uint64_t{1} << huge;
    const bool free = whole.first + whole.count <= pages && AllClear(bitmap, whole);
    entry.free_huge_mask = free ? entry.free_huge_mask | bit : entry.free_huge_mask & ~bit;
  }
}

// value + delta, refusing to leave [0, max].
Result<uint32_t> Adjust(GroupIndex group, uint32_t value, int32_t delta, uint32_t max,
                        const char* what) {
  const int64_t sum = int64_t{value} + delta;
  if (sum < 0 || sum > max) return Inconsistent(group, what);
  return static_cast<uint32_t>(sum);
}

}  // namespace

Result<void> Allocator::Stage(std::span<GroupChange> changes, Lane& lane,
                              PersistStream& stream) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  std::sort(changes.begin(), changes.end(),
            [](const GroupChange& a, const GroupChange& b) { return a.group < b.group; });
  for (size_t i = 0; i < changes.size(); ++i) {
    groups_[changes[i].group.value].mutex.Lock();
    Result<void> staged = NoThrow(
        [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return StageGroup(changes[i], lane, stream); });
    if (staged) continue;
    for (size_t held = 0; held <= i; ++held) groups_[changes[held].group.value].mutex.Unlock();
    return staged;
  }
  return {};
}

Result<void> Allocator::StageGroup(GroupChange& change, Lane& lane,
                                   PersistStream& stream) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  GroupState& state = groups_[change.group.value];
  if (state.damaged) return Inconsistent(change.group, "its entry is damaged");
  const media::GroupEntry before = TRY(device_.group_table().Read(change.group));
  media::GroupEntry& after = change.after;
  after = before;
  const bool fresh = (before.flags & media::kGroupUninitialised) != 0;
  change.fresh = fresh;
  if (fresh) {
    TRY(ActivateGroup(state, change.group));
    TRY(stream.ZeroUnfenced(Geometry::DataOf(change.group), kPageSize));
    after.flags &= ~uint32_t{media::kGroupUninitialised};
    after.free_inode_slots = FreshInodeSlots(change.group);
  }
  if (fresh || !change.allocate.empty() || !change.release.empty()) {
    TRY(StageAllocated(change, fresh, lane, stream));
  }
  if (fresh || !change.inode_pages_added.empty() || !change.inode_pages_removed.empty()) {
    TRY(StageInodePages(change, fresh, lane, stream));
  }
  const uint32_t pages = device_.geometry().PagesIn(change.group);
  const auto max_slots = static_cast<uint32_t>(pages * media::kInodesPerPage);
  after.free_inode_slots = TRY(Adjust(change.group, after.free_inode_slots, change.free_inode_slots,
                                      max_slots, "free inode slots"));
  after.orphans = TRY(Adjust(change.group, after.orphans, change.orphans, max_slots, "orphans"));
  GroupTable::Seal(change.group, after);
  return LogChangedWords(lane, Geometry::GroupEntryAt(change.group), BytesOf(before),
                         BytesOf(after));
}

Result<void> Allocator::StageAllocated(GroupChange& change, bool fresh, Lane& lane,
                                       PersistStream& stream) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const LogicalPage at = FirstPageOf(change.group) + media::kAllocatedBitmapPage;
  if (!fresh) TRY(Bitmap(groups_[change.group.value], change.group, media::kAllocatedBitmapPage));
  BitmapEdit edit =
      fresh ? BitmapEdit(device_, at, FreshAllocated(change.group)) : BitmapEdit(device_, at);
  const PageBitmap& bitmap = edit.bitmap();
  TRY(ApplyRuns(change, edit));

  const uint32_t pages = device_.geometry().PagesIn(change.group);
  int64_t freed = 0;
  for (const GroupChange::Run& run : change.allocate) {
    freed -= run.count;
    ApplyHugeMask(run, bitmap, pages, change.after);
    if (!fresh) TRY(LogRun(lane, Geometry::ToMedia(at), bitmap, RunOf(run)));
  }
  for (const GroupChange::Run& run : change.release) {
    freed += run.count;
    ApplyHugeMask(run, bitmap, pages, change.after);
    if (!fresh) TRY(LogRun(lane, Geometry::ToMedia(at), bitmap, RunOf(run)));
  }
  if (fresh) TRY(stream.CopyUnfenced(Geometry::ToMedia(at), edit.bytes()));
  change.after.free_pages = TRY(Adjust(change.group, change.after.free_pages,
                                       static_cast<int32_t>(freed), pages, "free pages"));
  change.after.allocated_checksum = edit.Checksum(change.after.allocated_checksum);
  return {};
}

Result<void> Allocator::StageInodePages(GroupChange& change, bool fresh, Lane& lane,
                                        PersistStream& stream) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const LogicalPage at = FirstPageOf(change.group) + media::kInodeBitmapPage;
  PageBitmap first_only{};
  SetRun(first_only, {media::kFirstInodePage, 1});
  if (!fresh) TRY(Bitmap(groups_[change.group.value], change.group, media::kInodeBitmapPage));
  BitmapEdit edit = fresh ? BitmapEdit(device_, at, first_only) : BitmapEdit(device_, at);
  PageBitmap& bitmap = edit.bitmap();
  for (const uint32_t page : change.inode_pages_added) {
    TRY(edit.Load({page, 1}));
    if (TestBit(bitmap, page)) return Inconsistent(change.group, "inode page added twice");
    SetRun(bitmap, {page, 1});
  }
  for (const uint32_t page : change.inode_pages_removed) {
    TRY(edit.Load({page, 1}));
    if (!TestBit(bitmap, page)) return Inconsistent(change.group, "no inode page");
    ClearRun(bitmap, {page, 1});
  }
  if (fresh) {
    TRY(stream.CopyUnfenced(Geometry::ToMedia(at), edit.bytes()));
  } else {
    for (const uint32_t page : change.inode_pages_added) {
      TRY(LogRun(lane, Geometry::ToMedia(at), bitmap, {page, 1}));
    }
    for (const uint32_t page : change.inode_pages_removed) {
      TRY(LogRun(lane, Geometry::ToMedia(at), bitmap, {page, 1}));
    }
  }
  change.after.inode_checksum = edit.Checksum(change.after.inode_checksum);
  return {};
}

void Allocator::Finish(std::span<GroupChange> changes,
                       bool committed) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (const GroupChange& change : changes) {
    if (committed) FinishGroup(change);
    groups_[change.group.value].mutex.Unlock();
  }
}

void Allocator::FinishGroup(const GroupChange& change) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  GroupState& state = groups_[change.group.value];
  if (state.uninitialised.load(std::memory_order_relaxed)) {
    state.uninitialised.store(false, std::memory_order_release);
    for (const uint32_t page : {media::kAllocatedBitmapPage, media::kInodeBitmapPage}) {
      device_.page_array().Get(FirstPageOf(change.group) + page).flags.fetch_or(kPageVerified);
    }
  }
  state.free_inode_slots.store(change.after.free_inode_slots, std::memory_order_relaxed);
  state.orphans.store(change.after.orphans, std::memory_order_relaxed);
  for (const GroupChange::Run& run : change.release) {
    for (uint32_t page = run.first; page < run.first + run.count; ++page) {
      PageDescriptor* descriptor = device_.page_array().Peek(FirstPageOf(change.group) + page);
      if (descriptor == nullptr) continue;
      ClearMarks(*descriptor);
      descriptor->owner.store(0, std::memory_order_relaxed);
      descriptor->state.store(PageState::kFree, std::memory_order_relaxed);
    }
    CountFree(state, change.group, RunOf(run));
  }
}

}  // namespace ingot
