// SPDX-License-Identifier: BSD-3-Clause
// As long as one lives, nothing in fs/core is left to chance: each look at the clock is a second
// after the last, each new inode has the next generation. Two runs of the same operations by one
// thread then touch the same words. One at a time.
#pragma once

#include <atomic>

#include "fs/core/test_hooks.h"

namespace ingot::tests {

class FixedChance {
 public:
  // `later`: behind what an earlier one gave out.
  explicit FixedChance(bool later = false) {
    next_second = later ? 1'900'000'000 : 1'800'000'000;
    next_generation = later ? 100'000 : 100;
    test_hooks::clock = [] { return stands ? stands_at : Time{next_second++, 500}; };
    stands = false;
    test_hooks::generation = [] { return next_generation++; };
  }
  ~FixedChance() {
    test_hooks::clock = nullptr;
    test_hooks::generation = nullptr;
  }
  FixedChance(const FixedChance&) = delete;

  // As long as this lives, it is always the same moment. Of the thread that runs alone.
  class Stop {
   public:
    explicit Stop(Time at) {
      stands_at = at;
      stands = true;
    }
    ~Stop() { stands = false; }
    Stop(const Stop&) = delete;
  };

 private:
  static inline std::atomic<bool> stands{false};
  static inline Time stands_at{};
  static inline std::atomic<int64_t> next_second;
  static inline std::atomic<uint32_t> next_generation;
};

}  // namespace ingot::tests
