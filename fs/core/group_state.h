// SPDX-License-Identifier: BSD-3-Clause
// The allocator's DRAM for one group: 64 bytes, whatever the pool's size (design: I7).
//
// Everything here is volatile and derived from the group's entry at mount. The mutex is the group
// lock of docs/locking.md; atomics are also read without it, as hints.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "fs/core/page_bitmap.h"
#include "pmemdev/base/ids.h"
#include "pmemdev/base/mutex.h"

namespace ingot {

// A run of pages promised to the holder of a Claim. Linked into its group under the group lock.
struct ClaimNode {
  GroupIndex group;
  PageRun run;
  ClaimNode* next = nullptr;
  ClaimNode* previous = nullptr;
};

struct alignas(64) GroupState {
  Mutex mutex;
  ClaimNode* claims ABSL_GUARDED_BY(mutex) = nullptr;
  uint64_t free_huge_mask ABSL_GUARDED_BY(mutex) = 0;   // wholly free on media, unclaimed, good
  uint64_t host_ready_mask ABSL_GUARDED_BY(mutex) = 0;  // the host has allocated these for sure
  std::atomic<uint32_t> free_pages{0};                  // free on media, unclaimed and good
  std::atomic<uint32_t> free_inode_slots{0};
  std::atomic<uint32_t> orphans{0};
  uint32_t cursor ABSL_GUARDED_BY(mutex) = 0;  // the page behind the last small run taken
  uint32_t bad_pages ABSL_GUARDED_BY(mutex) = 0;  // free on media, unclaimed, not in free_pages
  std::atomic<uint16_t> inode_cursor{0};
  std::atomic<bool> uninitialised{false};
  bool damaged = false;                        // set at Open: takes part in nothing
  bool active ABSL_GUARDED_BY(mutex) = false;  // page array and bitmaps have host space

  // True if a claim overlaps the run.
  [[nodiscard]] bool IsClaimed(PageRun run) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (const ClaimNode* node = claims; node != nullptr; node = node->next) {
      if (node->run.first < run.first + run.count &&
          run.first < node->run.first + node->run.count) {
        return true;
      }
    }
    return false;
  }
  // How many of the run's pages come before the first claimed one.
  [[nodiscard]] uint32_t UnclaimedFrom(PageRun run) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    uint32_t end = run.first + run.count;
    for (const ClaimNode* node = claims; node != nullptr; node = node->next) {
      const bool overlaps = node->run.first < end && run.first < node->run.first + node->run.count;
      if (overlaps) end = std::max(run.first, node->run.first);
    }
    return end - run.first;
  }
  void Link(ClaimNode* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    node->next = claims;
    node->previous = nullptr;
    if (claims != nullptr) claims->previous = node;
    claims = node;
  }
  void Unlink(ClaimNode* node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (node->previous != nullptr) node->previous->next = node->next;
    if (node->next != nullptr) node->next->previous = node->previous;
    if (claims == node) claims = node->next;
  }
};
static_assert(sizeof(GroupState) == 64);

}  // namespace ingot
