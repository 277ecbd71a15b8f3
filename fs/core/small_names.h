// SPDX-License-Identifier: BSD-3-Clause
// Names whose files were small when they last went: rollback journals and lock files are made again
// and again under one name, opened like databases, and never become large (rule B1).
//
// A guess, kept in a fixed table in memory: a name may be forgotten, or, by a collision of 64-bit
// hashes, be taken for another. Thread-safe without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "pmemdev/base/checksum.h"
#include "pmemdev/base/ids.h"

namespace ingot {

class SmallNames {
 public:
  void Add(InodeNumber parent, std::string_view name) {
    const uint64_t hash = HashOf(parent, name);
    entries_[hash % kEntries].store(hash, std::memory_order_relaxed);
  }
  [[nodiscard]] bool Has(InodeNumber parent, std::string_view name) const {
    const uint64_t hash = HashOf(parent, name);
    return entries_[hash % kEntries].load(std::memory_order_relaxed) == hash;
  }

 private:
  static uint64_t HashOf(InodeNumber parent, std::string_view name) {
    return Hash64(std::as_bytes(std::span(name)), parent.value) | 1;  // an empty entry is 0
  }
  static constexpr size_t kEntries = 1024;
  std::array<std::atomic<uint64_t>, kEntries> entries_{};
};

}  // namespace ingot
