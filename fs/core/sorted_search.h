// SPDX-License-Identifier: BSD-3-Clause
// Search in sorted arrays of 16-byte records and slots, for the fewest cache lines on a cold
// medium.
//
// Pure and in bounds for any content: an array that is not sorted gives a meaningless index, never
// more than `count`. Fit for Device::ReadInPlace.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ingot {

inline constexpr uint64_t kNoKey = UINT64_MAX;  // greater than every key in use

// The keys that an array answers for: [low, high). Keys of records below `low` or from `high` on
// lie in other nodes. kNoKey: nothing is to the right.
struct KeyRange {
  uint64_t low = 0;
  uint64_t high = kNoKey;
};

namespace internal {
inline constexpr uint32_t kFewItems = 8;     // two cache lines: nothing to guess
inline constexpr uint32_t kFirstStride = 4;  // items in a cache line
inline constexpr uint64_t kHashedKeyLimit = uint64_t{1} << 63;

// Where `key` would be if keys were spread evenly.
inline uint32_t GuessIndex(uint32_t count, uint64_t key, KeyRange range) {
  const uint64_t high = std::min(range.high, kHashedKeyLimit);
  if (key <= range.low) return 0;
  if (key >= high) return count - 1;
  const double share = static_cast<double>(key - range.low) / static_cast<double>(high - range.low);
  return std::min(count - 1, static_cast<uint32_t>(share * count));
}
}  // namespace internal

// The index of the first item whose key is greater than `key`, or `count`. Keys of directories are
// hashes, so a guess by interpolation misses by a few items; the search then widens from there.
// Keys that are spread in any other way cost about twice a binary search's probes.
template <typename Item>
[[nodiscard]] uint32_t UpperBound(const Item* items, uint32_t count, uint64_t key, KeyRange range) {
  uint32_t low = 0;  // the answer is in [low, high]
  uint32_t high = count;
  if (count > internal::kFewItems) {
    const uint32_t guess = internal::GuessIndex(count, key, range);
    uint32_t stride = internal::kFirstStride;
    if (items[guess].key <= key) {
      low = guess + 1;
      for (; high - low >= stride; stride *= 2) {
        const uint32_t probe = low + stride - 1;
        if (items[probe].key > key) {
          high = probe;
          break;
        }
        low = probe + 1;
      }
    } else {
      high = guess;
      for (; high - low >= stride; stride *= 2) {
        const uint32_t probe = high - stride;
        if (items[probe].key <= key) {
          low = probe + 1;
          break;
        }
        high = probe;
      }
    }
  }
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (items[middle].key > key) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// The index of the first item whose key is `key` or greater, or `count`.
template <typename Item>
[[nodiscard]] uint32_t LowerBound(const Item* items, uint32_t count, uint64_t key, KeyRange range) {
  return key == 0 ? 0 : UpperBound(items, count, key - 1, range);
}

}  // namespace ingot
