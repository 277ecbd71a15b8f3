// SPDX-License-Identifier: BSD-3-Clause
// page_bitmap against a plain vector of bools: the same answers for random bitmaps and the borders
// of words and huge pages. Pure; no device.
#include "fs/core/page_bitmap.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ingot {
namespace {

struct Model {
  explicit Model(const PageBitmap& bitmap) : taken(kPagesPerGroup) {
    for (uint32_t i = 0; i < kPagesPerGroup; ++i) taken[i] = TestBit(bitmap, i);
  }
  [[nodiscard]] PageRun BestFit(uint64_t huge_pages, uint32_t wanted) const {
    PageRun fitting, longest;
    for (uint32_t huge = 0; huge < kHugePagesPerGroup; ++huge) {
      if ((huge_pages >> huge & 1) == 0) continue;
      uint32_t length = 0;
      for (uint32_t i = 0; i <= kPagesPerHugePage; ++i) {
        const uint32_t page = huge * static_cast<uint32_t>(kPagesPerHugePage) + i;
        if (i < kPagesPerHugePage && !taken[page]) {
          ++length;
          continue;
        }
        const PageRun run{page - length, length};
        if (length >= wanted && (fitting.count == 0 || length < fitting.count)) fitting = run;
        if (length > longest.count) longest = run;
        length = 0;
      }
    }
    return fitting.count != 0 ? fitting : longest;
  }
  std::vector<bool> taken;
};

PageBitmap RandomBitmap(std::mt19937& random) {
  PageBitmap bitmap{};
  const auto runs = static_cast<uint32_t>(random() % 400);
  for (uint32_t i = 0; i < runs; ++i) {
    const auto first = static_cast<uint32_t>(random() % kPagesPerGroup);
    const auto longest = static_cast<uint32_t>(kPagesPerGroup - first);
    SetRun(bitmap, {first, 1 + static_cast<uint32_t>(random() % std::min<uint32_t>(longest, 700))});
  }
  return bitmap;
}

TEST(PageBitmap, SetAndClearTouchExactlyTheRun) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    PageBitmap bitmap{};
    const auto first = static_cast<uint32_t>(random() % kPagesPerGroup);
    const PageRun run{first, 1 + static_cast<uint32_t>(random() % (kPagesPerGroup - first))};
    SetRun(bitmap, run);
    EXPECT_TRUE(AllSet(bitmap, run));
    EXPECT_EQ(CountClear(bitmap), kPagesPerGroup - run.count);
    EXPECT_EQ(NextSet(bitmap, 0), run.first);
    EXPECT_EQ(NextSet(bitmap, run.first + run.count), kPagesPerGroup);
    ClearRun(bitmap, run);
    EXPECT_TRUE(AllClear(bitmap, {0, kPagesPerGroup}));
  }
}

TEST(PageBitmap, FreeFromAgreesWithCounting) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    const PageBitmap bitmap = RandomBitmap(random);
    const Model model(bitmap);
    for (int probe = 0; probe < 500; ++probe) {
      const auto first = static_cast<uint32_t>(random() % kPagesPerGroup);
      const uint32_t max = 1 + static_cast<uint32_t>(random() % 600);
      uint32_t expected = 0;
      while (expected < max && first + expected < kPagesPerGroup &&
             !model.taken[first + expected]) {
        ++expected;
      }
      ASSERT_EQ(FreeFrom(bitmap, first, max), expected) << first << " " << max;
    }
  }
}

TEST(PageBitmap, BestFitFindsTheShortestRunThatFitsElseTheLongest) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const PageBitmap bitmap = RandomBitmap(random);
    const Model model(bitmap);
    const uint64_t huge_pages = (uint64_t{random()} << 32) | random();
    const uint32_t wanted = 1 + static_cast<uint32_t>(random() % 512);
    const PageRun expected = model.BestFit(huge_pages, wanted);
    const PageRun found = BestFit(bitmap, huge_pages, wanted);
    ASSERT_EQ(found.count, expected.count) << "round " << round << " wanted " << wanted;
    if (found.count != 0) {
      EXPECT_TRUE(AllClear(bitmap, found));
      EXPECT_NE(huge_pages >> (found.first / kPagesPerHugePage) & 1, 0u);
    }
  }
}

TEST(PageBitmap, BestFitOfAFullBitmapIsEmpty) {
  PageBitmap bitmap{};
  SetRun(bitmap, {0, kPagesPerGroup});
  EXPECT_EQ(BestFit(bitmap, ~uint64_t{0}, 1).count, 0u);
}

}  // namespace
}  // namespace ingot
