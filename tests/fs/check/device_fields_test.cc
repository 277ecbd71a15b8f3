// SPDX-License-Identifier: BSD-3-Clause
// Superblock copies, lane headers, group entries and bitmaps, changed in every way.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "pmemdev/base/checksum.h"
#include "tests/fs/check/populated_pool.h"
#include "tests/support/field_mutations.h"

namespace ingot::tests {
namespace {

using check::FindingKind;
constexpr GroupIndex kGroup{0};

TEST(DeviceFields, GroupEntry) {
  const media::GroupEntry good = PoolCopy().Group(kGroup);
  int count = 0;
  for (const bool sealed : {true, false}) {
    ForEachMutation(good, [&](const Field& field, const media::GroupEntry& bad) {
      if (sealed && field.kind == FieldKind::kChecksum) return;
      SCOPED_TRACE(fmt::format("{}, case {}", field.name, count));
      PoolCopy copy;
      copy.Group(kGroup) = bad;
      if (sealed) copy.Seal(kGroup);
      EXPECT_FALSE(copy.ExpectRepairable({}, ++count % 8 == 0).clean());
    });
  }
}

TEST(DeviceFields, LostGroupEntry) {
  PoolCopy copy;
  std::memset(copy.At(Geometry::GroupEntryAt(kGroup)), 0xA5, sizeof(media::GroupEntry));
  const check::CheckReport report = copy.ExpectRepairable({});
  EXPECT_TRUE(Has(report, FindingKind::kGroupEntry)) << Summary(report);
}

void FlipBit(PoolCopy& copy, uint32_t bitmap_page, uint32_t bit, bool sealed) {
  std::byte* bitmap = copy.At(FirstPageOf(kGroup) + bitmap_page);
  bitmap[bit / 8] ^= std::byte{1} << (bit % 8);
  if (!sealed) return;
  media::GroupEntry& entry = copy.Group(kGroup);
  const std::span<const std::byte> page(bitmap, kPageSize);
  (bitmap_page == media::kAllocatedBitmapPage ? entry.allocated_checksum : entry.inode_checksum) =
      Crc32c(page);
  copy.Seal(kGroup);
}

TEST(DeviceFields, Bitmaps) {
  std::mt19937 random(3);
  for (const uint32_t page : {media::kAllocatedBitmapPage, media::kInodeBitmapPage}) {
    for (const bool sealed : {true, false}) {
      for (int i = 0; i < 60; ++i) {
        // The first bits are all in use; the others are spread.
        const uint32_t bit = i < 30 ? static_cast<uint32_t>(i) : random() % kPagesPerGroup;
        SCOPED_TRACE(fmt::format("bit {} of bitmap {}, sealed {}", bit, page, sealed));
        PoolCopy copy;
        FlipBit(copy, page, bit, sealed);
        EXPECT_FALSE(copy.ExpectRepairable({}, i % 8 == 0).clean());
      }
    }
  }
}

TEST(DeviceFields, GarbageBitmaps) {
  for (const uint32_t page : {media::kAllocatedBitmapPage, media::kInodeBitmapPage}) {
    for (const int value : {0, 0xFF, 0x5A}) {
      SCOPED_TRACE(fmt::format("bitmap {} of {:#x}", page, value));
      PoolCopy copy;
      std::memset(copy.At(FirstPageOf(kGroup) + page), value, kPageSize);
      EXPECT_FALSE(copy.ExpectRepairable({}).clean());
    }
  }
}

// All that says what the group holds is gone; names are what remains.
TEST(DeviceFields, EntryAndBothBitmapsLost) {
  PoolCopy copy;
  std::memset(copy.At(Geometry::GroupEntryAt(kGroup)), 0xA5, sizeof(media::GroupEntry));
  for (const uint32_t page : {media::kAllocatedBitmapPage, media::kInodeBitmapPage}) {
    std::memset(copy.At(FirstPageOf(kGroup) + page), 0x77, kPageSize);
  }
  EXPECT_FALSE(copy.ExpectRepairable({}).clean());
}

template <typename T>
void SealAs(T& block, uint64_t seed) {
  block.checksum = BlockChecksum(BytesOf(block), offsetof(T, checksum), seed);
}

// One copy that says something else than the others. Sealed it may be the better one: whatever a
// writer of images puts there is refused or believed, and breaks nothing.
TEST(DeviceFields, Superblock) {
  const media::Superblock good =
      *reinterpret_cast<const media::Superblock*>(PoolCopy().At(MediaOffset(0)));
  int count = 0;
  ForEachMutation(good, [&](const Field& field, const media::Superblock& bad) {
    SCOPED_TRACE(fmt::format("{}, case {}", field.name, count));
    PoolCopy copy;
    std::memcpy(copy.At(MediaOffset(0)), &bad, sizeof(bad));
    const check::CheckReport report = copy.ExpectRepairable({}, ++count % 16 == 0);
    EXPECT_TRUE(Has(report, FindingKind::kSuperblockCopy));
  });
}

TEST(DeviceFields, SealedSuperblock) {
  const media::Superblock good =
      *reinterpret_cast<const media::Superblock*>(PoolCopy().At(MediaOffset(0)));
  for (const bool all_copies : {false, true}) {
    ForEachMutation(good, [&](const Field& field, const media::Superblock& changed) {
      if (field.kind == FieldKind::kChecksum) return;
      SCOPED_TRACE(fmt::format("{}, all copies {}", field.name, all_copies));
      media::Superblock bad = changed;
      SealAs(bad, 0);
      PoolCopy copy;
      const uint64_t size = copy.size_bytes();
      for (uint32_t i = 0; i < (all_copies ? media::kSuperblockCopies : 1); ++i) {
        std::memcpy(copy.At(Geometry::SuperblockCopy(i, size)), &bad, sizeof(bad));
      }
      copy.UseAsItIs();
      copy.CheckAsItIs();
    });
  }
}

TEST(DeviceFields, LaneHeader) {
  const MediaOffset at = Geometry::Lane(5);
  const media::LaneHeader good = *reinterpret_cast<const media::LaneHeader*>(PoolCopy().At(at));
  int count = 0;
  for (const bool sealed : {false, true}) {
    ForEachMutation(good, [&](const Field& field, const media::LaneHeader& changed) {
      if (sealed && field.kind == FieldKind::kChecksum) return;
      SCOPED_TRACE(fmt::format("{}, case {}, sealed {}", field.name, count, sealed));
      media::LaneHeader bad = changed;
      if (sealed) SealAs(bad, 5);
      PoolCopy copy;
      std::memcpy(copy.At(at), &bad, sizeof(bad));
      const check::CheckReport report = copy.ExpectRepairable({}, ++count % 16 == 0);
      EXPECT_TRUE(Has(report, FindingKind::kLaneHeader));
    });
  }
}

// A record of one run that stores to a page of a group what is there already. Unsealed it is torn,
// that is, none; sealed it is replayed, or names a place that no lane may.
TEST(DeviceFields, LaneRecord) {
  const MediaOffset at = Geometry::Lane(5) + media::kLaneRecordOffset;
  const MediaOffset target = Geometry::ToMedia(LogicalPage(0)) + media::kInodeSize;
  media::LaneRecord good{};
  good.sequence = 77;
  good.length_bytes = 2 * kWordSize;
  good.lane_index = 5;
  const auto patch = [&](PoolCopy& copy, media::LaneRecord record, bool sealed) {
    std::array<uint64_t, 2> payload{(target.value / kWordSize) << 11, 0};
    std::memcpy(&payload[1], copy.At(target), kWordSize);
    std::byte* place = copy.At(at);
    std::memcpy(place + sizeof(record), payload.data(), sizeof(payload));
    std::memcpy(place, &record, sizeof(record));
    if (!sealed) return;
    const auto& superblock = *reinterpret_cast<const media::Superblock*>(copy.At(MediaOffset(0)));
    const uint64_t seed = Hash64(BytesOf(superblock.uuid), 0);
    const uint64_t length = std::min<uint64_t>(record.length_bytes, 1024);
    record.checksum = Hash64({place + sizeof(uint64_t), sizeof(record) - 8 + length}, seed);
    std::memcpy(place, &record.checksum, sizeof(record.checksum));
  };
  {
    PoolCopy copy;
    patch(copy, good, true);
    EXPECT_TRUE(copy.Report().clean()) << "what is mutated is a good record";
  }
  for (const bool sealed : {true, false}) {
    ForEachMutation(good, [&](const Field& field, const media::LaneRecord& bad) {
      if (sealed && field.kind == FieldKind::kChecksum) return;
      SCOPED_TRACE(fmt::format("{}, sealed {}", field.name, sealed));
      PoolCopy copy;
      patch(copy, bad, sealed);
      copy.ExpectRepairable({}, false);
    });
  }
}

TEST(DeviceFields, AllSuperblocksLost) {
  const int fd = fcntl(PopulatedPool::Get().fd(), F_DUPFD_CLOEXEC, 0);
  MappingOptions options;
  options.private_copy = true;
  options.take_lock = false;
  options.reserve_bytes = uint64_t{64} << 20;
  auto mapping = Mapping::FromDescriptor(fd, options);
  ASSERT_TRUE(mapping) << Describe(mapping.error());
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    const MediaOffset at = Geometry::SuperblockCopy(copy, (*mapping)->size_bytes());
    std::memset((*mapping)->writable_base() + at.value, 0, kPageSize);
  }
  check::CheckOptions check;
  check.mode = check::CheckMode::kRepair;
  check.rebuild_superblock = true;
  const auto report = check::CheckPool(std::move(*mapping), check);
  ASSERT_TRUE(report) << Describe(report.error());
  EXPECT_TRUE(Has(*report, FindingKind::kSuperblocksLost));
  EXPECT_TRUE(report->clean_now()) << Summary(*report);
}

}  // namespace
}  // namespace ingot::tests
