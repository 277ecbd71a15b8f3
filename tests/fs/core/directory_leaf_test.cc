// SPDX-License-Identifier: BSD-3-Clause
// One directory leaf: random entries against a map, splitting and absorbing, and bytes that lie.
#include "fs/core/directory_leaf.h"

#include <cstring>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace ingot::tests {
namespace {

namespace leafs = directory_leaf;

struct Entry {
  std::string name;
  InodeNumber inode;
  uint8_t type;
};
using Model = std::map<uint64_t, Entry>;

media::DirectoryLeaf EmptyLeaf() {
  media::DirectoryLeaf leaf;
  std::memset(&leaf, 0, sizeof(leaf));
  leaf.header.magic = media::kDirectoryLeafMagic;
  leafs::Initialise(leaf);
  return leaf;
}

std::string AnyName(std::mt19937_64& random) {
  const size_t length = random() % 4 == 0 ? random() % 255 + 1 : random() % 20 + 1;
  std::string name(length, ' ');
  for (char& c : name) c = static_cast<char>('a' + random() % 26);
  return name;
}

// Few hashes, so that some are equal.
uint64_t AnyKey(std::mt19937_64& random) {
  return leafs::KeyOf(random() % 500 + 1, random() % 3);
}

void ExpectModel(const media::DirectoryLeaf& leaf, const Model& model) {
  ASSERT_EQ(leaf.header.count, model.size());
  if (model.empty()) return;
  ASSERT_STREQ(leafs::Check(leaf, 0), nullptr);
  uint32_t index = 0;
  for (const auto& [key, entry] : model) {
    ASSERT_EQ(leaf.slots[index].key, key);
    ASSERT_EQ(leafs::InodeOf(leaf.slots[index]), entry.inode);
    ASSERT_EQ(leafs::TypeOf(leaf.slots[index]), entry.type);
    ASSERT_EQ(leafs::NameAt(leaf, index), entry.name);
    ++index;
  }
}

bool InsertAny(media::DirectoryLeaf& leaf, Model& model, std::mt19937_64& random) {
  const uint64_t key = AnyKey(random);
  const Entry entry{AnyName(random), InodeNumber(random() >> 13 | 1),
                    static_cast<uint8_t>(random() % 16)};
  if (model.contains(key)) return true;
  if (leafs::EntryBytes(entry.name.size()) > leafs::FreeBytes(leaf)) return false;
  leafs::Insert(leaf, key, entry.name, entry.inode, entry.type);
  model[key] = entry;
  return true;
}

media::DirectoryLeaf FullLeaf(Model& model, std::mt19937_64& random) {
  media::DirectoryLeaf leaf = EmptyLeaf();
  while (InsertAny(leaf, model, random)) {
  }
  return leaf;
}

TEST(DirectoryLeaf, MatchesAMap) {
  std::mt19937_64 random(1);
  media::DirectoryLeaf leaf = EmptyLeaf();
  Model model;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t dice = random() % 10;
    if (dice < 5 || model.empty()) {
      InsertAny(leaf, model, random);
    } else {
      const auto index = static_cast<uint32_t>(random() % model.size());
      const auto at = std::next(model.begin(), index);
      if (dice < 9) {
        leafs::Erase(leaf, index);
        model.erase(at);
      } else {
        at->second.inode = InodeNumber(random() % 1000 + 1);
        leafs::Retarget(leaf, index, at->second.inode, at->second.type);
      }
    }
    ExpectModel(leaf, model);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(DirectoryLeaf, HoldsManyShortAndFewLongNames) {
  media::DirectoryLeaf leaf = EmptyLeaf();
  for (uint32_t i = 0; i < leafs::kMaxEntries; ++i) {
    ASSERT_GE(leafs::FreeBytes(leaf), leafs::EntryBytes(7));
    leafs::Insert(leaf, leafs::KeyOf(i + 1, 0), "seven..", InodeNumber(1), 8);
  }
  EXPECT_STREQ(leafs::Check(leaf, 0), nullptr);
  EXPECT_LT(leafs::FreeBytes(leaf), leafs::EntryBytes(1));
  leaf = EmptyLeaf();
  const std::string longest(255, 'x');
  uint32_t count = 0;
  for (; leafs::FreeBytes(leaf) >= leafs::EntryBytes(255); ++count) {
    leafs::Insert(leaf, leafs::KeyOf(count + 1, 0), longest, InodeNumber(1), 8);
  }
  EXPECT_EQ(count, 14u);
  EXPECT_STREQ(leafs::Check(leaf, 0), nullptr);
}

TEST(DirectoryLeaf, SplitsByBytesAndAbsorbsAgain) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 500; ++round) {
    Model model;
    media::DirectoryLeaf left = FullLeaf(model, random);
    media::DirectoryLeaf right = EmptyLeaf();
    leafs::Split(left, right);
    ASSERT_GE(leafs::FreeBytes(left), leafs::EntryBytes(255));
    ASSERT_GE(leafs::FreeBytes(right), leafs::EntryBytes(255));
    const auto border = std::next(model.begin(), left.header.count);
    ExpectModel(left, Model(model.begin(), border));
    ExpectModel(right, Model(border, model.end()));
    leafs::Absorb(left, right);
    ExpectModel(left, model);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(DirectoryLeaf, SearchFindsTheNameAndTheFreeOrdinal) {
  media::DirectoryLeaf leaf = EmptyLeaf();
  for (const uint64_t ordinal : {0u, 1u, 3u}) {
    leafs::Insert(leaf, leafs::KeyOf(9, ordinal), "n" + std::to_string(ordinal),
                  InodeNumber(100 + ordinal), 4);
  }
  leafs::Insert(leaf, leafs::KeyOf(8, 0), "other", InodeNumber(5), 4);
  leafs::Search search{.hash = 9, .name = "n3"};
  leafs::Continue(search, leaf, {});
  EXPECT_TRUE(search.found);
  EXPECT_EQ(leafs::InodeOf(search.slot), InodeNumber(103));
  EXPECT_EQ(search.index, 3u);
  leafs::Search absent{.hash = 9, .name = "n2"};
  leafs::Continue(absent, leaf, {});
  EXPECT_FALSE(absent.found || absent.damaged);
  EXPECT_EQ(absent.free_ordinal, 2u);
}

TEST(DirectoryLeaf, EachDamageIsNamed) {
  std::mt19937_64 random(3);
  Model model;
  const media::DirectoryLeaf good = FullLeaf(model, random);
  const auto wrong = [&](auto&& damage) {
    media::DirectoryLeaf leaf = good;
    damage(leaf);
    const char* what = leafs::Check(leaf, 0);
    return std::string(what == nullptr ? "" : what);
  };
  using Leaf = media::DirectoryLeaf;
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.header.magic = media::kTreeNodeMagic; }), "kind");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.header.level = 1; }), "kind");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.header.count = 0; }), "count");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.header.count = 400; }), "count");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.names_begin = 4104; }), "names_begin");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.names_begin = 48; }), "names_begin");
  EXPECT_EQ(
      wrong([](Leaf& leaf) { leaf.names_begin = static_cast<uint16_t>(leaf.names_begin + 1); }),
      "names_begin");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.dead_bytes = 8; }), "dead_bytes");
  EXPECT_EQ(wrong([](Leaf& leaf) { --leaf.header.count; }), "dead_bytes");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.slots[1].key = leaf.slots[0].key; }), "key");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.slots[0].key = 65535; }), "key");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.slots[leaf.header.count - 1].key |= uint64_t{1} << 63; }),
            "key");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.slots[0].target &= ~(uint64_t{511} << 51); }),
            "place of a name");
  EXPECT_EQ(wrong([](Leaf& leaf) { leaf.slots[0].target &= ~((uint64_t{1} << 51) - 1); }), "inode");
  EXPECT_STREQ(leafs::Check(good, good.slots[0].key + 1), "key");
  EXPECT_STREQ(leafs::Check(good, good.slots[0].key), nullptr);
}

TEST(DirectoryLeaf, RandomBytesAreReadSafelyAndEditedIfTheyPass) {
  std::mt19937_64 random(4);
  Model model;
  const media::DirectoryLeaf good = FullLeaf(model, random);
  int passed = 0;
  for (int i = 0; i < 50'000; ++i) {
    media::DirectoryLeaf leaf = good;
    const auto bytes = WritableBytesOf(leaf);
    const bool small = i % 2 == 0;
    for (uint64_t n = small ? 1 : random() % 50 + 1; n > 0; --n) {
      bytes[24 + random() % (kPageSize - 24)] ^= static_cast<std::byte>(random());
    }
    leafs::Search search{.hash = leafs::HashOfKey(good.slots[random() % good.header.count].key),
                         .name = "some name"};
    leafs::Continue(search, leaf, {0, random()});
    if (leafs::Check(leaf, 0) != nullptr) continue;
    ++passed;
    media::DirectoryLeaf right = EmptyLeaf();
    leafs::Split(leaf, right);
    if (leafs::Check(leaf, 0) != nullptr) continue;
    const uint64_t key = leafs::KeyOf(600, 0);
    if (!leafs::HasKey(leaf, key)) leafs::Insert(leaf, key, "name", InodeNumber(1), 8);
    while (leaf.header.count > 0 && leafs::Check(leaf, 0) == nullptr) leafs::Erase(leaf, 0);
  }
  EXPECT_GT(passed, 1000) << "bytes of names may change";
}

}  // namespace
}  // namespace ingot::tests
