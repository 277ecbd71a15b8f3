// SPDX-License-Identifier: BSD-3-Clause
// Every field of a media struct changed in each way that matters: zeros, ones, first, middle and
// last bit flipped, plus and minus one, random bytes with a fixed seed. Derived from the struct's
// own table of fields.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <span>

#include "pmemdev/base/fields.h"

namespace ingot::tests {

// Sanitizers look at the paths that a change takes, of which there are few: one change in three,
// each field in two or three ways. The release build makes all.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kMutationStride = 3;
#else
inline constexpr int kMutationStride = 1;
#endif

// Calls `check(field, changed)` for each change that really changes something.
template <typename T, typename Check>
void ForEachMutation(const T& good, Check&& check) {
  std::mt19937_64 random(1);
  int number = 0;
  for (const Field& field : media::kFieldsOf<T>) {
    for (int way = 0; way < 8; ++way) {
      if (number++ % kMutationStride != 0) continue;
      T changed = good;
      const auto bytes = WritableBytesOf(changed).subspan(field.offset_bytes, field.size_bytes);
      const size_t bits = bytes.size() * 8;
      const auto flip = [bytes](size_t bit) { bytes[bit / 8] ^= std::byte{1} << (bit % 8); };
      const auto add = [bytes](int direction) {
        // Little-endian carry through a field of any length.
        for (std::byte& byte : bytes) {
          const int sum = std::to_integer<int>(byte) + direction;
          byte = static_cast<std::byte>(sum);
          if (sum >= 0 && sum <= 255) break;
        }
      };
      switch (way) {
        case 0: std::ranges::fill(bytes, std::byte{0}); break;
        case 1: std::ranges::fill(bytes, std::byte{0xff}); break;
        case 2: flip(0); break;
        case 3: flip(bits / 2); break;
        case 4: flip(bits - 1); break;
        case 5: add(1); break;
        case 6: add(-1); break;
        default:
          for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      }
      if (std::memcmp(&changed, &good, sizeof(T)) != 0) check(field, changed);
    }
  }
}

}  // namespace ingot::tests
