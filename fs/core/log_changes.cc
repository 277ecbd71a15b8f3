// SPDX-License-Identifier: BSD-3-Clause
// The comparison of two versions of a block, word by word. Writes DRAM only (the lane's buffer).
#include "fs/core/log_changes.h"

#include <array>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

constexpr size_t kWordsPerLine = kCacheLineSize / kWordSize;

// Most lines of a block are as they were: eight words at a time pass by.
bool IsLineEqual(const std::byte* before, const std::byte* after) {
  std::array<uint64_t, kWordsPerLine> a;
  std::array<uint64_t, kWordsPerLine> b;
  std::memcpy(a.data(), before, sizeof(a));
  std::memcpy(b.data(), after, sizeof(b));
  uint64_t differs = 0;
  for (size_t i = 0; i < kWordsPerLine; ++i) differs |= a[i] ^ b[i];
  return differs == 0;
}

}  // namespace

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
    if (i % kWordsPerLine == 0 && i + kWordsPerLine <= words &&
        IsLineEqual(before.data() + i * kWordSize, after.data() + i * kWordSize)) {
      i += kWordsPerLine;
      continue;
    }
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
