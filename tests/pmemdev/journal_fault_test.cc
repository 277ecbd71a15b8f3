// SPDX-License-Identifier: BSD-3-Clause
// Bad memory and lost host space under targets and lanes, by userfaultfd poison and by truncation.
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "tests/pmemdev/journal_fixture.h"

namespace ingot::tests {
namespace {

using Words = std::vector<uint64_t>;

#define POISON_OR_SKIP(region, at)                                 \
  if (!PoisonPage((region).mapping(), at)) {                       \
    GTEST_SKIP() << "no UFFDIO_POISON (Linux 6.6, userfaultfd)";   \
  }

int CommitTo(JournalRegion& region, MediaOffset at, uint64_t word, bool* committed = nullptr) {
  Lane lane = region.journal().Lease();
  if (Result<void> logged = lane.Log(region.DataWord(40), Words{word}); !logged.has_value()) {
    return logged.error().code;
  }
  if (Result<void> logged = lane.Log(at, Words{word, word}); !logged.has_value()) {
    return logged.error().code;
  }
  PersistStream stream = region.persist().NewStream();
  const int code = lane.Commit(stream).error_code();
  if (committed != nullptr) *committed = lane.committed();
  return code;
}

TEST(JournalFault, PoisonedTargetIsNoticedBeforeCommit) {
  JournalRegion region;
  const MediaOffset bad = region.DataWord(512 * 9);
  POISON_OR_SKIP(region, bad);
  bool committed = true;
  // The run starts on the page before: only its second word is bad.
  EXPECT_EQ(CommitTo(region, region.DataWord(512 * 9 - 1), 7, &committed), EIO);
  EXPECT_FALSE(committed);
  EXPECT_FALSE(region.persist().failed()) << "an error of this operation only";
  EXPECT_EQ(region.journal().Inspect().value().valid_lanes, 0u);
  EXPECT_EQ(region.Peek(region.DataWord(40)), 0u) << "none of its words";
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 8), 0) << "others go on";
  EXPECT_EQ(region.Peek(region.DataWord(40)), 8u);
}

TEST(JournalFault, TargetThatTheHostLost) {
  JournalRegion region;
  const auto end = static_cast<off_t>(region.DataWord(512 * 9).value);
  ASSERT_EQ(ftruncate(region.mapping().fd(), end), 0);
  EXPECT_EQ(CommitTo(region, region.DataWord(512 * 9), 7), EIO);
  EXPECT_EQ(region.Peek(region.DataWord(40)), 0u);
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 8), 0);
}

// A lane that can't be written is given up; when the last one goes, nobody waits for ever.
TEST(JournalFault, PoisonedLanesAreLostOneByOne) {
  JournalRegion region;
  region.superblock().lane_count = 2;
  region.Reopen();
  POISON_OR_SKIP(region, RecordPlace(0));
  POISON_OR_SKIP(region, RecordPlace(1));
  bool committed = true;
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 7, &committed), EIO);
  EXPECT_FALSE(committed);
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 7), EIO);
  EXPECT_FALSE(region.persist().failed());
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 7), EROFS);
  EXPECT_EQ(region.Peek(region.DataWord(40)), 0u);

  region.Reopen();
  const ReplayReport report = region.journal().Replay().value();
  EXPECT_EQ(report.unreadable_lanes, 2u);
  EXPECT_EQ(report.valid_lanes, 0u);
  EXPECT_EQ(region.journal().Decode(0).error_code(), EIO);
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 7), EROFS) << "an unreadable lane isn't leased";
}

TEST(JournalFault, UnreadableLaneIsCountedAndOthersReplayed) {
  JournalRegion region;
  for (const uint32_t lane : {4u, 6u}) {
    // Long enough to reach the lane's second page.
    auto record = region.MakeRecord(lane, {{region.DataWord(lane * 1000), Words(600, lane)}});
    region.Reseal(*record);
    region.PokeRecord(lane, *record);
  }
  POISON_OR_SKIP(region, Geometry::Lane(4) + kPageSize);
  region.Reopen();
  const ReplayReport report = region.journal().Replay().value();
  EXPECT_EQ(report.unreadable_lanes, 1u);
  EXPECT_EQ(report.valid_lanes, 1u);
  EXPECT_EQ(region.Peek(region.DataWord(4000)), 0u);
  EXPECT_EQ(region.Peek(region.DataWord(6599)), 6u);

  HealPage(region.mapping(), Geometry::Lane(4) + kPageSize);
  region.Reopen();
  EXPECT_EQ(region.journal().Replay().value().valid_lanes, 1u) << "it was left alone";
  EXPECT_EQ(region.Peek(region.DataWord(4599)), 4u);
}

TEST(JournalFault, ReplayOntoPoisonStoresNothingAndCanBeRepeated) {
  JournalRegion region;
  auto record = region.MakeRecord(
      4, {{region.DataWord(0), {1}}, {region.DataWord(512 * 9), {2}}});
  region.Reseal(*record);
  region.PokeRecord(4, *record);
  POISON_OR_SKIP(region, region.DataWord(512 * 9));
  region.Reopen();
  EXPECT_EQ(region.journal().Replay().error_code(), EIO);
  EXPECT_EQ(region.Peek(region.DataWord(0)), 0u);
  HealPage(region.mapping(), region.DataWord(512 * 9));
  EXPECT_EQ(region.journal().Replay().value().valid_lanes, 1u);
  EXPECT_EQ(region.Peek(region.DataWord(512 * 9)), 2u);
}

// Poison that comes between the look and the store: the lane stays, the device stops, recovery
// completes.
TEST(JournalFault, FaultWhileApplyingKeepsTheLane) {
  struct PoisonAtFence : PersistObserver {
    explicit PoisonAtFence(JournalRegion& r) : region(r) {}
    void OnStore(MediaOffset, std::span<const std::byte>, StoreKind) override {}
    void OnFlush(MediaOffset, uint64_t, PersistSite) override {}
    void OnFence(PersistSite) override {
      done = done || PoisonPage(region.mapping(), region.DataWord(512 * 9));
    }
    JournalRegion& region;
    bool done = false;
  };
  JournalRegion region;
  PoisonAtFence poison(region);
  region.persist().set_observer(&poison);
  bool committed = false;
  const int code = CommitTo(region, region.DataWord(512 * 9), 7, &committed);
  region.persist().set_observer(nullptr);
  if (!poison.done) GTEST_SKIP() << "no UFFDIO_POISON (Linux 6.6, userfaultfd)";
  EXPECT_EQ(code, EIO);
  EXPECT_TRUE(committed);
  EXPECT_TRUE(region.persist().failed());
  EXPECT_EQ(CommitTo(region, region.DataWord(0), 8), EROFS);
  HealPage(region.mapping(), region.DataWord(512 * 9));
  region.Reopen();
  EXPECT_EQ(region.journal().Replay().value().valid_lanes, 1u);
  EXPECT_EQ(region.Peek(region.DataWord(40)), 7u);
  EXPECT_EQ(region.Peek(region.DataWord(512 * 9 + 1)), 7u);
}

}  // namespace
}  // namespace ingot::tests
