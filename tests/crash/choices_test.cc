// SPDX-License-Identifier: BSD-3-Clause
// Which images are looked at.
#include "tests/support/choices.h"

#include <gtest/gtest.h>

#include <set>

namespace ingot::tests {
namespace {

// So many lines with so many stores each, one a word.
std::vector<PendingUnit> Lines(size_t lines, size_t stores, bool non_temporal) {
  std::vector<PendingUnit> pending(lines);
  for (size_t i = 0; i < lines; ++i) {
    pending[i].only_non_temporal = non_temporal;
    for (size_t j = 0; j < stores; ++j) {
      pending[i].stores.push_back({{i * 64 + j * 8, i * 100 + j}, !non_temporal});
    }
  }
  return pending;
}

// Each choice as the set of words kept.
std::set<std::set<uint64_t>> Choices(const std::vector<PendingUnit>& pending, size_t limit,
                                     uint64_t seed = 1) {
  std::set<std::set<uint64_t>> all;
  ForEachChoice(pending, limit, seed, [&](const std::vector<WordStore>& kept) {
    std::set<uint64_t> words;
    for (const WordStore& store : kept) words.insert(store.word);
    all.insert(words);
    return true;
  });
  return all;
}

TEST(Choices, NothingPendingIsOneImage) {
  EXPECT_EQ(Choices({}, 10).size(), 1u);
}

TEST(Choices, StoresWithoutOrderAreKeptInEachCombination) {
  EXPECT_EQ(Choices(Lines(1, 8, true), kAllCombinations).size(), 256u);
  EXPECT_EQ(Choices(Lines(2, 6, true), kAllCombinations).size(), 4096u);
  const auto some = Choices(Lines(1, 40, true), kAllCombinations);
  EXPECT_TRUE(some.contains({39})) << "the last alone";
  EXPECT_GT(some.size(), 4u * 40);
  EXPECT_LE(some.size(), 4u * 40 + 34 + 256);
}

TEST(Choices, OrderedAndOtherStoresOfALineAreKeptApart) {
  std::vector<PendingUnit> line = Lines(1, 3, true);
  line[0].stores[0].ordered = line[0].stores[2].ordered = true;
  const auto all = Choices(line, kAllCombinations);
  const std::set<std::set<uint64_t>> expected{{}, {0}, {0, 2}, {1}, {0, 1}, {0, 1, 2}};
  EXPECT_EQ(all, expected) << "word 2 never without word 0, word 1 with any";
}

TEST(Choices, AllCombinationsOfPrefixesWhereTheyAreFew) {
  EXPECT_EQ(Choices(Lines(3, 2, false), kAllCombinations).size(), 27u);
  // The second store of a line is never kept without the first.
  for (const auto& kept : Choices(Lines(2, 2, false), kAllCombinations)) {
    EXPECT_TRUE(!kept.contains(1) || kept.contains(0));
    EXPECT_TRUE(!kept.contains(101) || kept.contains(100));
  }
}

TEST(Choices, BeyondThemTheUsefulOnes) {
  const auto all = Choices(Lines(20, 1, false), kAllCombinations);
  // None, all, 20 alone, 20 missing, 190 pairs, 190 pairs missing, random ones.
  EXPECT_GT(all.size(), 2u + 40 + 380);
  EXPECT_LE(all.size(), 2u + 40 + 380 + 256);
  EXPECT_TRUE(all.contains({}));
  EXPECT_TRUE(all.contains({300}));
  EXPECT_TRUE(all.contains({300, 1900}));
}

TEST(Choices, ALimitKeepsNoneAndAll) {
  const auto some = Choices(Lines(20, 2, false), 10);
  EXPECT_EQ(some.size(), 10u);
  EXPECT_TRUE(some.contains({}));
  EXPECT_EQ(some.rbegin()->size() == 40 ||
                std::any_of(some.begin(), some.end(), [](const auto& s) { return s.size() == 40; }),
            true);
  EXPECT_EQ(Choices(Lines(20, 2, false), 10), some) << "the seed says which";
  EXPECT_NE(Choices(Lines(20, 2, false), 10, 2), some);
}

TEST(Choices, ALargeCopyIsOneThing) {
  EXPECT_EQ(Choices(Lines(64, 8, true), kAllCombinations).size(), 9u);
  EXPECT_GT(Choices(Lines(64, 8, false), kAllCombinations).size(), 500u);
}

TEST(Choices, TheVisitorMayStop) {
  int visits = 0;
  ForEachChoice(Lines(3, 1, false), kAllCombinations, 1, [&](const auto&) { return ++visits < 3; });
  EXPECT_EQ(visits, 3);
}

}  // namespace
}  // namespace ingot::tests
