// SPDX-License-Identifier: BSD-3-Clause
// Group entries: fresh ones, and every field of one changed, resealed or not.
#include "pmemdev/group_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "tests/support/field_mutations.h"
#include "tests/support/test_region.h"

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

bool Same(const media::GroupEntry& a, const media::GroupEntry& b) {
  return std::ranges::equal(BytesOf(a), BytesOf(b));
}

TEST(GroupTable, FreshEntriesOfFullAndShortGroups) {
  const auto device = tests::FormattedDevice(300 * kMiB);
  ASSERT_EQ(device->geometry().group_count(), 3u);
  for (uint64_t i = 0; i < 3; ++i) {
    const auto entry = device->group_table().Read(GroupIndex(i));
    ASSERT_TRUE(entry.has_value()) << Describe(entry.error());
    const uint32_t pages = device->geometry().PagesIn(GroupIndex(i));
    EXPECT_EQ(entry->flags, media::kGroupUninitialised);
    EXPECT_EQ(entry->page_count, pages);
    EXPECT_EQ(entry->free_pages, pages - 3);
    EXPECT_EQ(static_cast<uint64_t>(std::popcount(entry->free_huge_mask)),
              pages / kPagesPerHugePage - 1);
    EXPECT_EQ(entry->free_huge_mask & 1, 0u) << "huge page 0 is metadata's home";
    EXPECT_EQ(entry->free_inode_slots, 0u);
    EXPECT_EQ(entry->orphans, 0u);
  }
  EXPECT_EQ(device->group_table().Validate(GroupIndex(3), {}).error_code(), EUCLEAN);
}

// More groups than a table holds: the batch must break at the table's end.
TEST(GroupTable, WriteFreshCrossesTables) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer has no room for terabytes";
#endif
  const uint64_t size = 8 * kMiB + 2 * kMiB + 32770 * 130 * kMiB + 2 * kMiB;
  const auto mapping = tests::MemoryMapping(size, [] {
    MappingOptions options = tests::TestMappingOptions();
    options.reserve_bytes = 0;
    return options;
  }());
  const auto geometry = Geometry::ForRegion(size);
  ASSERT_TRUE(geometry.has_value());
  ASSERT_EQ(geometry->group_count(), 32770u);
  Persist persist(*mapping);
  const GroupTable table(*mapping, *geometry, tests::TestFormatOptions().uuid);
  ASSERT_TRUE(table.WriteFresh(persist, GroupIndex(0), geometry->group_count()).has_value());
  for (const uint64_t i : {0u, 1u, 1023u, 1024u, 32767u, 32768u, 32769u}) {
    EXPECT_TRUE(table.Read(GroupIndex(i)).has_value()) << i;
  }
  EXPECT_EQ(persist.counts().fences, 1u);
}

TEST(GroupTable, EntryOfAnotherGroupIsRefused) {
  const auto device = tests::FormattedDevice(300 * kMiB);
  const auto entry = device->group_table().Read(GroupIndex(0));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(device->group_table().Validate(GroupIndex(1), *entry).error_code(), EUCLEAN);
}

// Not resealed: always refused. Resealed: refused, or a state that an entry may be in.
TEST(GroupTable, EveryFieldChanged) {
  const auto device = tests::FormattedDevice(300 * kMiB);
  const GroupTable& table = device->group_table();
  for (const bool initialised : {false, true}) {
    media::GroupEntry good = table.Fresh(GroupIndex(1));
    if (initialised) good.flags = 0;
    GroupTable::Seal(GroupIndex(1), good);
    ASSERT_TRUE(table.Validate(GroupIndex(1), good).has_value());
    tests::ForEachMutation(good, [&](const Field& field, const media::GroupEntry& changed) {
      EXPECT_EQ(table.Validate(GroupIndex(1), changed).error_code(), EUCLEAN) << field.name;
      media::GroupEntry resealed = changed;
      GroupTable::Seal(GroupIndex(1), resealed);
      const Result<void> verdict = table.Validate(GroupIndex(1), resealed);
      if (!verdict.has_value()) {
        EXPECT_EQ(verdict.error_code(), EUCLEAN);
        return;
      }
      if (Same(resealed, good)) return;  // the checksum field itself
      EXPECT_TRUE(initialised || field.name == "flags") << field.name << " of a fresh entry";
      EXPECT_NE(field.kind, FieldKind::kUuid);
      EXPECT_NE(field.name, "page_count");
      EXPECT_NE(field.name, "group_index");
      EXPECT_LE(resealed.free_pages, resealed.page_count - 3);
    });
  }
}

TEST(GroupTable, PoisonedEntry) {
  const auto device = tests::FormattedDevice(300 * kMiB);
  const MediaOffset at = Geometry::GroupEntryAt(GroupIndex(0));
  if (!tests::PoisonPage(device->mapping(), at)) GTEST_SKIP() << "UFFDIO_POISON";
  EXPECT_EQ(device->group_table().Read(GroupIndex(0)).error_code(), EIO);
  EXPECT_EQ(device->group_table().ReadUnchecked(GroupIndex(0)).error_code(), EIO);
}

}  // namespace
}  // namespace ingot
