// SPDX-License-Identifier: BSD-3-Clause
// The comparison of two versions of a block, word by word. Writes DRAM only (the lane's buffer).
#include "fs/core/log_changes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

constexpr size_t kWordsPerLine = kCacheLineSize / kWordSize;
static_assert(64 % kWordsPerLine == 0);

uint64_t WordAt(const std::byte* block, size_t word) {
  uint64_t value;
  std::memcpy(&value, block + word * kWordSize, sizeof(value));
  return value;
}

// A bit for each of a line's words that differs. Most lines are as they were. (Unrolled by hand: at
// -O2 a loop takes four times as long.)
inline uint64_t CompareLine(const std::byte* before, const std::byte* after) {
  static_assert(kWordsPerLine == 8);
  const auto difference = [=](size_t word) { return WordAt(before, word) ^ WordAt(after, word); };
  const uint64_t a = difference(0), b = difference(1), c = difference(2), d = difference(3);
  const uint64_t e = difference(4), f = difference(5), g = difference(6), h = difference(7);
  if ((a | b | c | d | e | f | g | h) == 0) return 0;
  const auto bit = [](uint64_t differs, int place) { return uint64_t{differs != 0} << place; };
  return bit(a, 0) | bit(b, 1) | bit(c, 2) | bit(d, 3) | bit(e, 4) | bit(f, 5) | bit(g, 6) |
         bit(h, 7);
}

}  // namespace

bool ChangedWords::none() const {
  return std::all_of(bits_.begin(), bits_.end(), [](uint64_t bits) { return bits == 0; });
}

ChangedWords::Run ChangedWords::NextRun(size_t word) const {
  // The first word from `from` on whose bit is as wanted.
  const auto find = [this](size_t from, bool wanted) {
    while (from < kWords) {
      const uint64_t bits = (wanted ? bits_[from / 64] : ~bits_[from / 64]) >> (from % 64);
      if (bits != 0) return from + static_cast<size_t>(std::countr_zero(bits));
      from = (from / 64 + 1) * 64;
    }
    return kWords;
  };
  const size_t first = find(word, true);
  return {first, find(first, false) - first};
}

ChangedWords CompareWords(const std::byte* before, std::span<const std::byte> after) {
  ChangedWords changed;
  const size_t words = std::min(after.size() / kWordSize, ChangedWords::kWords);
  size_t word = 0;
  for (; word + kWordsPerLine <= words; word += kWordsPerLine) {
    const size_t at = word * kWordSize;
    changed.bits_[word / 64] |= CompareLine(before + at, after.data() + at) << (word % 64);
  }
  for (; word < words; ++word) {
    if (std::memcmp(before + word * kWordSize, after.data() + word * kWordSize, kWordSize) != 0) {
      changed.Set(word);
    }
  }
  return changed;
}

Result<void> LogWords(Lane& lane, MediaOffset at, std::span<const std::byte> after,
                      const ChangedWords& changed) {
  CHECK(reinterpret_cast<uintptr_t>(after.data()) % kWordSize == 0, "a copy at an odd place");
  const auto* words = reinterpret_cast<const uint64_t*>(after.data());
  for (ChangedWords::Run run = changed.NextRun(0); run.count != 0;
       run = changed.NextRun(run.first + run.count)) {
    CHECK((run.first + run.count) * kWordSize <= after.size(), "{} + {} of {}", run.first,
          run.count, after.size());
    TRY(lane.Log(at + run.first * kWordSize, std::span(words + run.first, run.count)));
  }
  return {};
}

Result<void> LogChangedWords(Lane& lane, MediaOffset at, std::span<const std::byte> before,
                             std::span<const std::byte> after) {
  CHECK(
      before.size() == after.size() && before.size() % kWordSize == 0 && before.size() <= kPageSize,
      "{} {}", before.size(), after.size());
  return LogWords(lane, at, after, CompareWords(before.data(), after));
}

}  // namespace ingot
