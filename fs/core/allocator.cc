// SPDX-License-Identifier: BSD-3-Clause
// Opening, counting, and the volatile side of the allocator: claims. What becomes durable is in
// allocator_stage.cc, the search for space in allocator_search.cc.
#include "fs/core/allocator.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "fs/format.h"
#include "pmemdev/base/check.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

// Kept back so that a full pool can still be emptied: punching a hole and renaming may need a tree
// node.
uint64_t ReservePages(uint64_t total_pages) {
  return std::clamp<uint64_t>(total_pages / 128, 8, 2048);
}

}  // namespace

// --- Claim
// -------------------------------------------------------------------------------------------

Claim::~Claim() {
  Drop();
}

Claim::Claim(Claim&& other) noexcept
    : allocator_(other.allocator_), node_(std::exchange(other.node_, nullptr)) {}

Claim& Claim::operator=(Claim&& other) noexcept {
  if (this != &other) {
    Drop();
    allocator_ = other.allocator_;
    node_ = std::exchange(other.node_, nullptr);
  }
  return *this;
}

void Claim::Drop() {
  if (node_ != nullptr) allocator_->Unclaim(std::exchange(node_, nullptr));
}

LogicalPage Claim::first() const {
  return FirstPageOf(node_->group) + node_->run.first;
}
uint32_t Claim::count() const {
  return node_->run.count;
}

Claim Claim::TakeFront(uint32_t pages) {
  CHECK(pages > 0 && pages <= count(), "{} of {}", pages, count());
  if (pages == count()) return std::move(*this);
  auto* front = new ClaimNode{.group = node_->group, .run = {node_->run.first, pages}};
  GroupState& state = allocator_->groups_[node_->group.value];
  MutexLock lock(state.mutex);
  node_->run.first += pages;
  node_->run.count -= pages;
  state.Link(front);
  return Claim(*allocator_, front);
}

// --- Allocator
// ---------------------------------------------------------------------------------------

Allocator::Allocator(Device& device)
    : device_(device),
      groups_(std::make_unique<GroupState[]>(device.geometry().group_count())),
      group_count_(device.geometry().group_count()),
      with_pages_(group_count_),
      with_huge_(group_count_),
      with_fragments_(group_count_),
      releasable_(group_count_) {}

Allocator::~Allocator() = default;

Result<std::unique_ptr<Allocator>> Allocator::Open(Device& device) {
  auto allocator = std::unique_ptr<Allocator>(new Allocator(device));
  const Geometry& geometry = device.geometry();
  for (uint64_t i = 0; i < allocator->group_count_; ++i) {
    const GroupIndex group(i);
    GroupState& state = allocator->groups_[i];
    const Result<media::GroupEntry> entry = device.group_table().Read(group);
    if (!entry) {
      log::Failed("event=group_damaged group={} error={}", i, ErrnoName(entry.error().code));
      state.damaged = true;
      ++allocator->damaged_groups_;
      continue;
    }
    const bool fresh = (entry->flags & media::kGroupUninitialised) != 0;
    MutexLock lock(state.mutex);
    state.uninitialised = fresh;
    state.free_pages = entry->free_pages;
    allocator->SetHugeMask(state, entry->free_huge_mask);
    state.orphans = entry->orphans;
    state.free_inode_slots = fresh ? FreshInodeSlots(group) : entry->free_inode_slots;
    allocator->unclaimed_pages_ += entry->free_pages;
    allocator->total_pages_ += geometry.PagesIn(group) - media::kReservedPagesPerGroup;
    if (entry->free_pages != 0) allocator->with_pages_.Set(group);
    // (A group that was never used has none; all of them would be asked once.)
    const auto whole = static_cast<uint32_t>(std::popcount(entry->free_huge_mask)) * kRunPages;
    if (!fresh && entry->free_pages > whole) allocator->with_fragments_.Set(group);
    if (entry->free_huge_mask != 0) allocator->with_huge_.Set(group);
    // Nobody knows what the last mount gave back.
    if (!fresh) allocator->releasable_.Set(group);
  }
  allocator->reserve_pages_ = ReservePages(allocator->total_pages_);
  return allocator;
}

void Allocator::NoticeBadPages() {
  const BadPages& bad = device_.bad_pages();
  const uint64_t known = bad.count();
  if (noticed_bad_pages_.exchange(known, std::memory_order_relaxed) == known) [[likely]] return;
  const uint64_t pages = device_.geometry().page_count();
  for (LogicalPage page(0);;) {
    page += bad.GoodFrom(page, pages - page.value);
    if (page.value >= pages) break;
    const GroupIndex group = GroupOf(page);
    GroupState& state = groups_[group.value];
    if (!state.damaged) {
      MutexLock lock(state.mutex);
      PageBitmap taken;
      (void)BuildTaken(state, group, taken);  // whoever looks for space here meets the error again
    }
    page = FirstPageOf(group + 1);
  }
}

uint32_t Allocator::FreshInodeSlots(GroupIndex group) {
  // Slot 0 of group 0 would be inode number 0, which no inode has.
  return static_cast<uint32_t>(media::kInodesPerPage) - (group.value == 0 ? 1 : 0);
}

SpaceCounts Allocator::Count() {
  if (device_.bad_pages().any()) NoticeBadPages();
  SpaceCounts counts;
  counts.total_pages = total_pages_;
  counts.free_huge_pages = static_cast<uint64_t>(std::max<int64_t>(free_huge_pages_.load(), 0));
  const int64_t free = unclaimed_pages_.load() + claimed_pages_.load();
  counts.free_pages = static_cast<uint64_t>(std::max<int64_t>(free, 0));
  counts.bad_pages = static_cast<uint64_t>(std::max<int64_t>(bad_pages_.load(), 0));
  counts.reserve_pages = reserve_pages_;
  for (uint64_t i = 0; i < group_count_; ++i) {
    GroupState& state = groups_[i];
    counts.free_inode_slots += state.free_inode_slots.load(std::memory_order_relaxed);
    counts.orphans += state.orphans.load(std::memory_order_relaxed);
    const uint64_t whole = std::atomic_ref(HugeMaskUnlocked(state)).load(std::memory_order_relaxed);
    if (state.uninitialised.load(std::memory_order_relaxed)) continue;
    // A huge page that is in use in part is the host's gift; of a whole one it has to be known.
    const uint64_t ready =
        std::atomic_ref(HostReadyMaskUnlocked(state)).load(std::memory_order_relaxed);
    const auto away = static_cast<uint64_t>(std::popcount(whole & ~ready)) * kPagesPerHugePage;
    const uint64_t here = state.free_pages.load(std::memory_order_relaxed);
    counts.free_pages_on_host += here - std::min(here, away);
  }
  counts.free_pages_on_host +=
      static_cast<uint64_t>(std::max<int64_t>(claimed_pages_.load(), 0));
  counts.host_reserve_pages = HostReservePages();
  return counts;
}

uint64_t& Allocator::HugeMaskUnlocked(GroupState& state) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return state.free_huge_mask;
}

uint64_t& Allocator::HostReadyMaskUnlocked(GroupState& state) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return state.host_ready_mask;
}

uint64_t Allocator::damaged_groups() const {
  return damaged_groups_;
}

void Allocator::Unclaim(ClaimNode* node) {
  GroupState& state = groups_[node->group.value];
  {
    MutexLock lock(state.mutex);
    state.Unlink(node);
    claimed_pages_ -= node->run.count;
    CountFree(state, node->group, node->run);
  }
  delete node;
}

void Allocator::Consume(Claim claim) {
  // Called between Stage and Finish: the group's lock is held by this thread.
  ClaimNode* node = std::exchange(claim.node_, nullptr);
  UnlinkLocked(node);
  claimed_pages_ -= node->run.count;
  delete node;
}

void Allocator::UnlinkLocked(ClaimNode* node) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  groups_[node->group.value].Unlink(node);
}

void Allocator::CountFree(GroupState& state, GroupIndex group, PageRun run) {
  const auto bad = static_cast<uint32_t>(
      device_.bad_pages().CountIn(FirstPageOf(group) + run.first, run.count));
  const uint32_t good = run.count - bad;
  state.free_pages += good;
  unclaimed_pages_ += good;
  state.bad_pages += bad;
  bad_pages_ += bad;
  with_pages_.Set(group);
  with_fragments_.Set(group);
  UpdateHugeMask(state, group, run);
}

// Read without the lock by Count().
void Allocator::SetHugeMask(GroupState& state, uint64_t mask) {
  if (mask == state.free_huge_mask) return;
  free_huge_pages_ += std::popcount(mask) - std::popcount(state.free_huge_mask);
  std::atomic_ref(state.free_huge_mask).store(mask, std::memory_order_relaxed);
}

void Allocator::UpdateHugeMask(GroupState& state, GroupIndex group, PageRun run) {
  // Claims are given back by destructors, and what was committed must be counted: no unwinding.
  const auto words = NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return Bitmap(state, group, media::kAllocatedBitmapPage);
  });
  if (!words) return;  // nothing is handed out of a group whose bitmap can't be read
  const uint32_t pages = device_.geometry().PagesIn(group);
  const uint32_t last = (run.first + run.count - 1) / kRunPages;
  for (uint32_t huge = run.first / kRunPages; huge <= last; ++huge) {
    const PageRun whole{huge * kRunPages, kRunPages};
    bool free = whole.first + whole.count <= pages && huge != 0 && !state.IsClaimed(whole) &&
                device_.bad_pages().CountIn(FirstPageOf(group) + whole.first, whole.count) == 0;
    if (free && *words != nullptr) {
      const Result<void> read = NoThrow([&] {
        return device_.ReadInPlace(
            [&] { free = AllClear(BitmapView(*words, kBitmapWords), whole); });
      });
      if (!read) free = false;
    }
    const uint64_t bit = uint64_t{1} << huge;
    const uint64_t mask = state.free_huge_mask;
    SetHugeMask(state, free ? mask | bit : mask & ~bit);
    if (!free) continue;
    with_huge_.Set(group);
    if (free) releasable_.Set(group);
  }
}

Result<const uint64_t*> Allocator::Bitmap(const GroupState& state, GroupIndex group,
                                          uint32_t page) const {
  if (state.uninitialised.load(std::memory_order_relaxed)) return nullptr;
  const LogicalPage at = FirstPageOf(group) + page;
  const auto* words = reinterpret_cast<const uint64_t*>(device_.Pointer(OffsetOf(at)));
  PageDescriptor& descriptor = device_.page_array().Get(at);
  if (IsVerified(descriptor)) return words;

  PageBitmap copy;
  TRY(device_.Read(OffsetOf(at), std::as_writable_bytes(std::span(copy))));
  const media::GroupEntry entry = TRY(device_.group_table().Read(group));
  const uint32_t expected =
      page == media::kAllocatedBitmapPage ? entry.allocated_checksum : entry.inode_checksum;
  if (Crc32c(std::as_bytes(std::span(copy))) != expected) {
    return Failure(EUCLEAN, fmt::format("group {}: bitmap checksum", group.value));
  }
  // Pages that a short group doesn't have are taken and hold no inodes, or they would be given out.
  const uint32_t pages = device_.geometry().PagesIn(group);
  const PageRun behind{pages, static_cast<uint32_t>(kPagesPerGroup) - pages};
  const bool is_allocated = page == media::kAllocatedBitmapPage;
  if (behind.count != 0 && !(is_allocated ? AllSet(copy, behind) : AllClear(copy, behind))) {
    return Failure(EUCLEAN, fmt::format("group {}: bitmap behind the group's end", group.value));
  }
  if (!device_.IsBad(at)) descriptor.flags.fetch_or(kPageVerified, std::memory_order_release);
  return words;
}

uint32_t Allocator::FreeInodeSlots(GroupIndex group) const {
  return groups_[group.value].free_inode_slots.load(std::memory_order_relaxed);
}

bool Allocator::IsUninitialised(GroupIndex group) const {
  return groups_[group.value].uninitialised.load(std::memory_order_acquire);
}

bool Allocator::IsDamaged(GroupIndex group) const {
  return groups_[group.value].damaged;
}

uint32_t Allocator::Orphans(GroupIndex group) const {
  return groups_[group.value].orphans.load(std::memory_order_relaxed);
}

std::atomic<uint16_t>& Allocator::InodeCursor(GroupIndex group) {
  return groups_[group.value].inode_cursor;
}

Result<uint32_t> Allocator::NextInodePage(GroupIndex group, uint32_t from) const {
  const uint32_t pages = device_.geometry().PagesIn(group);
  GroupState& state = groups_[group.value];
  if (state.damaged) return pages;
  MutexLock lock(state.mutex);
  const uint64_t* words = TRY(Bitmap(state, group, media::kInodeBitmapPage));
  if (words == nullptr) return from == media::kFirstInodePage ? media::kFirstInodePage : pages;
  uint32_t next = pages;
  TRY(device_.ReadInPlace([&] {
    next = NextSet(BitmapView(words, kBitmapWords), from);
    // The bitmaps themselves are no inode pages, whatever a damaged one says.
    if (next > media::kFirstInodePage && next < media::kReservedPagesPerGroup) {
      next = NextSet(BitmapView(words, kBitmapWords), media::kReservedPagesPerGroup);
    }
  }));
  return std::min(next, pages);
}

Result<bool> Allocator::IsInodePage(LogicalPage page) const {
  if (!device_.geometry().Contains(page)) return false;
  const uint32_t index = IndexInGroup(page);
  // An uninitialised group has no inode, whatever its first page holds from an earlier life.
  if (IsUninitialised(GroupOf(page))) return false;
  const uint32_t next = TRY(NextInodePage(GroupOf(page), index));
  return next == index;
}

}  // namespace ingot
