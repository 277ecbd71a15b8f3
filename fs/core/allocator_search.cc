// SPDX-License-Identifier: BSD-3-Clause
// The search for space. Policy (design, "Allocation truth"): metadata into huge page 0 of a group,
// small requests into broken huge pages best-fit, whole huge pages kept whole as long as there are
// others.
//
// A group's lock is held only while that group is searched. Volatile only: nothing reaches media,
// but that the host is made to allocate what is handed out (a store into a hole of a full host is
// SIGBUS).
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "fs/core/allocator.h"
#include "fs/core/test_hooks.h"
#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

// How many groups near the goal are asked for room in their home.
constexpr uint32_t kNearbyGroups = 8;
// How many groups are asked for fragments, in vain, before a fresh huge page is broken. Those are
// not asked again until something becomes free there, so that few requests come to this bound; it
// is what keeps the others short. (8 groups that had any free page, whether fragments or not, was
// too few: in a churned pool of 125 groups a quarter of the free huge pages was left of those that
// are there now.)
constexpr uint32_t kFragmentGroups = 64;
// A fragment at least this long (64 KiB) is worth taking although the request is larger.
constexpr uint32_t kGoodFragmentPages = FragmentSummary::kLongestPages;

uint32_t FragmentPages(const ClaimRequest& request) {
  return static_cast<uint32_t>(std::min<uint64_t>(request.pages, kGoodFragmentPages));
}

// How many times a search asks a host that is full. What it has given already it gives again, so
// that a few refusals say enough; without a bound a full host under a large pool would be asked for
// each of its huge pages.
constexpr uint32_t kMaxHostRefusals = 16;

// The mask comes from the group's entry; the bitmap is the truth.
PageRun FirstWholeHuge(uint64_t mask, const PageBitmap& taken) {
  for (; mask != 0; mask &= mask - 1) {
    const PageRun run{static_cast<uint32_t>(std::countr_zero(mask)) * kRunPages, kRunPages};
    if (AllClear(taken, run)) return run;
  }
  return {};
}

}  // namespace

Result<Claim> Allocator::Take(const ClaimRequest& request) {
  CHECK(request.pages > 0, "empty claim");
#ifdef INGOT_TEST_HOOKS
  if (test_hooks::TakeInjectedFailure()) return Failure(ENOSPC, "injected");
#endif
  if (device_.bad_pages().any()) [[unlikely]] NoticeBadPages();
  // Twice, because others may take what a first reclaim gave back.
  constexpr int kReclaims = 2;
  for (int attempt = 0;; ++attempt) {
    Result<Claim> claim = TakeOnce(request);
    // Appenders' claims are fragments: giving them up would not make a huge page whole. And what
    // may as well stay where it is takes nobody's.
    const bool is_place = request.whole_huge || request.only_fragments;
    if (claim || claim.error().code != ENOSPC || is_place) return claim;
    if (attempt < kReclaims && reclaimer_ && reclaimer_()) continue;
    return request.from_reserve ? TakeFromHostReserve(request) : std::move(claim);
  }
}

Result<Claim> Allocator::TakeOnce(ClaimRequest request) {
  const int64_t unclaimed = unclaimed_pages_.load();
  const int64_t usable =
      request.from_reserve ? unclaimed : unclaimed - static_cast<int64_t>(reserve_pages_);
  if (request.whole_huge) request.pages = kPagesPerHugePage;
  const bool all = request.whole_huge || request.exact;
  if (usable < static_cast<int64_t>(all ? request.pages : 1)) return Failure(ENOSPC);
  request.pages = std::min(request.pages, static_cast<uint64_t>(usable));
  Result<Claim> claim = request.whole_huge ? TakeWholeHuge(request) : TakeRun(request);
  if (!claim || request.from_reserve) return claim;
  // Others may have looked at the same free pages; whoever takes last sees all of it.
  const int64_t lacking = static_cast<int64_t>(reserve_pages_) - unclaimed_pages_.load();
  if (lacking <= 0) return claim;
  if (all || lacking >= claim->count()) return Failure(ENOSPC);
  return claim->TakeFront(claim->count() - static_cast<uint32_t>(lacking));
}

Result<Claim> Allocator::TakeWholeHuge(const ClaimRequest& request) {
  const GroupIndex start = std::min(GroupOf(request.goal), GroupIndex(group_count_ - 1));
  uint32_t host_refusals = 0;
  for (int lap = 0; lap < 2; ++lap) {
    const GroupIndex end = lap == 0 ? GroupIndex(group_count_) : start;
    for (GroupIndex group = with_huge_.Next(lap == 0 ? start : GroupIndex(0)); group < end;
         group = with_huge_.Next(group + 1)) {
      std::optional<Claim> claim = TRY(TryWholeHuge(group, host_refusals));
      if (claim) return std::move(*claim);
    }
  }
  return Failure(ENOSPC);
}

Result<std::optional<Claim>> Allocator::TryWholeHuge(GroupIndex group,
                                                     uint32_t& host_refusals) {
  GroupState& state = groups_[group.value];
  MutexLock lock(state.mutex);
  if (state.free_huge_mask == 0) {
    with_huge_.Clear(group);
    return std::nullopt;
  }
  PageBitmap taken;
  if (!BuildTaken(state, group, taken)) {
    LeaveOut(group);
    return std::nullopt;
  }
  const PageRun run = FirstWholeHuge(state.free_huge_mask, taken);
  if (run.count == 0) {
    with_huge_.Clear(group);
    return std::nullopt;
  }
  Result<Claim> claim = MakeClaim(state, group, run);
  // A full host: another group's may be backed already.
  if (claim.error_code() == ENOSPC && ++host_refusals < kMaxHostRefusals) return std::nullopt;
  return TRY(std::move(claim));
}

// A damaged bitmap takes its group out of the game; it must not stop the others.
void Allocator::LeaveOut(GroupIndex group) {
  log::Failed("event=bitmap_unusable group={}", group.value);
  with_pages_.Clear(group);
  with_huge_.Clear(group);
  with_fragments_.ClearFrom(group, 1);
}

GroupIndex Allocator::NextToAsk(Effort effort, uint32_t fragment_pages, GroupIndex from) const {
  switch (effort) {
    case Effort::kFragments:
      return with_fragments_.Next(from, fragment_pages);
    case Effort::kNewHugePage:
      return with_huge_.Next(from);
    case Effort::kHome:
    case Effort::kAnything:
      break;
  }
  return with_pages_.Next(from);
}

Result<Claim> Allocator::TakeRun(const ClaimRequest& request) {
  const GroupIndex start = std::min(GroupOf(request.goal), GroupIndex(group_count_ - 1));
  using enum Effort;
  uint32_t host_refusals = 0;
  for (const Effort effort : {kHome, kFragments, kNewHugePage, kAnything}) {
    if (effort == kHome && request.purpose == ClaimPurpose::kData) continue;
    if (request.only_fragments && effort != kFragments) continue;
    const uint32_t fragment_pages = FragmentPages(request);
    uint32_t left = effort == kHome        ? kNearbyGroups
                    : effort == kFragments ? kFragmentGroups
                                           : std::numeric_limits<uint32_t>::max();
    for (int lap = 0; lap < 2; ++lap) {
      const GroupIndex end = lap == 0 ? GroupIndex(group_count_) : start;
      for (GroupIndex group =
               NextToAsk(effort, fragment_pages, lap == 0 ? start : GroupIndex(0));
           group < end && left > 0; group = NextToAsk(effort, fragment_pages, group + 1), --left) {
        std::optional<Claim> claim = TRY(TryGroup(group, request, effort, host_refusals));
        if (claim) return std::move(*claim);
      }
    }
  }
  return Failure(ENOSPC);
}

Result<std::optional<Claim>> Allocator::TryGroup(GroupIndex group, const ClaimRequest& request,
                                                 Effort effort, uint32_t& host_refusals) {
  GroupState& state = groups_[group.value];
  MutexLock lock(state.mutex);
  if (state.free_pages.load(std::memory_order_relaxed) == 0) {
    with_pages_.Clear(group);
    return std::nullopt;
  }
  if (request.purpose == ClaimPurpose::kInodePage && !IsInodeBitmapGood(state, group)) {
    return std::nullopt;
  }
  if (effort == Effort::kFragments) {
    // Most small requests continue a run: no need to look at the whole group.
    const Result<PageRun> run = ContinueRun(state, group, request);
    if (run && run->count != 0) {
      Result<Claim> claim = MakeClaim(state, group, *run);
      if (claim) state.cursor = run->first + run->count;
      if (claim || claim.error_code() != ENOSPC) return TRY(std::move(claim));
      ++host_refusals;
    }
  }
  PageBitmap taken;
  if (!BuildTaken(state, group, taken)) {
    LeaveOut(group);
    return std::nullopt;
  }
  return ClaimChosen(state, group, request, effort, taken, host_refusals);
}

// Verified once, it may have gone bad since: then this group makes no inode page, others do.
bool Allocator::IsInodeBitmapGood(const GroupState& state, GroupIndex group) const {
  const Result<const uint64_t*> words = Bitmap(state, group, media::kInodeBitmapPage);
  if (!words) return false;
  if (*words == nullptr) return true;
  return device_.ReadInPlace([&] { (void)NextSet(BitmapView(*words, kBitmapWords), 0); })
      .has_value();
}

Result<std::optional<Claim>> Allocator::ClaimChosen(GroupState& state, GroupIndex group,
                                                    const ClaimRequest& request, Effort effort,
                                                    PageBitmap& taken, uint32_t& host_refusals) {
  bool is_all = true;  // of what is free; else of what the host has given, too
  for (;;) {
    const PageRun run = ChooseRun(state, taken, request, effort);
    if (run.count == 0) {
      if (state.free_huge_mask == 0) with_huge_.Clear(group);
      if (effort == Effort::kFragments && is_all && !request.exact) {
        with_fragments_.ClearFrom(group, FragmentPages(request));
      }
      return std::nullopt;
    }
    Result<Claim> claim = MakeClaim(state, group, run);
    if (claim) {
      if (request.purpose == ClaimPurpose::kData) state.cursor = run.first + run.count;
      return TRY(std::move(claim));
    }
    if (claim.error_code() != ENOSPC || ++host_refusals >= kMaxHostRefusals) {
      return tl::unexpected<Error>(claim.error());
    }
    // The host is full; what it has given already may be free elsewhere.
    if (effort == Effort::kNewHugePage) return std::nullopt;
    is_all = false;
    const uint32_t last = (run.first + run.count - 1) / kRunPages;
    for (uint32_t huge = run.first / kRunPages; huge <= last; ++huge) {
      if ((state.host_ready_mask >> huge & 1) == 0) SetRun(taken, {huge * kRunPages, kRunPages});
    }
  }
}

Result<void> Allocator::BuildTaken(GroupState& state, GroupIndex group, PageBitmap& taken) {
  const uint64_t* words = TRY(Bitmap(state, group, media::kAllocatedBitmapPage));
  if (words != nullptr) {
    TRY(device_.ReadInPlace([&] { std::memcpy(taken.data(), words, sizeof(taken)); }));
  } else {
    taken = FreshAllocated(group);
  }
  for (const ClaimNode* node = state.claims; node != nullptr; node = node->next) {
    SetRun(taken, node->run);
  }
  if (device_.bad_pages().any()) [[unlikely]] TakeBadPages(state, group, taken);
  return {};
}

void Allocator::TakeBadPages(GroupState& state, GroupIndex group, PageBitmap& taken) {
  uint32_t bad = 0;
  uint64_t broken = 0;
  device_.bad_pages().ForEachIn(
      FirstPageOf(group), device_.geometry().PagesIn(group), [&](LogicalPage page) {
        const uint32_t at = IndexInGroup(page);
        broken |= uint64_t{1} << (at / kRunPages);
        if (TestBit(taken, at)) return;
        SetRun(taken, {at, 1});
        ++bad;
      });
  SetHugeMask(state, state.free_huge_mask & ~broken);
  // Most were known when they became free, and left out of the counts there; the others are now.
  if (bad == state.bad_pages) return;
  const uint32_t more = bad - state.bad_pages;  // modulo 2^32: less of them, had a count been wrong
  state.bad_pages += more;
  state.free_pages -= more;
  unclaimed_pages_ -= static_cast<int32_t>(more);
  bad_pages_ += static_cast<int32_t>(more);
}

PageBitmap Allocator::FreshAllocated(GroupIndex group) const {
  PageBitmap bitmap{};
  SetRun(bitmap, {0, media::kReservedPagesPerGroup});
  const uint32_t pages = device_.geometry().PagesIn(group);
  // Pages behind a short group's end are never free.
  if (pages < kPagesPerGroup) {
    SetRun(bitmap, {pages, static_cast<uint32_t>(kPagesPerGroup) - pages});
  }
  return bitmap;
}

Result<PageRun> Allocator::ContinueRun(const GroupState& state, GroupIndex group,
                                       const ClaimRequest& request) const {
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(request.pages, kPagesPerHugePage));
  const uint32_t enough = request.exact ? wanted : std::min(wanted, kGoodFragmentPages);
  const uint64_t* words = TRY(Bitmap(state, group, media::kAllocatedBitmapPage));
  if (words == nullptr) return PageRun{};
  // Right behind the file's last page, or else where the last small run ended.
  const uint32_t goal = GroupOf(request.goal) == group ? IndexInGroup(request.goal) : uint32_t{0};
  for (const uint32_t page : {goal, state.cursor}) {
    const bool is_broken = page >= kPagesPerHugePage && page < kPagesPerGroup &&
                           (state.free_huge_mask >> (page / kPagesPerHugePage) & 1) == 0;
    if (!is_broken) continue;
    const auto left = static_cast<uint32_t>(kPagesPerHugePage - page % kPagesPerHugePage);
    PageRun run{page, 0};
    TRY(device_.ReadInPlace([&] {
      run.count = FreeFrom(BitmapView(words, kBitmapWords), page, std::min(wanted, left));
    }));
    run.count = state.UnclaimedFrom(run);
    run.count = static_cast<uint32_t>(
        device_.bad_pages().GoodFrom(FirstPageOf(group) + page, run.count));
    if (run.count >= enough) return run;
  }
  return PageRun{};
}

PageRun Allocator::ChooseRun(const GroupState& state, const PageBitmap& taken,
                             const ClaimRequest& request, Effort effort) {
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(request.pages, kPagesPerGroup));
  const uint64_t whole = state.free_huge_mask;
  const auto accept = [&](PageRun run) {
    run.count = std::min(run.count, wanted);
    return request.exact && run.count < wanted ? PageRun{} : run;
  };
  switch (effort) {
    case Effort::kHome:
      return accept(BestFit(taken, 1, wanted));
    case Effort::kFragments: {
      const PageRun best = BestFit(taken, ~whole & ~uint64_t{1}, wanted);
      return best.count >= std::min(wanted, kGoodFragmentPages) ? accept(best) : PageRun{};
    }
    case Effort::kNewHugePage: {
      const PageRun huge = FirstWholeHuge(whole, taken);
      return huge.count == 0 ? huge : accept(huge);
    }
    case Effort::kAnything:
      return accept(BestFit(taken, ~uint64_t{0}, wanted));
  }
  return {};
}

Result<Claim> Allocator::MakeClaim(GroupState& state, GroupIndex group, PageRun run) {
  TRY(ActivateGroup(state, group));
  const uint32_t last = (run.first + run.count - 1) / kRunPages;
  for (uint32_t huge = run.first / kRunPages; huge <= last; ++huge) {
    TRY(AllocateHost(state, group, huge));
  }
  auto* node = new ClaimNode{.group = group, .run = run};  // the last that can fail
  for (uint32_t huge = run.first / kRunPages; huge <= last; ++huge) {
    const bool was_whole = (state.free_huge_mask >> huge & 1) != 0;
    SetHugeMask(state, state.free_huge_mask & ~(uint64_t{1} << huge));
    if (was_whole && run.count < kRunPages) with_fragments_.Set(group);
  }
  state.Link(node);
  state.free_pages -= run.count;
  unclaimed_pages_ -= run.count;
  claimed_pages_ += run.count;
  return Claim(*this, node);
}

Result<void> Allocator::ActivateGroup(GroupState& state, GroupIndex group) {
  if (state.active) return {};
  TRY(AllocateHost(state, group, 0));  // first inode page and bitmaps
  state.active = true;
  return {};
}

Result<void> Allocator::AllocateHost(GroupState& state, GroupIndex group, uint32_t huge) {
  const uint64_t bit = uint64_t{1} << huge;
  if ((state.host_ready_mask & bit) != 0) return {};
  const MediaOffset at = Geometry::DataOf(group) + huge * kHugePageSize;
  TRY(device_.mapping().AllocateHostSpace(at, kHugePageSize));
  std::atomic_ref ready(state.host_ready_mask);
  ready.store(ready.load() | bit, std::memory_order_relaxed);
  return {};
}

}  // namespace ingot
