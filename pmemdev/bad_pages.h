// SPDX-License-Identifier: BSD-3-Clause
// The pages of the logical space that faulted in this mount, sorted: who is about to store to some,
// or to give some out, asks whether a bad one is among them.
//
// Volatile. None is ever forgotten, nor taken for good again. Thread-safe; as long as there is none
// a question costs a load. The lock is a leaf.
#pragma once

#include <atomic>
#include <cstdint>
#include <shared_mutex>
#include <vector>

#include "pmemdev/base/ids.h"

namespace ingot {

class BadPages {
 public:
  // Makes room ahead, because a fault must be remembered also when memory is short.
  BadPages() { pages_.reserve(kRoom); }

  enum class Added : uint8_t { kNew, kKnown, kNoRoom };
  // kNoRoom: all the room is used, and for a long while there was no memory for more. Never throws.
  Added Add(LogicalPage page);

  [[nodiscard]] bool any() const { return count() != 0; }
  [[nodiscard]] uint64_t count() const { return count_.load(std::memory_order_acquire); }
  // How many of `pages` from `first` on come before one that is bad (is not).
  [[nodiscard]] uint64_t GoodFrom(LogicalPage first, uint64_t pages) const;
  [[nodiscard]] uint64_t BadFrom(LogicalPage first, uint64_t pages) const;
  [[nodiscard]] uint64_t CountIn(LogicalPage first, uint64_t pages) const;

  // visit(LogicalPage) for each bad one of `pages` from `first` on, ascending. Under the lock: it
  // must not come back here.
  template <typename Visit>
  void ForEachIn(LogicalPage first, uint64_t pages, Visit&& visit) const {
    if (!any()) [[likely]] return;
    const std::shared_lock lock(mutex_);
    for (auto at = LowerBound(first); at != pages_.end() && *at - first < pages; ++at) visit(*at);
  }

  static constexpr size_t kRoom = 4096;  // 16 MiB of bad memory in 32 KiB

 private:
  using Place = std::vector<LogicalPage>::const_iterator;
  [[nodiscard]] Place LowerBound(LogicalPage first) const;

  std::atomic<uint64_t> count_{0};
  mutable std::shared_mutex mutex_;  // guards what is below
  std::vector<LogicalPage> pages_;
};

}  // namespace ingot
