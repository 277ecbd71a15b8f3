// SPDX-License-Identifier: BSD-3-Clause
// What tests put in the place of chance: the clock, inodes' generations, and running out of space.
//
// Only in builds with INGOT_TEST_HOOKS. Process-wide and atomic; a test that sets one takes it
// back. Nothing of this is on media.
#pragma once

#ifdef INGOT_TEST_HOOKS

#include <atomic>
#include <cstdint>

#include "fs/core/types.h"

namespace ingot::test_hooks {

// Null: the system's clock, the system's random numbers.
inline std::atomic<Time (*)()> clock{nullptr};
inline std::atomic<uint32_t (*)()> generation{nullptr};

// The n-th Allocator::Take from now fails with ENOSPC (1: the next one; 0: none).
inline std::atomic<uint64_t> takes_until_failure{0};
inline bool TakeInjectedFailure() {
  uint64_t left = takes_until_failure.load(std::memory_order_relaxed);
  while (left != 0) {
    if (takes_until_failure.compare_exchange_weak(left, left - 1)) return left == 1;
  }
  return false;
}

}  // namespace ingot::test_hooks

#endif  // INGOT_TEST_HOOKS
