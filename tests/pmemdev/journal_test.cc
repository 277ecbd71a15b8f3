// SPDX-License-Identifier: BSD-3-Clause
// Lanes: logging, committing, leasing, and what failures leave. Recovery is in
// journal_replay_test.cc.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "tests/pmemdev/journal_fixture.h"

namespace ingot::tests {
namespace {

using Words = std::vector<uint64_t>;

TEST(JournalLog, MergesWhatIsContiguousAndAppliesInOrder) {
  JournalRegion region;
  {
    Lane lane = region.journal().Lease();
    EXPECT_TRUE(lane.empty());
    ASSERT_TRUE(lane.Log(region.DataWord(10), Words{1, 2}).has_value());
    EXPECT_EQ(lane.logged_bytes(), 3 * kWordSize);
    ASSERT_TRUE(lane.Log(region.DataWord(12), Words{3}).has_value());
    EXPECT_EQ(lane.logged_bytes(), 4 * kWordSize) << "joined the run before";
    ASSERT_TRUE(lane.Log(region.DataWord(11), Words{9}).has_value());
    EXPECT_EQ(lane.logged_bytes(), 6 * kWordSize);
    PersistStream stream = region.persist().NewStream();
    ASSERT_TRUE(lane.Commit(stream).has_value());
    EXPECT_TRUE(lane.committed());
  }
  EXPECT_EQ(region.Peek(region.DataWord(10)), 1u);
  EXPECT_EQ(region.Peek(region.DataWord(11)), 9u) << "the later value wins";
  EXPECT_EQ(region.Peek(region.DataWord(12)), 3u);
  EXPECT_EQ(region.Peek(region.DataWord(13)), 0u);
}

TEST(JournalLog, SplitsLongRunsAndFillsALaneExactly) {
  JournalRegion region;
  // Four runs of at most 2,048 words: 8,180 words hold 8,176 logged ones.
  constexpr size_t kMost = kLanePayloadWords - 4;
  Words words(kMost + 1);
  for (size_t i = 0; i < words.size(); ++i) words[i] = i + 1;
  {
    Lane lane = region.journal().Lease();
    const Result<void> too_many = lane.Log(region.DataWord(0), words);
    EXPECT_EQ(too_many.error_code(), EOVERFLOW);
    EXPECT_TRUE(lane.empty()) << "a refused call adds nothing";
    ASSERT_TRUE(lane.Log(region.DataWord(0), std::span(words).first(kMost)).has_value());
    EXPECT_EQ(lane.logged_bytes(), media::kLanePayloadSize);
    EXPECT_EQ(lane.Log(region.DataWord(kMost), std::span(words).last(1)).error_code(), EOVERFLOW);
    PersistStream stream = region.persist().NewStream();
    ASSERT_TRUE(lane.Commit(stream).has_value());
  }
  for (size_t i = 0; i < kMost; ++i) ASSERT_EQ(region.Peek(region.DataWord(i)), i + 1);
  EXPECT_EQ(region.Peek(region.DataWord(kMost)), 0u);
}

TEST(JournalLog, JoinsNoFurtherThanARunCanCount) {
  JournalRegion region;
  {
    Lane lane = region.journal().Lease();
    for (uint64_t from = 0; from < 5000; from += 1000) {
      ASSERT_TRUE(lane.Log(region.DataWord(from), Words(1000, from + 1)).has_value());
    }
    EXPECT_EQ(lane.logged_bytes(), (5000 + 3) * kWordSize) << "2,048 words, 2,048, the rest";
    PersistStream stream = region.persist().NewStream();
    ASSERT_TRUE(lane.Commit(stream).has_value());
  }
  for (uint64_t i = 0; i < 5000; ++i) {
    ASSERT_EQ(region.Peek(region.DataWord(i)), i / 1000 * 1000 + 1) << i;
  }
  EXPECT_EQ(region.Peek(region.DataWord(5000)), 0u);
}

TEST(JournalLog, DroppingALaneLeavesNothing) {
  JournalRegion region;
  TraceRecorder recorder;
  region.persist().set_observer(&recorder);
  {
    Lane lane = region.journal().Lease();
    ASSERT_TRUE(lane.Log(region.DataWord(0), Words{1, 2}).has_value());
    Lane moved = std::move(lane);
    EXPECT_FALSE(moved.empty());
  }
  {
    Lane empty = region.journal().Lease();
    PersistStream stream = region.persist().NewStream();
    EXPECT_TRUE(empty.Commit(stream).has_value());
  }
  size_t images = 0;
  EnumerateCrashes(recorder.trace(), 4, 1, [&](const WordMap& image, size_t) {
    ++images;
    EXPECT_TRUE(image.empty());
  });
  EXPECT_GT(images, 0u);
  EXPECT_EQ(FencesIn(recorder.trace()), 0u);
}

TEST(JournalLogDeathTest, APlaceOutsideGroupsIsOurBug) {
  JournalRegion region;
  Lane lane = region.journal().Lease();
  EXPECT_DEATH((void)lane.Log(MediaOffset(0), Words{1}), "CHECK failed");
  EXPECT_DEATH((void)lane.Log(Geometry::PageArrayOf(GroupIndex(0)), Words{1}), "CHECK failed");
  EXPECT_DEATH((void)lane.Log(region.DataWord(0) + 4, Words{1}), "CHECK failed");
}

// I10: three fences, each touched line flushed once, however the words were logged.
TEST(JournalCommit, CostsThreeFencesAndOneFlushALine) {
  JournalRegion region;
  TraceRecorder recorder;
  {
    Lane lane = region.journal().Lease();
    for (uint64_t i = 0; i < 20; ++i) {  // 20 words on 4 lines, in no order
      ASSERT_TRUE(lane.Log(region.DataWord((i * 7) % 20 + 4), Words{i + 1}).has_value());
    }
    ASSERT_TRUE(lane.Log(Geometry::GroupEntryAt(GroupIndex(0)), Words{5, 6}).has_value());
    region.persist().set_observer(&recorder);
    PersistStream stream = region.persist().NewStream();
    ASSERT_TRUE(lane.Commit(stream).has_value());
    region.persist().set_observer(nullptr);
  }
  EXPECT_EQ(FencesIn(recorder.trace()), 3u);
  EXPECT_TRUE(FlushesEachLineOnce(recorder.trace()));
  // Words 4..23 are on lines 0, 1, 2; one line of the group table; the end of the record, which is
  // no whole line; the lane's checksum.
  EXPECT_EQ(FlushedLinesIn(recorder.trace()), 3u + 1 + 1 + 1);
}

struct InFlight : JournalObserver {
  void OnLog(uint32_t lane, MediaOffset at, uint64_t size_bytes) override {
    const std::lock_guard lock(mutex);
    events.push_back(fmt::format("log {} {} {}", lane, at.value, size_bytes));
  }
  void OnRelease(uint32_t lane) override {
    const std::lock_guard lock(mutex);
    events.push_back(fmt::format("release {}", lane));
  }
  std::mutex mutex;
  std::vector<std::string> events;
};

TEST(JournalCommit, ObserverSeesWordsInFlight) {
  JournalRegion region;
  InFlight observer;
  region.journal().set_observer(&observer);
  const uint64_t at = region.DataWord(3).value;
  {
    Lane lane = region.journal().Lease();
    ASSERT_TRUE(lane.Log(region.DataWord(3), Words{1, 2}).has_value());
    PersistStream stream = region.persist().NewStream();
    ASSERT_TRUE(lane.Commit(stream).has_value());
    ASSERT_EQ(observer.events.size(), 2u) << "released inside Commit, while locks are held";
  }
  EXPECT_EQ(observer.events.size(), 2u) << "and once only";
  {
    Lane dropped = region.journal().Lease();
    ASSERT_TRUE(dropped.Log(region.DataWord(3), Words{1}).has_value());
  }
  const std::string lane = observer.events[1].substr(sizeof("release ") - 1);
  const std::vector<std::string> expected = {
      fmt::format("log {} {} 16", lane, at), "release " + lane,
      fmt::format("log {} {} 8", lane, at), "release " + lane};
  EXPECT_EQ(observer.events, expected) << "and this thread gets its last lane again";
}

TEST(JournalLease, WaitersGetReturnedLanes) {
  JournalRegion region;
  std::vector<Lane> lanes;
  for (uint32_t i = 0; i < media::kLaneCount; ++i) lanes.push_back(region.journal().Lease());
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const Lane lane = region.journal().Lease();
        served.fetch_add(1);
        std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < 100; ++i) std::this_thread::yield();
  EXPECT_EQ(served.load(), 0);
  lanes.clear();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served.load(), 8 * 50);
}

// Few lanes, many threads: nobody sleeps for ever, nothing is mixed up.
TEST(JournalLease, StormOfCommitsOnThreeLanes) {
  JournalRegion region;
  region.superblock().lane_count = 3;
  region.Reopen();
  constexpr uint64_t kThreads = 12, kRounds = 60;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&region, t] {
      for (uint64_t round = 1; round <= kRounds; ++round) {
        Lane lane = region.journal().Lease();
        const Words words(5, t << 32 | round);
        ASSERT_TRUE(lane.Log(region.DataWord(t * 5), words).has_value());
        ASSERT_TRUE(lane.Log(region.DataWord(1000 + t), Words{round}).has_value());
        PersistStream stream = region.persist().NewStream();
        ASSERT_TRUE(lane.Commit(stream).has_value());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t t = 0; t < kThreads; ++t) {
    for (uint64_t i = 0; i < 5; ++i) {
      EXPECT_EQ(region.Peek(region.DataWord(t * 5 + i)), t << 32 | kRounds);
    }
    EXPECT_EQ(region.Peek(region.DataWord(1000 + t)), kRounds);
  }
  const ReplayReport report = region.journal().Inspect().value();
  EXPECT_EQ(report.valid_lanes + report.unreadable_lanes, 0u);
}

TEST(JournalLease, SequencesGoOnAfterRemount) {
  JournalRegion region;
  region.superblock().lane_count = 1;
  uint64_t last = 0;
  for (int mount = 0; mount < 3; ++mount) {
    region.Reopen();
    for (int i = 0; i < 2; ++i) {
      Lane lane = region.journal().Lease();
      ASSERT_TRUE(lane.Log(region.DataWord(0), Words{1}).has_value());
      PersistStream stream = region.persist().NewStream();
      ASSERT_TRUE(lane.Commit(stream).has_value());
      const uint64_t now = region.Peek(RecordPlace(0) + offsetof(media::LaneRecord, sequence));
      EXPECT_EQ(now, last + 1);
      last = now;
    }
  }
}

TEST(JournalOpen, RefusesImpossibleLaneCounts) {
  JournalRegion region;
  for (const uint32_t count : {0u, media::kLaneCount + 1, ~0u}) {
    region.superblock().lane_count = count;
    EXPECT_EQ(Journal::Open(region.mapping(), region.geometry(), region.persist(),
                            region.superblock()).error_code(), EUCLEAN);
  }
}

// The n-th msync of a commit fails: read-only at once; what memory holds then recovers to all or
// none.
TEST(JournalFailure, FailedMsyncAtEachFence) {
  for (uint64_t nth = 1;; ++nth) {
    ASSERT_LT(nth, 20u);
    MappingOptions options = TestMappingOptions();
    options.force_page_granularity = true;
    JournalRegion region(options);
    region.persist().FailMsyncAfter(nth);
    bool committed = false;
    int code = 0;
    {
      Lane lane = region.journal().Lease();
      ASSERT_TRUE(lane.Log(region.DataWord(0), Words{1, 2}).has_value());
      ASSERT_TRUE(lane.Log(region.DataWord(100), Words{3}).has_value());
      PersistStream stream = region.persist().NewStream();
      code = lane.Commit(stream).error_code();
      committed = lane.committed();
    }
    if (code == 0) {
      EXPECT_GT(nth, 3u) << "each of three fences could fail";
      break;
    }
    EXPECT_EQ(code, EIO);
    EXPECT_EQ(committed, nth > 1);
    EXPECT_TRUE(region.persist().failed());
    EXPECT_EQ(region.Peek(region.DataWord(0)), committed ? 1u : 0u)
        << "apply only after the record's fence";
    {
      Lane other = region.journal().Lease();
      ASSERT_TRUE(other.Log(region.DataWord(50), Words{9}).has_value());
      PersistStream stream = region.persist().NewStream();
      EXPECT_EQ(other.Commit(stream).error_code(), EROFS);
      EXPECT_FALSE(other.committed());
    }
    region.Reopen();
    ASSERT_TRUE(region.journal().Replay().has_value());
    EXPECT_EQ(region.Peek(region.DataWord(0)), 1u);
    EXPECT_EQ(region.Peek(region.DataWord(1)), 2u);
    EXPECT_EQ(region.Peek(region.DataWord(100)), 3u);
    EXPECT_EQ(region.Peek(region.DataWord(50)), 0u);
  }
}

}  // namespace
}  // namespace ingot::tests
