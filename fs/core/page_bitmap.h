// SPDX-License-Identifier: BSD-3-Clause
// Pure functions over the 32,768 bits of a group: counting, setting, and finding runs of free
// pages.
//
// A set bit is a page that is taken. Works on DRAM copies and, read-only, in place. No state.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "pmemdev/base/ids.h"

namespace ingot {

inline constexpr uint32_t kBitmapWords = kPagesPerGroup / 64;  // 512 words, one page
// A huge page in pages, in the type of a run.
inline constexpr uint32_t kRunPages = static_cast<uint32_t>(kPagesPerHugePage);

using PageBitmap = std::array<uint64_t, kBitmapWords>;
using BitmapView = std::span<const uint64_t, kBitmapWords>;

struct PageRun {
  uint32_t first = 0;
  uint32_t count = 0;
};

[[nodiscard]] bool TestBit(BitmapView bitmap, uint32_t page);
void SetRun(PageBitmap& bitmap, PageRun run);
void ClearRun(PageBitmap& bitmap, PageRun run);
[[nodiscard]] bool AllSet(BitmapView bitmap, PageRun run);
[[nodiscard]] bool AllClear(BitmapView bitmap, PageRun run);
[[nodiscard]] uint32_t CountClear(BitmapView bitmap);

// How many pages from `first` on are free, at most `max`.
[[nodiscard]] uint32_t FreeFrom(BitmapView bitmap, uint32_t first, uint32_t max);
// The first set bit at or behind `from`, or kPagesPerGroup.
[[nodiscard]] uint32_t NextSet(BitmapView bitmap, uint32_t from);

// Of the free runs in the huge pages selected by `huge_pages` (one bit each; runs don't cross
// them): the shortest of at least `wanted` pages, else the longest. Count 0: none is free.
[[nodiscard]] PageRun BestFit(BitmapView bitmap, uint64_t huge_pages, uint32_t wanted);

}  // namespace ingot
