// SPDX-License-Identifier: BSD-3-Clause
// The comparison of two versions of a block, word by word. Writes DRAM only (the lane's buffer).
#include "fs/core/log_changes.h"

#include <array>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot {

Result<void> LogChangedWords(Lane& lane, MediaOffset at, std::span<const std::byte> before,
                             std::span<const std::byte> after) {
  CHECK(before.size() == after.size() && before.size() % kWordSize == 0, "{} {}", before.size(),
        after.size());
  const size_t words = after.size() / kWordSize;
  const auto word_of = [](std::span<const std::byte> block, size_t i) {
    uint64_t word;
    std::memcpy(&word, block.data() + i * kWordSize, kWordSize);
    return word;
  };
  // Runs are gathered here, so that any alignment of the copies will do.
  std::array<uint64_t, kPageSize / kWordSize> run;
  for (size_t i = 0; i < words;) {
    size_t count = 0;
    while (i + count < words && word_of(before, i + count) != word_of(after, i + count)) {
      run[count] = word_of(after, i + count);
      ++count;
    }
    if (count != 0) TRY(lane.Log(at + i * kWordSize, std::span(run).first(count)));
    i += count + 1;  // the word behind a run is equal
  }
  return {};
}

}  // namespace ingot
