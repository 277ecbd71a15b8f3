// SPDX-License-Identifier: BSD-3-Clause
// Which words of a block are logged, against a plain comparison, for changes of any shape; and a
// bitmap of which only some lines were loaded against the whole one.
#include "fs/core/log_changes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "fs/core/bitmap_edit.h"
#include "pmemdev/base/checksum.h"
#include "tests/support/test_region.h"

namespace ingot {
namespace {

using Block = std::array<uint64_t, kPageSize / kWordSize>;

std::map<size_t, uint64_t> Differences(const Block& before, const Block& after, size_t words) {
  std::map<size_t, uint64_t> differences;
  for (size_t i = 0; i < words; ++i) {
    if (before[i] != after[i]) differences[i] = after[i];
  }
  return differences;
}

std::map<size_t, uint64_t> Runs(const ChangedWords& changed, const Block& after) {
  std::map<size_t, uint64_t> words;
  size_t end = 0;
  for (auto run = changed.NextRun(0); run.count != 0; run = changed.NextRun(end)) {
    EXPECT_TRUE(end == 0 || run.first > end) << "runs that touch are one";
    end = run.first + run.count;
    for (size_t i = run.first; i < end; ++i) words[i] = after[i];
  }
  EXPECT_EQ(changed.none(), words.empty());
  return words;
}

TEST(ChangedWordsTest, AreThoseThatDiffer) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 3000; ++round) {
    Block before;
    for (uint64_t& word : before) word = random();
    Block after = before;
    const size_t words = round % 5 == 0 ? 1 + random() % before.size() : before.size();
    for (uint64_t runs = random() % 6; runs > 0; --runs) {
      const size_t first = random() % words;
      const size_t count = 1 + random() % (random() % 3 == 0 ? words - first : 3);
      for (size_t i = first; i < std::min(words, first + count); ++i) {
        after[i] ^= uint64_t{1} << random() % 64;
      }
    }
    const auto bytes = std::as_bytes(std::span(after)).first(words * kWordSize);
    const ChangedWords changed = CompareWords(std::as_bytes(std::span(before)).data(), bytes);
    ASSERT_EQ(Runs(changed, after), Differences(before, after, words)) << "round " << round;
  }
}

TEST(ChangedWordsTest, AllAndNone) {
  Block before{};
  Block after;
  after.fill(1);
  const auto bytes = std::as_bytes(std::span(after));
  EXPECT_EQ(Runs(CompareWords(std::as_bytes(std::span(before)).data(), bytes), after).size(), 512u);
  EXPECT_TRUE(CompareWords(bytes.data(), bytes).none());
  ChangedWords last = CompareWords(bytes.data(), bytes);
  last.Set(511);
  EXPECT_EQ(last.NextRun(0).first, 511u);
  EXPECT_EQ(last.NextRun(0).count, 1u);
  EXPECT_EQ(last.NextRun(512).count, 0u);
}

TEST(BitmapEditTest, TheLoadedLinesSuffice) {
  const std::unique_ptr<Device> device = tests::FormattedDevice(uint64_t{64} << 20);
  const LogicalPage page(media::kAllocatedBitmapPage);
  auto& medium = *reinterpret_cast<PageBitmap*>(device->mapping().writable_base() +
                                                Geometry::ToMedia(page).value);
  std::mt19937_64 random(2);
  for (int round = 0; round < 500; ++round) {
    for (uint64_t& word : medium) word = random();
    PageBitmap whole = medium;
    BitmapEdit edit(*device, page);
    for (uint64_t runs = 1 + random() % 5; runs > 0; --runs) {
      const auto first = static_cast<uint32_t>(random() % kPagesPerGroup);
      const auto most = static_cast<uint32_t>(kPagesPerGroup) - first;
      const PageRun run{first, 1 + static_cast<uint32_t>(random()) % std::min(most, 1500u)};
      const auto load = edit.Load(run);
      ASSERT_TRUE(load.has_value());
      ASSERT_EQ(AllSet(whole, run), AllSet(edit.bitmap(), run));
      ASSERT_EQ(AllClear(whole, run), AllClear(edit.bitmap(), run));
      if (random() % 2 == 0) {
        SetRun(whole, run);
        SetRun(edit.bitmap(), run);
      } else {
        ClearRun(whole, run);
        ClearRun(edit.bitmap(), run);
      }
    }
    ASSERT_EQ(edit.Checksum(Crc32c(std::as_bytes(std::span(medium)))),
              Crc32c(std::as_bytes(std::span(whole))));
  }
  const BitmapEdit fresh(*device, page, medium);
  EXPECT_EQ(fresh.Checksum(0), Crc32c(std::as_bytes(std::span(medium))));
}

}  // namespace
}  // namespace ingot
