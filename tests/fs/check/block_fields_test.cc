// SPDX-License-Identifier: BSD-3-Clause
// Tree nodes, directory leaves and xattr heads: headers, records, slots and bookkeeping changed in
// every way, sealed and not.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/fs/check/populated_pool.h"
#include "tests/support/field_mutations.h"

namespace ingot::tests {
namespace {

using check::FindingKind;

LogicalPage RootChild(const std::string& path, size_t index = 0) {
  PoolCopy copy;
  return LogicalPage(copy.Records(PopulatedPool::Get().Inode(path))[index].value);
}
LogicalPage XattrHeadOf(const std::string& path) {
  PoolCopy copy;
  return LogicalPage(copy.Inode(PopulatedPool::Get().Inode(path)).xattr_page);
}

struct Block {
  std::string name;
  LogicalPage page;
  std::string path;  // whose it is
};

std::vector<Block> Blocks() {
  PoolCopy copy;
  const LogicalPage big_node = RootChild("big");
  const LogicalPage big_leaf(copy.Block<media::TreeNode>(big_node).records[1].value);
  return {{"extent node", RootChild("fragmented"), "fragmented"},
          {"directory node", big_node, "big"},
          {"directory leaf", big_leaf, "big"},
          {"only leaf", RootChild("outer"), "outer"},
          {"xattr head", XattrHeadOf("xattr_head"), "xattr_head"},
          {"xattr head of runs", XattrHeadOf("xattr_runs"), "xattr_runs"}};
}

TEST(BlockFields, Preconditions) {
  PoolCopy copy;
  const PopulatedPool& pool = PopulatedPool::Get();
  EXPECT_EQ(copy.Inode(pool.Inode("big")).tree_height, 1);
  EXPECT_EQ(copy.Inode(pool.Inode("fragmented")).tree_height, 1);
  EXPECT_NE(copy.Inode(pool.Inode("xattr_inline")).xattr_bytes, 0);
  for (const Block& block : Blocks()) {
    EXPECT_EQ(copy.Block<media::BlockHeader>(block.page).page, block.page.value) << block.name;
  }
}

TEST(BlockFields, Headers) {
  int count = 0;
  for (const Block& block : Blocks()) {
    const media::BlockHeader good = PoolCopy().Block<media::BlockHeader>(block.page);
    for (const bool sealed : {true, false}) {
      ForEachMutation(good, [&](const Field& field, const media::BlockHeader& bad) {
        if (sealed && field.kind == FieldKind::kChecksum) return;
        SCOPED_TRACE(fmt::format("{} of {}, case {}", field.name, block.name, count));
        PoolCopy copy;
        copy.Block<media::BlockHeader>(block.page) = bad;
        if (sealed) copy.Seal(block.page);
        EXPECT_FALSE(copy.ExpectRepairable({block.path, "linked"}, ++count % 16 == 0).clean());
      });
    }
  }
}

// Flips every bit of the words of `bytes`; the block is resealed. Each must be noticed.
void ExpectEachBitNoticed(const Block& block, size_t offset, size_t size_bytes, uint64_t mask) {
  int count = 0;
  for (size_t bit = 0; bit < size_bytes * 8; bit += 3 * kMutationStride) {
    if ((mask >> (bit % 64) & 1) == 0) continue;
    SCOPED_TRACE(fmt::format("bit {} at {} of {}", bit, offset, block.name));
    PoolCopy copy;
    copy.At(block.page)[offset + bit / 8] ^= std::byte{1} << (bit % 8);
    copy.Seal(block.page);
    EXPECT_FALSE(copy.ExpectRepairable({block.path, "linked"}, ++count % 16 == 0).clean());
  }
}

TEST(BlockFields, Records) {
  const std::vector<Block> blocks = Blocks();
  // A key may move inside a hole, and "unwritten" may be true: those bits are left out.
  ExpectEachBitNoticed(blocks[0], offsetof(media::TreeNode, records) + 24, 8, (1ULL << 63) - 1);
  ExpectEachBitNoticed(blocks[1], offsetof(media::TreeNode, records), 8, ~0ULL);
  ExpectEachBitNoticed(blocks[1], offsetof(media::TreeNode, records) + 24, 8, ~0ULL);
}

TEST(BlockFields, LeafSlotsAndBookkeeping) {
  for (const size_t index : {2u, 3u}) {
    const Block block = Blocks()[index];
    ExpectEachBitNoticed(block, offsetof(media::DirectoryLeaf, names_begin), 8, ~0ULL);
    // The ordinal may be any, as long as the order is kept.
    ExpectEachBitNoticed(block, offsetof(media::DirectoryLeaf, slots), 8, ~0xFFFFULL);
    ExpectEachBitNoticed(block, offsetof(media::DirectoryLeaf, slots) + 8, 8, ~0ULL);
  }
}

TEST(BlockFields, Names) {
  const Block block = Blocks()[3];
  const uint16_t begin = PoolCopy().Block<media::DirectoryLeaf>(block.page).names_begin;
  ExpectEachBitNoticed(block, begin, kPageSize - begin, ~0ULL);
}

TEST(BlockFields, XattrHeads) {
  for (const size_t index : {4u, 5u}) {
    const Block block = Blocks()[index];
    ExpectEachBitNoticed(block, sizeof(media::BlockHeader), 8, ~0ULL);  // size and checksum
    ExpectEachBitNoticed(block, sizeof(media::XattrHead), 8, ~0ULL);    // blob, or the first run
  }
}

TEST(BlockFields, GarbageBlocks) {
  std::mt19937_64 random(7);
  for (const Block& block : Blocks()) {
    for (int way = 0; way < 4; ++way) {
      SCOPED_TRACE(fmt::format("{}, way {}", block.name, way));
      PoolCopy copy;
      std::byte* bytes = copy.At(block.page);
      // Zeros, ones, noise, and noise behind a whole header.
      const size_t from = way == 3 ? sizeof(media::BlockHeader) : 0;
      for (size_t i = from; i < kPageSize; ++i) {
        bytes[i] = way == 0   ? std::byte{0}
                   : way == 1 ? std::byte{0xFF}
                              : static_cast<std::byte>(random());
      }
      if (way == 3) copy.Seal(block.page);
      EXPECT_FALSE(copy.ExpectRepairable({block.path, "linked"}).clean());
    }
  }
}

}  // namespace
}  // namespace ingot::tests
