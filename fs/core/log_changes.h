// SPDX-License-Identifier: BSD-3-Clause
// Logs the words in which a block's new contents differ from its old ones.
//
// Blocks have a multiple of 8 bytes, at most a page, and new contents are aligned to 8. The caller
// holds the lock that covers the block, and what is compared with is what is on media. Nothing
// reaches the medium before the lane commits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pmemdev/journal.h"

namespace ingot {

// A bit for each 8-byte word of a block.
class ChangedWords {
 public:
  static constexpr size_t kWords = kPageSize / kWordSize;

  void Set(size_t word) { bits_[word / 64] |= uint64_t{1} << (word % 64); }
  [[nodiscard]] bool none() const;
  // The first run of changed words at or behind `word`; count 0: there is none.
  struct Run {
    size_t first;
    size_t count;
  };
  [[nodiscard]] Run NextRun(size_t word) const;

 private:
  friend ChangedWords CompareWords(const std::byte* before, std::span<const std::byte> after);
  std::array<uint64_t, kWords / 64> bits_{};
};

// Pure, and in bounds for any content: fit for Device::ReadInPlace.
[[nodiscard]] ChangedWords CompareWords(const std::byte* before, std::span<const std::byte> after);

// EOVERFLOW: the lane is full.
Result<void> LogWords(Lane& lane, MediaOffset at, std::span<const std::byte> after,
                      const ChangedWords& changed);
// Both in one. Errors as above.
Result<void> LogChangedWords(Lane& lane, MediaOffset at, std::span<const std::byte> before,
                             std::span<const std::byte> after);

}  // namespace ingot
