// SPDX-License-Identifier: BSD-3-Clause
// Word-wise bit searches. Pure; bounded by the bitmap's fixed size whatever its bits are.
#include "fs/core/page_bitmap.h"

#include <algorithm>
#include <bit>

namespace ingot {
namespace {

// Calls visit(word index, mask of the run's bits in it) for each word of the run, until it says
// false.
template <typename Visit>
bool ForEachWord(PageRun run, Visit visit) {
  uint32_t page = run.first;
  const uint32_t end = run.first + run.count;
  while (page < end) {
    const uint32_t shift = page % 64;
    const uint32_t bits = std::min<uint32_t>(64 - shift, end - page);
    const uint64_t ones = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    if (!visit(page / 64, ones << shift)) return false;
    page += bits;
  }
  return true;
}

bool IsBetter(PageRun candidate, PageRun best, uint32_t wanted) {
  if (candidate.count == 0) return false;
  if (best.count == 0) return true;
  const bool fits = candidate.count >= wanted;
  if (fits != (best.count >= wanted)) return fits;
  return fits ? candidate.count < best.count : candidate.count > best.count;
}

}  // namespace

bool TestBit(BitmapView bitmap, uint32_t page) {
  return (bitmap[page / 64] >> (page % 64) & 1) != 0;
}

void SetRun(PageBitmap& bitmap, PageRun run) {
  ForEachWord(run, [&](uint32_t word, uint64_t mask) {
    bitmap[word] |= mask;
    return true;
  });
}

void ClearRun(PageBitmap& bitmap, PageRun run) {
  ForEachWord(run, [&](uint32_t word, uint64_t mask) {
    bitmap[word] &= ~mask;
    return true;
  });
}

bool AllSet(BitmapView bitmap, PageRun run) {
  return ForEachWord(run,
                     [&](uint32_t word, uint64_t mask) { return (bitmap[word] & mask) == mask; });
}

bool AllClear(BitmapView bitmap, PageRun run) {
  return ForEachWord(run, [&](uint32_t word, uint64_t mask) { return (bitmap[word] & mask) == 0; });
}

uint32_t CountClear(BitmapView bitmap) {
  uint32_t set = 0;
  for (const uint64_t word : bitmap) set += static_cast<uint32_t>(std::popcount(word));
  return static_cast<uint32_t>(kPagesPerGroup) - set;
}

uint32_t NextSet(BitmapView bitmap, uint32_t from) {
  if (from >= kPagesPerGroup) return kPagesPerGroup;
  uint32_t word = from / 64;
  uint64_t bits = bitmap[word] & (~uint64_t{0} << (from % 64));
  while (bits == 0) {
    if (++word == kBitmapWords) return kPagesPerGroup;
    bits = bitmap[word];
  }
  return word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
}

uint32_t FreeFrom(BitmapView bitmap, uint32_t first, uint32_t max) {
  uint32_t count = 0;
  while (count < max && first + count < kPagesPerGroup) {
    const uint32_t page = first + count;
    const uint64_t taken = bitmap[page / 64] >> (page % 64);
    const uint32_t in_word = 64 - page % 64;
    if (taken != 0) {
      count += std::min(in_word, static_cast<uint32_t>(std::countr_zero(taken)));
      break;
    }
    count += in_word;
  }
  return std::min(count, max);
}

PageRun BestFit(BitmapView bitmap, uint64_t huge_pages, uint32_t wanted) {
  PageRun best;
  for (; huge_pages != 0; huge_pages &= huge_pages - 1) {
    const auto huge = static_cast<uint32_t>(std::countr_zero(huge_pages));
    uint32_t page = huge * kRunPages;
    const uint32_t end = page + kRunPages;
    while (page < end) {
      if (bitmap[page / 64] == ~uint64_t{0}) {
        page = (page / 64 + 1) * 64;
        continue;
      }
      const uint32_t free = FreeFrom(bitmap, page, end - page);
      const PageRun run{page, free};
      if (IsBetter(run, best, wanted)) best = run;
      if (best.count == wanted) return best;
      page += free + 1;  // the page behind a run is taken
    }
  }
  return best;
}

}  // namespace ingot
