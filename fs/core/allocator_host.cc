// SPDX-License-Identifier: BSD-3-Clause
// The allocator of a directory pool, where region and backing files share the host's space: what
// is wholly free goes back to the host, but for a few huge pages that are kept for the time when
// the host is full.
//
// Volatile only. A crash in between leaves huge pages allocated that nobody uses: after a mount all
// groups that were ever used are looked at.
#include <algorithm>
#include <bit>

#include "fs/core/allocator.h"

namespace ingot {
namespace {

// Huge pages given back under one hold of a group's lock: a few milliseconds at most.
constexpr int kReleasedAtOnce = 8;

}  // namespace

Result<bool> Allocator::ReleaseFreeHugePages(uint32_t keep) {
  // A full host can't give any: then those that others free are taken the next time.
  const Result<void> filled = FillHostReserve(keep);
  if (!filled && filled.error_code() != ENOSPC) return tl::unexpected<Error>(filled.error());
  if (releasing_left_ == 0) {
    releasing_ = releasable_.Next(GroupIndex(0));
    if (releasing_.value >= group_count_) return false;
    releasable_.Clear(releasing_);
    releasing_left_ = ~uint64_t{0};
  }
  const uint64_t released = TRY(ReleaseIn(releasing_, releasing_left_));
  releasing_left_ = released == 0 ? 0 : releasing_left_ & ~released;
  return true;
}

// All that are free, whatever is known of the host: what a hole is already costs it nothing.
Result<uint64_t> Allocator::ReleaseIn(GroupIndex group, uint64_t candidates) {
  GroupState& state = groups_[group.value];
  MutexLock lock(state.mutex);
  // A commit that was left in the middle turned the device read-only before it gave this lock back.
  if (!device_.writable()) return Failure(EROFS, "giving host space back");
  PageBitmap taken;
  const Result<void> built = BuildTaken(state, group, taken);
  // A damaged bitmap must not stop the others.
  if (built.error_code() == EUCLEAN || built.error_code() == EIO) return 0;
  TRY(Result<void>(built));
  uint64_t chosen = 0;
  uint64_t left = state.free_huge_mask & candidates & ~uint64_t{1};
  for (; left != 0 && std::popcount(chosen) < kReleasedAtOnce; left &= left - 1) {
    const auto huge = static_cast<uint32_t>(std::countr_zero(left));
    if (AllClear(taken, {huge * kRunPages, kRunPages})) chosen |= uint64_t{1} << huge;
  }
  std::atomic_ref ready(state.host_ready_mask);
  ready.store(ready.load() & ~chosen, std::memory_order_relaxed);
  for (uint64_t rest = chosen; rest != 0;) {
    const int first = std::countr_zero(rest);
    const int count = std::countr_one(rest >> first);
    const MediaOffset at =
        Geometry::DataOf(group) + static_cast<uint64_t>(first) * kHugePageSize;
    TRY(device_.mapping().ReleaseHostSpace(at, static_cast<uint64_t>(count) * kHugePageSize));
    rest &= ~(((uint64_t{1} << count) - 1) << first);
  }
  return chosen;
}

Result<void> Allocator::FillHostReserve(uint32_t huge_pages) {
  // Small pools keep less: a sixteenth of them, one huge page at least.
  const uint64_t bound = std::max<uint64_t>(total_pages_ / kPagesPerHugePage / 16, 1);
  const auto wanted = static_cast<int64_t>(std::min<uint64_t>(huge_pages, bound));
  const MutexLock lock(host_reserve_mutex_);
  const auto is_whole = [](const Claim& claim) { return claim.count() == kPagesPerHugePage; };
  while (std::ranges::count_if(host_reserve_, is_whole) < wanted) {
    Claim claim = TRY(TakeOnce({.whole_huge = true}));
    // What was broken already is taken first: from the end.
    host_reserve_.insert(host_reserve_.begin(), std::move(claim));
  }
  return {};
}

Result<Claim> Allocator::TakeFromHostReserve(const ClaimRequest& request) {
  const MutexLock lock(host_reserve_mutex_);
  if (host_reserve_.empty()) return Failure(ENOSPC);
  Claim& last = host_reserve_.back();
  if (request.exact && last.count() < request.pages) return Failure(ENOSPC);
  Claim taken =
      last.TakeFront(static_cast<uint32_t>(std::min<uint64_t>(request.pages, last.count())));
  if (!last) host_reserve_.pop_back();
  return taken;
}

uint64_t Allocator::HostReservePages() {
  uint64_t pages = 0;
  const MutexLock lock(host_reserve_mutex_);
  for (const Claim& claim : host_reserve_) pages += claim.count();
  return pages;
}

}  // namespace ingot
