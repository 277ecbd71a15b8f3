// SPDX-License-Identifier: BSD-3-Clause
// Stripes of inode locks. The sets of locks that are held here are known at run time only, so
// clang's analysis is off for them; Covers() and the lane observer of test builds check instead.
#include "fs/core/inode_locks.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "fs/format.h"
#include "pmemdev/base/check.h"

namespace ingot {

InodeLocks::InodeLocks(uint64_t page_count)
    : count_(static_cast<uint32_t>(
          std::bit_ceil(std::clamp<uint64_t>(page_count, 2, kMaxStripes)))),
      stripes_(std::make_unique<Mutex[]>(count_)) {
#if defined(NDEBUG)
  // Debian's abseil looks for lock cycles at each Lock(), which costs more than the lock. The order
  // is checked where it is worth the time: in builds without NDEBUG.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

uint32_t InodeLocks::StripeOf(InodeNumber inode) const {
  // Inode pages of one group are neighbours: Fibonacci hashing spreads those of all groups.
  const uint64_t page = inode.value / media::kInodesPerPage;
  return static_cast<uint32_t>((page * 0x9E3779B97F4A7C15ULL) >> (64 - std::countr_zero(count_)));
}

SharedInodeLock::SharedInodeLock(InodeLocks& locks,
                                 InodeNumber inode) ABSL_NO_THREAD_SAFETY_ANALYSIS
    : mutex_(&locks.Stripe(locks.StripeOf(inode))) {
  mutex_->ReaderLock();
}

SharedInodeLock::~SharedInodeLock() {
  Release();
}

SharedInodeLock::SharedInodeLock(SharedInodeLock&& other) noexcept
    : mutex_(std::exchange(other.mutex_, nullptr)) {}

SharedInodeLock& SharedInodeLock::operator=(SharedInodeLock&& other) noexcept {
  if (this != &other) {
    Release();
    mutex_ = std::exchange(other.mutex_, nullptr);
  }
  return *this;
}

void SharedInodeLock::Release() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (mutex_ != nullptr) mutex_->ReaderUnlock();
  mutex_ = nullptr;
}

ExclusiveInodeLocks::ExclusiveInodeLocks(InodeLocks& locks, std::span<const InodeNumber> inodes)
    ABSL_NO_THREAD_SAFETY_ANALYSIS : locks_(locks) {
  for (const InodeNumber inode : inodes) held_.push_back(locks.StripeOf(inode));
  std::sort(held_.begin(), held_.end());
  held_.erase(std::unique(held_.begin(), held_.end()), held_.end());
  for (const uint32_t stripe : held_) locks_.Stripe(stripe).Lock();
}

ExclusiveInodeLocks::~ExclusiveInodeLocks() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (const uint32_t stripe : held_) locks_.Stripe(stripe).Unlock();
}

bool ExclusiveInodeLocks::Covers(InodeNumber inode) const {
  const uint32_t stripe = locks_.StripeOf(inode);
  return std::find(held_.begin(), held_.end(), stripe) != held_.end();
}

bool ExclusiveInodeLocks::TryAdd(InodeNumber inode) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (Covers(inode)) return true;
  const uint32_t stripe = locks_.StripeOf(inode);
  held_.reserve(held_.size() + 1);  // before it is locked: nobody would unlock it
  if (!locks_.Stripe(stripe).TryLock()) return false;
  held_.push_back(stripe);
  return true;
}

void ExclusiveInodeLocks::DropLast(InodeNumber inode) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  CHECK(!held_.empty() && held_.back() == locks_.StripeOf(inode), "inode {}", inode.value);
  locks_.Stripe(held_.back()).Unlock();
  held_.pop_back();
}

}  // namespace ingot
