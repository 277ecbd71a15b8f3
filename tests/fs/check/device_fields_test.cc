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

TEST(DeviceFields, LaneHeader) {
  const MediaOffset at = Geometry::Lane(5);
  const media::LaneHeader good = *reinterpret_cast<const media::LaneHeader*>(PoolCopy().At(at));
  int count = 0;
  ForEachMutation(good, [&](const Field& field, const media::LaneHeader& bad) {
    SCOPED_TRACE(fmt::format("{}, case {}", field.name, count));
    PoolCopy copy;
    std::memcpy(copy.At(at), &bad, sizeof(bad));
    const check::CheckReport report = copy.ExpectRepairable({}, ++count % 16 == 0);
    EXPECT_TRUE(Has(report, FindingKind::kLaneHeader));
  });
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
