// SPDX-License-Identifier: BSD-3-Clause
// The layout at its borders: tables, groups, the short last group, pools of a petabyte. Arithmetic
// only.
#include "pmemdev/geometry.h"

#include <gtest/gtest.h>

#include <vector>

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kFirstTable = 6 * kMiB;
constexpr uint64_t kSpan = 2 * kMiB + 32768 * 130 * kMiB;

// A region that holds exactly this many full groups of the first table.
constexpr uint64_t RegionOf(uint64_t groups) {
  return kFirstTable + 2 * kMiB + groups * 130 * kMiB + 2 * kMiB;
}

Geometry Make(uint64_t size) {
  auto geometry = Geometry::ForRegion(size);
  EXPECT_TRUE(geometry.has_value()) << size;
  return geometry.value_or(Geometry());
}

TEST(Geometry, RefusesTooSmallAndTooLarge) {
  EXPECT_EQ(Geometry::ForRegion(0).error_code(), ENOSPC);
  EXPECT_EQ(Geometry::ForRegion(Geometry::kMinRegionSize - 1).error_code(), ENOSPC);
  EXPECT_EQ(Geometry::ForRegion(Geometry::kMaxRegionSize + 1).error_code(), EFBIG);
  EXPECT_EQ(Geometry::ForRegion(~uint64_t{0}).error_code(), EFBIG);
  EXPECT_TRUE(Geometry::ForRegion(Geometry::kMaxRegionSize).has_value());
}

TEST(Geometry, SmallestPool) {
  const Geometry geometry = Make(16 * kMiB);
  EXPECT_EQ(geometry.group_count(), 1u);
  EXPECT_EQ(geometry.page_count(), 4 * kMiB / kPageSize);  // 16 - 6 - 2 (label) - 2 - 2
  EXPECT_EQ(geometry.PagesIn(GroupIndex(0)), 1024u);
}

TEST(Geometry, RoundsDownToHugePages) {
  const Geometry geometry = Make(300 * kMiB + 12345);
  EXPECT_EQ(geometry.region_size_bytes(), 300 * kMiB);
  EXPECT_EQ(Geometry::SuperblockCopy(0, 300 * kMiB + 12345).value, 0u);
  EXPECT_EQ(Geometry::SuperblockCopy(1, 300 * kMiB + 12345).value, kMiB);
  EXPECT_EQ(Geometry::SuperblockCopy(2, 300 * kMiB + 12345).value, 298 * kMiB);
}

// The last group begins as soon as its page array and one huge page fit, and not before.
TEST(Geometry, ShortLastGroup) {
  const uint64_t one = RegionOf(1);
  EXPECT_EQ(Make(one).group_count(), 1u);
  EXPECT_EQ(Make(one).page_count(), kPagesPerGroup);
  EXPECT_EQ(Make(one - 2 * kMiB).page_count(), kPagesPerGroup - kPagesPerHugePage);
  EXPECT_EQ(Make(one + 2 * kMiB).group_count(), 1u);
  const Geometry two = Make(one + 4 * kMiB);
  EXPECT_EQ(two.group_count(), 2u);
  EXPECT_EQ(two.PagesIn(GroupIndex(0)), kPagesPerGroup);
  EXPECT_EQ(two.PagesIn(GroupIndex(1)), kPagesPerHugePage);
}

TEST(Geometry, SecondTableNeedsRoomForAGroup) {
  const uint64_t full = kFirstTable + kSpan + 2 * kMiB;
  EXPECT_EQ(Make(full).group_count(), 32768u);
  EXPECT_EQ(Make(full + 4 * kMiB).group_count(), 32768u);
  const Geometry more = Make(full + 6 * kMiB);
  EXPECT_EQ(more.group_count(), 32769u);
  EXPECT_EQ(more.PagesIn(GroupIndex(32768)), kPagesPerHugePage);
  EXPECT_EQ(Geometry::GroupEntryAt(GroupIndex(32767)).value, kFirstTable + 2 * kMiB - 64);
  EXPECT_EQ(Geometry::GroupEntryAt(GroupIndex(32768)).value, kFirstTable + kSpan);
  EXPECT_EQ(Geometry::PageArrayOf(GroupIndex(32768)).value, kFirstTable + kSpan + 2 * kMiB);
}

TEST(Geometry, PartsFollowEachOtherAndStayInTheRegion) {
  for (const uint64_t size : {16 * kMiB, 138 * kMiB, 300 * kMiB, uint64_t{1} << 40,
                              kSpan + 100 * kMiB, uint64_t{1} << 50}) {
    const Geometry geometry = Make(size);
    const GroupIndex last(geometry.group_count() - 1);
    const uint64_t end = Geometry::DataOf(last).value + geometry.PagesIn(last) * kPageSize;
    EXPECT_LE(end, Geometry::SuperblockCopy(2, size).value);
    EXPECT_EQ(geometry.page_count(), last.value * kPagesPerGroup + geometry.PagesIn(last));
    // No more than one group's smallest part is left over: table, page array, huge page.
    EXPECT_LT(Geometry::SuperblockCopy(2, size).value - end, 6 * kMiB);
    EXPECT_EQ(Geometry::DataOf(last).value % kHugePageSize, 0u);
  }
}

std::vector<uint64_t> InterestingGroups(const Geometry& geometry) {
  std::vector<uint64_t> groups;
  for (const uint64_t group : {0u, 1u, 32766u, 32767u, 32768u, 32769u, 65536u}) {
    if (group < geometry.group_count()) groups.push_back(group);
  }
  groups.push_back(geometry.group_count() - 1);
  return groups;
}

TEST(Geometry, LogicalToMediaAndBack) {
  for (const uint64_t size : {300 * kMiB, kMiB << 20, 9 * kMiB << 20, kMiB << 30}) {
    const Geometry geometry = Make(size);
    for (const uint64_t index : InterestingGroups(geometry)) {
      const GroupIndex group(index);
      const uint32_t pages = geometry.PagesIn(group);
      for (const uint32_t in_group : {0u, 1u, 511u, pages - 1}) {
        const LogicalPage page = FirstPageOf(group) + in_group;
        const MediaOffset at = Geometry::ToMedia(page);
        EXPECT_EQ(at, Geometry::DataOf(group) + in_group * kPageSize);
        EXPECT_EQ(geometry.PageAt(at).value_or(LogicalPage(~uint64_t{0})), page);
        EXPECT_EQ(geometry.PageAt(at + 4095).value_or(LogicalPage(~uint64_t{0})), page);
      }
      EXPECT_EQ(geometry.PageAt(Geometry::PageArrayOf(group)).error_code(), ENOENT);
      EXPECT_EQ(geometry.PageAt(Geometry::GroupEntryAt(group)).error_code(), ENOENT);
      const MediaOffset after = Geometry::DataOf(group) + pages * kPageSize;
      EXPECT_EQ(geometry.PageAt(after).error_code(), ENOENT) << "group " << index;
    }
    EXPECT_EQ(geometry.PageAt(MediaOffset(0)).error_code(), ENOENT);
    EXPECT_EQ(geometry.PageAt(Geometry::Lane(63)).error_code(), ENOENT);
    EXPECT_EQ(geometry.PageAt(MediaOffset(size)).error_code(), ENOENT);
    EXPECT_EQ(geometry.PageAt(MediaOffset(~uint64_t{0})).error_code(), ENOENT);
  }
}

TEST(Geometry, ContainsWithinGroup) {
  const Geometry geometry = Make(300 * kMiB);
  const uint64_t space = geometry.page_count() * kPageSize;
  EXPECT_TRUE(geometry.ContainsWithinGroup(LogicalOffset(0), kGroupDataSize));
  EXPECT_FALSE(geometry.ContainsWithinGroup(LogicalOffset(0), kGroupDataSize + 1));
  EXPECT_FALSE(geometry.ContainsWithinGroup(LogicalOffset(kGroupDataSize - 1), 2));
  EXPECT_TRUE(geometry.ContainsWithinGroup(LogicalOffset(space - 1), 1));
  EXPECT_FALSE(geometry.ContainsWithinGroup(LogicalOffset(space - 1), 2));
  EXPECT_FALSE(geometry.ContainsWithinGroup(LogicalOffset(space), 0));
  EXPECT_FALSE(geometry.ContainsWithinGroup(LogicalOffset(0), ~uint64_t{0}));
  EXPECT_FALSE(geometry.ContainsWithinGroup(LogicalOffset(~uint64_t{0}), 2));
}

TEST(Geometry, JournalMayWriteEntriesAndDataOnly) {
  const Geometry geometry = Make(300 * kMiB);  // two full groups and a short one
  ASSERT_EQ(geometry.group_count(), 3u);
  const MediaOffset entry = Geometry::GroupEntryAt(GroupIndex(2));
  const MediaOffset data = Geometry::DataOf(GroupIndex(1));
  EXPECT_TRUE(geometry.MayReplay(entry, 64));
  EXPECT_FALSE(geometry.MayReplay(entry, 72)) << "the entry of a group that isn't there";
  EXPECT_FALSE(geometry.MayReplay(MediaOffset(0), 8));
  EXPECT_FALSE(geometry.MayReplay(Geometry::Lane(0), 8));
  EXPECT_TRUE(geometry.MayReplay(data, kGroupDataSize));
  EXPECT_FALSE(geometry.MayReplay(data - 8, 8));
  EXPECT_FALSE(geometry.MayReplay(data, kGroupDataSize + 8));
  EXPECT_FALSE(geometry.MayReplay(Geometry::SuperblockCopy(2, 300 * kMiB), 8));
  EXPECT_FALSE(geometry.MayReplay(MediaOffset(~uint64_t{7}), 16));
  EXPECT_FALSE(geometry.MayReplay(data, ~uint64_t{0}));
}

}  // namespace
}  // namespace ingot
