// SPDX-License-Identifier: BSD-3-Clause
// One bit a group: may this group have what is searched for? So that a search among 131,072 groups
// (16 TiB) reads 2,048 words instead of as many group states.
//
// Bits are hints that err to the side of "maybe": set and cleared under the group's lock, read
// without.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "pmemdev/base/ids.h"

namespace ingot {

class GroupSummary {
 public:
  explicit GroupSummary(uint64_t group_count)
      : group_count_(group_count),
        words_(std::make_unique<std::atomic<uint64_t>[]>(WordCount(group_count))) {}

  void Set(GroupIndex group) {
    words_[group.value / 64].fetch_or(Bit(group), std::memory_order_relaxed);
  }
  void Clear(GroupIndex group) {
    words_[group.value / 64].fetch_and(~Bit(group), std::memory_order_relaxed);
  }

  [[nodiscard]] bool Has(GroupIndex group) const {
    return (words_[group.value / 64].load(std::memory_order_relaxed) & Bit(group)) != 0;
  }
  // The first group at or behind `from` with its bit set, or group_count if there is none.
  [[nodiscard]] GroupIndex Next(GroupIndex from) const {
    if (from.value >= group_count_) return GroupIndex(group_count_);
    uint64_t word = from.value / 64;
    uint64_t bits =
        words_[word].load(std::memory_order_relaxed) & (~uint64_t{0} << from.value % 64);
    while (bits == 0) {
      if (++word == WordCount(group_count_)) return GroupIndex(group_count_);
      bits = words_[word].load(std::memory_order_relaxed);
    }
    return GroupIndex(word * 64 + static_cast<uint64_t>(std::countr_zero(bits)));
  }

 private:
  static uint64_t WordCount(uint64_t groups) { return (groups + 63) / 64; }
  static uint64_t Bit(GroupIndex group) { return uint64_t{1} << (group.value % 64); }

  uint64_t group_count_;
  std::unique_ptr<std::atomic<uint64_t>[]> words_;
};

}  // namespace ingot
