// SPDX-License-Identifier: BSD-3-Clause
// The three copies: destroyed in each combination, refused by name, cut short, changed field by
// field, made again from nothing, and torn by a crash while they are written.
#include "pmemdev/superblock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "pmemdev/base/checksum.h"
#include "pmemdev/device.h"
#include "tests/support/field_mutations.h"
#include "tests/support/test_region.h"

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kSize = 16 * kMiB;

class SuperblockTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Device::Format(*mapping_, tests::TestFormatOptions()).has_value());
  }

  std::byte* Copy(uint32_t copy) {
    return mapping_->writable_base() + Geometry::SuperblockCopy(copy, mapping_->size_bytes()).value;
  }
  media::Superblock Load(uint32_t copy) {
    media::Superblock superblock;
    std::memcpy(&superblock, Copy(copy), sizeof(superblock));
    return superblock;
  }
  void StoreAll(const media::Superblock& superblock) {
    for (uint32_t copy = 0; copy < 3; ++copy) {
      std::memcpy(Copy(copy), &superblock, sizeof(superblock));
    }
  }
  void Destroy(uint32_t copy) { std::memset(Copy(copy), 0xA5, kPageSize); }

  std::unique_ptr<Mapping> mapping_ = tests::MemoryMapping(kSize);
};

bool Same(const media::Superblock& a, const media::Superblock& b) {
  return std::ranges::equal(BytesOf(a), BytesOf(b));
}

TEST_F(SuperblockTest, FormatWritesThreeEqualCopies) {
  const auto scan = ReadSuperblocks(*mapping_);
  ASSERT_TRUE(scan.has_value()) << Describe(scan.error());
  for (uint32_t copy = 0; copy < 3; ++copy) {
    EXPECT_TRUE(scan->valid[copy] && scan->same[copy]);
    EXPECT_TRUE(Same(Load(copy), scan->best));
  }
  EXPECT_EQ(scan->best.sequence, 1u);
  EXPECT_EQ(std::string(scan->best.label.data()), "test");
  EXPECT_EQ(FormatUuid(scan->best.uuid), "01020304-0506-0708-090a-0b0c0d0e0f10");
}

TEST_F(SuperblockTest, EachCombinationOfLostCopiesIsRestored) {
  const media::Superblock good = Load(0);
  for (unsigned lost = 0; lost < 7; ++lost) {
    for (uint32_t copy = 0; copy < 3; ++copy) {
      if ((lost >> copy & 1) != 0) Destroy(copy);
    }
    const auto scan = ReadSuperblocks(*mapping_);
    ASSERT_TRUE(scan.has_value()) << lost << ": " << Describe(scan.error());
    EXPECT_TRUE(Same(scan->best, good));
    for (uint32_t copy = 0; copy < 3; ++copy) EXPECT_EQ(scan->same[copy], (lost >> copy & 1) == 0);
    Persist persist(*mapping_);
    ASSERT_TRUE(RestoreSuperblocks(persist, *scan).has_value());
    for (uint32_t copy = 0; copy < 3; ++copy) EXPECT_TRUE(Same(Load(copy), good));
  }
}

TEST_F(SuperblockTest, AllLostAndMadeAgain) {
  media::Superblock good = Load(0);
  for (uint32_t copy = 0; copy < 3; ++copy) Destroy(copy);
  EXPECT_EQ(ReadSuperblocks(*mapping_).error_code(), EUCLEAN);
  const auto again = RecreateSuperblock(*mapping_);
  ASSERT_TRUE(again.has_value()) << Describe(again.error());
  good.label = {};
  good.sequence = again->sequence;
  Seal(good);
  EXPECT_TRUE(Same(*again, good)) << "equal but for label and sequence";
  Persist persist(*mapping_);
  ASSERT_TRUE(WriteSuperblocks(persist, *again).has_value());
  EXPECT_TRUE(ReadSuperblocks(*mapping_).has_value());
}

TEST_F(SuperblockTest, RecreationNeedsMajorities) {
  const auto lane = [this](uint32_t index) {
    return mapping_->writable_base() + Geometry::Lane(index).value;
  };
  for (uint32_t i = 0; i < 31; ++i) std::memset(lane(i), 0, kCacheLineSize);
  EXPECT_TRUE(RecreateSuperblock(*mapping_).has_value()) << "33 of 64 lanes agree";
  std::memset(lane(31), 0, kCacheLineSize);
  EXPECT_EQ(RecreateSuperblock(*mapping_).error_code(), EUCLEAN);

  ASSERT_TRUE(Device::Format(*mapping_, tests::TestFormatOptions()).has_value());
  std::byte* entry = mapping_->writable_base() + Geometry::GroupEntryAt(GroupIndex(0)).value;
  entry[40] ^= std::byte{1};
  EXPECT_EQ(RecreateSuperblock(*mapping_).error_code(), EUCLEAN);
}

TEST_F(SuperblockTest, RecreationTakesTheFeaturesThatMostLanesHave) {
  const auto set_features = [this](uint32_t index, uint64_t features) {
    std::byte* at = mapping_->writable_base() + Geometry::Lane(index).value;
    media::LaneHeader header;
    std::memcpy(&header, at, sizeof(header));
    header.features_incompatible = features;
    header.checksum =
        BlockChecksum(BytesOf(header), offsetof(media::LaneHeader, checksum), index);
    std::memcpy(at, &header, sizeof(header));
  };
  set_features(media::kLaneCount - 1, media::kFeatureDirectoryPool);
  EXPECT_EQ(RecreateSuperblock(*mapping_)->features_incompatible, 0u);
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    set_features(lane, media::kFeatureDirectoryPool);
  }
  EXPECT_EQ(RecreateSuperblock(*mapping_)->features_incompatible, media::kFeatureDirectoryPool);
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) set_features(lane, 1 << 20);
  EXPECT_EQ(RecreateSuperblock(*mapping_).error_code(), ENOTSUP);
}

TEST_F(SuperblockTest, NewestWinsAndTheRestFollow) {
  media::Superblock newer = Load(0);
  newer.sequence = 9;
  newer.label = {'n', 'e', 'w'};
  Seal(newer);
  std::memcpy(Copy(1), &newer, sizeof(newer));  // as if a crash had come between copies
  const auto scan = ReadSuperblocks(*mapping_);
  ASSERT_TRUE(scan.has_value());
  EXPECT_TRUE(Same(scan->best, newer));
  EXPECT_TRUE(scan->valid[0] && !scan->same[0] && scan->same[1] && !scan->same[2]);
}

TEST_F(SuperblockTest, RefusedByName) {
  const media::Superblock good = Load(0);
  const auto refused = [&](media::Superblock superblock, const std::string& text) {
    Seal(superblock);
    StoreAll(superblock);
    const auto scan = ReadSuperblocks(*mapping_);
    ASSERT_FALSE(scan.has_value());
    EXPECT_EQ(scan.error().code, ENOTSUP);
    EXPECT_NE(scan.error().context.find(text), std::string::npos) << scan.error().context;
    EXPECT_TRUE(ReadSuperblocksUnchecked(*mapping_).has_value());
  };
  media::Superblock changed = good;
  changed.format_version = 7;
  refused(changed, "format version 7");
  changed = good;
  changed.features_incompatible = 0x10;
  refused(changed, "0x10");
  changed = good;
  changed.page_size_bytes = 16384;
  refused(changed, "page size 16384");
}

TEST_F(SuperblockTest, NoPoolAndAnotherFile) {
  const auto empty = tests::MemoryMapping(kSize);
  EXPECT_EQ(ReadSuperblocks(*empty).error_code(), EINVAL);
  EXPECT_EQ(RecreateSuperblock(*empty).error_code(), EUCLEAN);
  const auto tiny = tests::MemoryMapping(2 * kMiB);
  EXPECT_EQ(ReadSuperblocks(*tiny).error_code(), EINVAL);
  EXPECT_EQ(RecreateSuperblock(*tiny).error_code(), EUCLEAN);
}

TEST_F(SuperblockTest, UnreadableLabels) {
  for (uint32_t copy = 0; copy < 3; ++copy) {
    if (!tests::PoisonPage(*mapping_, Geometry::SuperblockCopy(copy, kSize))) {
      GTEST_SKIP() << "UFFDIO_POISON";
    }
    EXPECT_EQ(ReadSuperblocks(*mapping_).has_value(), copy < 2);
  }
  EXPECT_EQ(ReadSuperblocks(*mapping_).error_code(), EUCLEAN) << "the lanes are there";
}

TEST_F(SuperblockTest, FileCutShortOrEnlarged) {
  const auto with_size = [this](uint64_t size) {
    EXPECT_EQ(ftruncate(mapping_->fd(), static_cast<off_t>(size)), 0);
    MappingOptions options = tests::TestMappingOptions();
    options.take_lock = false;
    auto mapping = Mapping::FromDescriptor(dup(mapping_->fd()), options);
    EXPECT_TRUE(mapping.has_value());
    return std::move(*mapping);
  };
  EXPECT_EQ(ReadSuperblocks(*with_size(kSize - 2 * kMiB)).error_code(), ERANGE);
  EXPECT_EQ(ReadSuperblocks(*with_size(2 * kMiB)).error_code(), ERANGE);
  // The third copy was cut off; it is looked for where the pool ends, not where the file does.
  const auto enlarged = with_size(3 * kSize);
  const auto scan = ReadSuperblocks(*enlarged);
  ASSERT_TRUE(scan.has_value()) << Describe(scan.error());
  EXPECT_FALSE(scan->valid[2]);
  Persist persist(*enlarged);
  ASSERT_TRUE(RestoreSuperblocks(persist, *scan).has_value());
  EXPECT_TRUE(Same(Load(2), scan->best));
  EXPECT_TRUE(ReadSuperblocks(*enlarged)->same[2]);
}

// All copies changed alike: refused or opened, never crashed, and what opens is what was sealed.
TEST_F(SuperblockTest, EveryFieldChanged) {
  const media::Superblock good = Load(0);
  tests::ForEachMutation(good, [&](const Field& field, media::Superblock changed) {
    StoreAll(changed);
    EXPECT_FALSE(ReadSuperblocks(*mapping_).has_value()) << field.name << ", not resealed";
    Seal(changed);
    StoreAll(changed);
    const auto scan = ReadSuperblocks(*mapping_);
    EXPECT_TRUE(!scan.has_value() || Same(scan->best, changed)) << field.name;
    (void)RecreateSuperblock(*mapping_);
    MappingOptions options = tests::TestMappingOptions();
    options.take_lock = false;
    auto mapping = Mapping::FromDescriptor(dup(mapping_->fd()), options);
    ASSERT_TRUE(mapping.has_value());
    const auto device = Device::Open(std::move(*mapping), {});
    EXPECT_EQ(device.has_value(), scan.has_value()) << field.name;
  });
}

// A crash at any fence of a rewrite, with any part of the copy in flight: old or new, whole.
TEST_F(SuperblockTest, RewriteSurvivesACrashAnywhere) {
  const media::Superblock old = Load(0);
  media::Superblock fresh = old;
  fresh.sequence = 2;
  fresh.label = {'2'};
  Seal(fresh);
  for (uint32_t in_flight = 0; in_flight < 3; ++in_flight) {
    for (size_t words = 0; words <= sizeof(fresh) / kWordSize; ++words) {
      for (uint32_t copy = 0; copy < 3; ++copy) {
        std::memcpy(Copy(copy), copy < in_flight ? &fresh : &old, sizeof(old));
      }
      std::memcpy(Copy(in_flight), &fresh, words * kWordSize);
      const auto scan = ReadSuperblocks(*mapping_);
      ASSERT_TRUE(scan.has_value());
      EXPECT_TRUE(Same(scan->best, old) || Same(scan->best, fresh));
    }
  }
}

TEST_F(SuperblockTest, RewriteFencesEachCopy) {
  Persist persist(*mapping_);
  ASSERT_TRUE(WriteSuperblocks(persist, Load(0)).has_value());
  EXPECT_EQ(persist.counts().fences, 3u);
}

}  // namespace
}  // namespace ingot
