// SPDX-License-Identifier: BSD-3-Clause
// From a place on the medium to the lock that covers it, by what media and page array say of the
// page. Called under the locks of the thread that logs, so that what is read here is quiet.
#include "tests/support/lock_checker.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace ingot::tests {
namespace {

constexpr size_t kMaxFaults = 10;

}  // namespace

LockChecker::LockChecker(Volume& volume) : volume_(volume), device_(volume.device()) {
  for (GroupIndex group(0); group.value < device_.geometry().group_count(); ++group) {
    entries_.emplace(Geometry::GroupEntryAt(group).value, group);
  }
  device_.journal().set_observer(this);
}

LockChecker::~LockChecker() { device_.journal().set_observer(nullptr); }

bool LockChecker::TestMediaBit(GroupIndex group, uint32_t bitmap_page, uint32_t page) const {
  const std::byte* bitmap = device_.Pointer(OffsetOf(FirstPageOf(group) + bitmap_page));
  uint64_t word = 0;
  std::memcpy(&word, bitmap + page / 64 * kWordSize, sizeof(word));
  return (word >> (page % 64) & 1) != 0;
}

const Mutex* LockChecker::StripeOf(uint64_t inode) {
  InodeLocks& locks = volume_.core().locks;
  return &locks.Stripe(locks.StripeOf(InodeNumber(inode)));
}

const Mutex* LockChecker::LockOf(MediaOffset at) {
  const auto entry = entries_.find(RoundDown(at.value, sizeof(media::GroupEntry)));
  if (entry != entries_.end()) return &volume_.core().allocator->GroupMutex(entry->second);
  const Result<LogicalPage> page = device_.geometry().PageAt(at);
  if (!page) {
    Fail(fmt::format("{:#x} is no place for a logged word", at.value));
    return nullptr;
  }
  return LockOfPage(*page, at.value % kPageSize);
}

const Mutex* LockChecker::LockOfPage(LogicalPage page, uint64_t offset_in_page) {
  const GroupIndex group = GroupOf(page);
  const uint32_t index = IndexInGroup(page);
  Allocator& allocator = *volume_.core().allocator;
  if (index == media::kAllocatedBitmapPage || index == media::kInodeBitmapPage) {
    return &allocator.GroupMutex(group);
  }
  const uint64_t inode = page.value * media::kInodesPerPage + offset_in_page / media::kInodeSize;
  if (index == media::kFirstInodePage) return StripeOf(inode);
  // In pages that aren't allocated yet only the words that make new inodes valid are logged.
  const bool fresh = allocator.IsUninitialised(group);
  if (fresh || !TestMediaBit(group, media::kAllocatedBitmapPage, index)) {
    if (offset_in_page % media::kInodeSize != 0) {
      Fail(fmt::format("page {}: a word at {} of a free page", page.value, offset_in_page));
    }
    return StripeOf(inode);
  }
  if (TestMediaBit(group, media::kInodeBitmapPage, index)) return StripeOf(inode);

  media::BlockHeader header;
  std::memcpy(&header, device_.Pointer(OffsetOf(page)), sizeof(header));
  const auto& backing = volume_.core().backing;
  if (backing != nullptr && page == BackingLedger::kPage) return &backing->ledger().mutex();
  for (const BlockKind kind :
       {BlockKind::kTreeNode, BlockKind::kDirectoryLeaf, BlockKind::kXattrHead}) {
    if (header.magic == MagicOf(kind) && header.page == page.value) return StripeOf(header.owner);
  }
  return LockOfData(page);
}

const Mutex* LockChecker::LockOfData(LogicalPage page) {
  const auto owner_of = [](const PageDescriptor* descriptor, bool whole) -> uint64_t {
    if (descriptor == nullptr || descriptor->state.load() != PageState::kData) return 0;
    if (whole && (descriptor->flags.load() & kPageWholeHuge) == 0) return 0;
    return descriptor->owner.load();
  };
  data_words_.fetch_add(1, std::memory_order_relaxed);
  const LogicalPage head(RoundDown(page.value, kPagesPerHugePage));
  uint64_t owner = owner_of(device_.page_array().Peek(page), false);
  if (owner == 0) owner = owner_of(device_.page_array().Peek(head), true);
  return owner == 0 ? nullptr : StripeOf(owner);
}

bool LockChecker::HoldsAnyStripe() {
  InodeLocks& locks = volume_.core().locks;
  const Mutex* first = &locks.Stripe(0);
  const Mutex* last = &locks.Stripe(locks.count() - 1);
  return std::ranges::any_of(HeldMutexes(), [first, last](const HeldMutex& held) {
    return held.mutex >= first && held.mutex <= last;
  });
}

void LockChecker::OnLog(uint32_t lane, MediaOffset at, uint64_t size_bytes) {
  LaneState& state = lanes_[lane];
  for (uint64_t word = at.value; word < at.value + size_bytes; word += kWordSize) {
    const Mutex* mutex = LockOf(MediaOffset(word));
    checked_words_.fetch_add(1, std::memory_order_relaxed);
    if (mutex == nullptr) {
      unknown_words_.fetch_add(1, std::memory_order_relaxed);
      if (!HoldsAnyStripe()) Fail(fmt::format("{:#x}: logged without an inode's lock", word));
      state.covered.push_back({word, kWordSize, nullptr, 0});
      continue;
    }
    if (entries_.contains(RoundDown(word, sizeof(media::GroupEntry)))) ++group_words_;
    const auto held = std::ranges::find(HeldMutexes(), mutex, &HeldMutex::mutex);
    if (held == HeldMutexes().end()) {
      Fail(fmt::format("{:#x}: logged without its lock", word));
      continue;
    }
    std::vector<Covered>& covered = state.covered;
    const bool joins = !covered.empty() && covered.back().mutex == mutex &&
                       covered.back().acquisition == held->acquisition &&
                       covered.back().at + covered.back().size_bytes == word;
    if (joins) {
      covered.back().size_bytes += kWordSize;
    } else {
      covered.push_back({word, kWordSize, mutex, held->acquisition});
    }
  }
}

void LockChecker::CheckHeld(const LaneState& state, const char* when) {
  for (const Covered& covered : state.covered) {
    if (covered.mutex == nullptr) continue;
    const bool held = std::ranges::any_of(HeldMutexes(), [&covered](const HeldMutex& each) {
      return each.mutex == covered.mutex && each.acquisition == covered.acquisition;
    });
    if (!held) Fail(fmt::format("{:#x}: its lock was given up before {}", covered.at, when));
  }
}

void LockChecker::OnValid(uint32_t lane) {
  LaneState& state = lanes_[lane];
  state.valid = true;
  CheckHeld(state, "the lane was valid");
  std::vector<std::string> shared;
  {
    const MutexLock lock(mutex_);
    for (const Covered& covered : state.covered) {
      for (uint64_t word = covered.at; word < covered.at + covered.size_bytes; word += kWordSize) {
        const auto [other, first] = in_flight_.emplace(word, lane);
        if (first || other->second == lane) continue;
        shared.push_back(fmt::format("{:#x} is in lanes {} and {}", word, other->second, lane));
      }
    }
  }
  for (std::string& text : shared) Fail(std::move(text));
}

void LockChecker::OnRelease(uint32_t lane) {
  LaneState& state = lanes_[lane];
  if (state.valid) {
    CheckHeld(state, "the lane was invalidated");
    const MutexLock lock(mutex_);
    for (const Covered& covered : state.covered) {
      for (uint64_t word = covered.at; word < covered.at + covered.size_bytes; word += kWordSize) {
        in_flight_.erase(word);
      }
    }
  }
  state.covered.clear();
  state.valid = false;
}

void LockChecker::Fail(std::string text) {
  const MutexLock lock(mutex_);
  if (faults_.size() < kMaxFaults) faults_.push_back(std::move(text));
}

std::vector<std::string> LockChecker::faults() const {
  const MutexLock lock(mutex_);
  return faults_;
}

}  // namespace ingot::tests
