// SPDX-License-Identifier: BSD-3-Clause
// Recovery: crashes at every fence of a commit and of the recovery itself, damaged and random
// lanes.
#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include <fmt/format.h>

#include "tests/pmemdev/journal_fixture.h"

namespace ingot::tests {
namespace {

using Words = std::vector<uint64_t>;

// The words of one transaction, and what was there before.
struct Transaction {
  JournalRegion::Runs runs;

  [[nodiscard]] WordMap After() const {
    WordMap words;
    for (const auto& [at, values] : runs) {
      for (size_t i = 0; i < values.size(); ++i) words[at.value + i * kWordSize] = values[i];
    }
    return words;
  }
  [[nodiscard]] WordMap Before() const {
    WordMap words = After();
    for (auto& [at, word] : words) word = ~at;
    return words;
  }
};

Transaction RandomTransaction(uint64_t seed) {
  std::mt19937_64 random(seed);
  Transaction transaction;
  const size_t runs = 1 + random() % 5;
  for (size_t i = 0; i < runs; ++i) {
    Words words(1 + random() % 12);
    for (uint64_t& word : words) word = random();
    // Within 40 words of each other: lines are shared, words rewritten.
    transaction.runs.emplace_back(JournalRegion::DataWord(random() % 40), words);
  }
  return transaction;
}

// Commits, returning what the medium saw; the region is left as it was before.
Trace TraceCommit(JournalRegion& region, const Transaction& transaction) {
  TraceRecorder recorder;
  region.Poke(transaction.Before());
  {
    Lane lane = region.journal().Lease();
    for (const auto& [at, words] : transaction.runs) {
      EXPECT_TRUE(lane.Log(at, words).has_value());
    }
    region.persist().set_observer(&recorder);
    PersistStream stream = region.persist().NewStream();
    EXPECT_TRUE(lane.Commit(stream).has_value());
    region.persist().set_observer(nullptr);
  }
  EXPECT_EQ(region.PeekAll(transaction.After()), transaction.After());
  return recorder.trace();
}

enum class Outcome { kOld, kNew, kTorn };

Outcome Judge(const JournalRegion& region, const Transaction& transaction) {
  const WordMap now = region.PeekAll(transaction.After());
  if (now == transaction.Before()) return Outcome::kOld;
  return now == transaction.After() ? Outcome::kNew : Outcome::kTorn;
}

// Makes `region` what the crash left: everything that any image names is reset first.
void Restore(JournalRegion& region, const WordMap& start, const WordMap& image) {
  region.Poke(start);
  region.Poke(image);
  region.Reopen();
}

void ExpectNothingLeft(JournalRegion& region) {
  TraceRecorder idle;
  region.persist().set_observer(&idle);
  const ReplayReport again = region.journal().Replay().value();
  region.persist().set_observer(nullptr);
  EXPECT_EQ(again.valid_lanes, 0u);
  EXPECT_EQ(FencesIn(idle.trace()), 0u);
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    EXPECT_EQ(region.Peek(RecordPlace(lane)), 0u) << "torn records are cleared too";
  }
}

// The state at every word that the trace may change, before it ran.
WordMap StartOf(const JournalRegion& region, const Trace& trace, const WordMap& overrides) {
  WordMap start;
  EnumerateCrashes(trace, 2, 0, [&](const WordMap& image, size_t) {
    for (const auto& [at, unused] : image) start.try_emplace(at, 0);
  });
  for (auto& [at, word] : start) {
    const auto found = overrides.find(at);
    word = found != overrides.end() ? found->second : region.Peek(MediaOffset(at));
  }
  return start;
}

// Replays the crashed region; then crashes the replay everywhere and replays that.
void CrashRecovery(JournalRegion& region, const WordMap& crashed, const Transaction& transaction,
                   Outcome wanted) {
  TraceRecorder recorder;
  region.persist().set_observer(&recorder);
  ASSERT_TRUE(region.journal().Replay().has_value());
  region.persist().set_observer(nullptr);
  ASSERT_EQ(Judge(region, transaction), wanted);
  ExpectNothingLeft(region);
  const Trace& trace = recorder.trace();
  EnumerateCrashes(trace, 24, 3, [&](const WordMap& image, size_t fences) {
    Restore(region, crashed, image);
    if (fences == FencesIn(trace)) ExpectNothingLeft(region);  // its end is durable
    ASSERT_TRUE(region.journal().Replay().has_value());
    ASSERT_EQ(Judge(region, transaction), wanted) << "a crash inside recovery";
    ExpectNothingLeft(region);
  });
}

// I1 for the journal: whatever persisted, replay gives all of the words or none; all, once the
// record's fence is over.
TEST(JournalCrash, EveryFenceLeavesAllOrNothing) {
  size_t images = 0, old_ones = 0, new_ones = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    JournalRegion region;
    const Transaction transaction = RandomTransaction(seed);
    // An earlier transaction's record in the same lane: stale payload to be confused with.
    (void)TraceCommit(region, RandomTransaction(seed + 1000));
    std::vector<std::byte> lane_before(media::kLaneSize * media::kLaneCount);
    ASSERT_EQ(pread(region.mapping().fd(), lane_before.data(), lane_before.size(),
                    static_cast<off_t>(Geometry::Lane(0).value)),
              static_cast<ssize_t>(lane_before.size()));
    const Trace trace = TraceCommit(region, transaction);
    ASSERT_EQ(FencesIn(trace), 3u);
    region.Poke(Geometry::Lane(0), lane_before.data(), lane_before.size());
    const WordMap start = StartOf(region, trace, transaction.Before());

    EnumerateCrashes(trace, 150, seed, [&](const WordMap& image, size_t fences) {
      if (testing::Test::HasFatalFailure()) return;
      ++images;
      Restore(region, start, image);
      const ReplayReport report = region.journal().Inspect().value();
      ASSERT_EQ(report.unreadable_lanes, 0u);
      // Else a later transaction's words would be undone by this one's replay.
      if (fences == 3) {
        ASSERT_EQ(report.valid_lanes, 0u) << "the end of a commit is durable";
      }
      ASSERT_TRUE(region.journal().Replay().has_value());
      const Outcome outcome = Judge(region, transaction);
      ASSERT_NE(outcome, Outcome::kTorn) << "seed " << seed << " after " << fences << " fences";
      if (fences >= 1) {
        ASSERT_EQ(outcome, Outcome::kNew) << "seed " << seed << " after " << fences << " fences";
      }
      (outcome == Outcome::kOld ? old_ones : new_ones) += 1;
      ExpectNothingLeft(region);
      if (images % 16 == 0) {
        WordMap crashed = start;
        for (const auto& [at, word] : image) crashed[at] = word;
        Restore(region, start, image);
        CrashRecovery(region, crashed, transaction, outcome);
      }
    });
  }
  EXPECT_GT(old_ones, 100u);
  EXPECT_GT(new_ones, 100u);
}

// I8: disjoint transactions in two lanes give one image, whichever lane holds which.
TEST(JournalReplay, OrderOfLanesDoesNotMatter) {
  WordMap images[2];
  for (const uint32_t swap : {0u, 1u}) {
    JournalRegion region;
    // Neighbouring words of one line.
    auto a = region.MakeRecord(5 + swap, {{region.DataWord(0), {1, 2}}, {region.DataWord(4), {3}}});
    auto b = region.MakeRecord(6 - swap, {{region.DataWord(2), {7, 8}}, {region.DataWord(9), {9}}});
    for (auto* record : {a.get(), b.get()}) {
      region.Reseal(*record);
      region.PokeRecord(record->header.lane_index, *record);
    }
    region.Reopen();
    const ReplayReport report = region.journal().Replay().value();
    EXPECT_EQ(report.valid_lanes, 2u);
    EXPECT_EQ(report.words, 6u);
    for (uint64_t i = 0; i < 12; ++i) images[swap][i] = region.Peek(region.DataWord(i));
    ExpectNothingLeft(region);
  }
  EXPECT_EQ(images[0], images[1]);
  EXPECT_EQ(images[0][1], 2u);
  EXPECT_EQ(images[0][3], 8u);
}

TEST(JournalReplay, RefusesLanesThatNameTheSameWord) {
  const std::vector<std::pair<uint64_t, uint64_t>> second_lane = {{0, 1}, {3, 1}, {4, 2}, {5, 0}};
  for (const auto& [first, overlaps] : second_lane) {
    JournalRegion region;
    auto a = region.MakeRecord(
        1, {{region.DataWord(0), {1, 1, 1, 1, 1}}, {region.DataWord(1), {2}}});
    auto b = region.MakeRecord(2, {{region.DataWord(first), {7}}});
    region.Reseal(*a);
    region.Reseal(*b);
    region.PokeRecord(1, *a);
    region.PokeRecord(2, *b);
    region.Reopen();
    EXPECT_EQ(region.journal().Replay().error_code(), overlaps != 0 ? EUCLEAN : 0) << first;
    EXPECT_EQ(region.Peek(region.DataWord(0)), overlaps != 0 ? 0u : 1u) << first;
  }
}

TEST(JournalReplay, DecodeShowsRuns) {
  JournalRegion region;
  auto record = region.MakeRecord(3, {{region.DataWord(8), {1, 2}}, {region.DataWord(1), {3}}});
  region.Reseal(*record);
  region.PokeRecord(3, *record);
  const std::vector<Journal::Run> runs = region.journal().Decode(3).value();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].at, region.DataWord(8));
  EXPECT_EQ(runs[0].words, (Words{1, 2}));
  EXPECT_EQ(runs[1].words, (Words{3}));
  EXPECT_EQ(region.journal().Decode(4).error_code(), ENOENT);
  EXPECT_EQ(region.journal().Inspect().value().words, 3u);
  EXPECT_EQ(region.Peek(region.DataWord(8)), 0u) << "looking touches nothing";
}

TEST(JournalReplay, AnotherPoolsRecordIsTorn) {
  JournalRegion region;
  auto record = region.MakeRecord(3, {{region.DataWord(8), {1}}});
  region.Reseal(*record);
  region.PokeRecord(3, *record);
  region.superblock().uuid[15] ^= 1;
  region.Reopen();
  EXPECT_EQ(region.journal().Replay().value().valid_lanes, 0u);
  EXPECT_EQ(region.Peek(region.DataWord(8)), 0u);
}

TEST(JournalReplay, AnotherLanesRecordIsDamage) {
  JournalRegion region;
  auto record = region.MakeRecord(3, {{region.DataWord(8), {1}}});
  region.Reseal(*record);
  region.PokeRecord(4, *record);
  EXPECT_EQ(region.journal().Replay().error_code(), EUCLEAN);
  EXPECT_EQ(region.Peek(region.DataWord(8)), 0u);
  ASSERT_TRUE(Journal::FormatLane(region.persist(), region.superblock(), 4).has_value());
  ExpectNothingLeft(region);
}

uint64_t Mutate(uint64_t value, uint32_t bits, int how, uint64_t random) {
  switch (how) {
    case 0: return 0;
    case 1: return ~uint64_t{0};
    case 2: return value ^ 1;
    case 3: return value ^ uint64_t{1} << (bits / 2);
    case 4: return value ^ uint64_t{1} << (bits - 1);
    case 5: return value + 1;
    case 6: return value - 1;
    default: return random;
  }
}

// Each field x each mutation, resealed and not: either exactly the record, or nothing of it.
TEST(JournalReplay, MutatedHeaderFields) {
  std::mt19937_64 random(5);
  const JournalRegion::Runs runs = {{JournalRegion::DataWord(8), {11, 12}},
                                    {JournalRegion::DataWord(20), {13}}};
  for (const Field& field : media::kFieldsOf<media::LaneRecord>) {
    for (int how = 0; how < 8; ++how) {
      for (const bool reseal : {false, true}) {
        JournalRegion region;
        auto record = region.MakeRecord(3, runs);
        region.Reseal(*record);
        const media::LaneRecord whole = record->header;
        auto* bytes = reinterpret_cast<std::byte*>(&record->header) + field.offset_bytes;
        uint64_t value = 0;
        std::memcpy(&value, bytes, field.size_bytes);
        value = Mutate(value, field.size_bytes * 8, how, random());
        std::memcpy(bytes, &value, field.size_bytes);
        if (reseal) region.Reseal(*record);
        region.PokeRecord(3, *record);
        region.Reopen();

        const bool unchanged = std::memcmp(&whole, &record->header, sizeof(whole)) == 0;
        const bool harmless = field.name == "sequence" || field.name == "reserved" ||
                              field.name == "checksum";
        const bool applies = unchanged || (reseal && harmless);
        const std::string what = fmt::format("{} mutation {} reseal {}", field.name, how, reseal);
        const Result<ReplayReport> report = region.journal().Replay();
        const uint64_t first = region.Peek(region.DataWord(8));
        if (applies) {
          ASSERT_TRUE(report.has_value()) << what;
          EXPECT_EQ(report->valid_lanes, 1u) << what;
          EXPECT_EQ(first, 11u) << what;
          EXPECT_EQ(region.Peek(region.DataWord(20)), 13u) << what;
        } else {
          EXPECT_EQ(first, 0u) << what;
          EXPECT_EQ(region.Peek(region.DataWord(20)), 0u) << what;
          EXPECT_TRUE(reseal || report.has_value()) << what << ": torn is no error";
        }
        if (report.has_value()) ExpectNothingLeft(region);
      }
    }
  }
}

// A sealed record whose first run goes elsewhere: refused whole, another lane's sane one included.
TEST(JournalReplay, ImpossibleRunsAreRefusedBeforeAnythingIsStored) {
  const std::vector<uint64_t> first_words = {
      0,
      ~uint64_t{0},
      PackRun(MediaOffset(0), 1),
      PackRun(Geometry::Lane(0), 1),
      PackRun(Geometry::PageArrayOf(GroupIndex(0)), 1),
      PackRun(Geometry::GroupEntryAt(GroupIndex(1)), 1),
      PackRun(MediaOffset(kRegionSize - media::kLabelSize), 1),
      PackRun(MediaOffset(kRegionSize - media::kLabelSize - 8), 2),
      PackRun(MediaOffset(kRegionSize), 1),
      PackRun(JournalRegion::DataWord(0), 4),  // more words than there are
      PackRun(JournalRegion::DataWord(0), 1),  // the second word becomes a run
  };
  for (const uint64_t first_word : first_words) {
    JournalRegion region;
    auto sane = region.MakeRecord(0, {{region.DataWord(30), {5}}});
    auto bad = region.MakeRecord(3, {{region.DataWord(8), {11, 12, 13}}});
    bad->payload[0] = first_word;
    region.Reseal(*sane);
    region.Reseal(*bad);
    region.PokeRecord(0, *sane);
    region.PokeRecord(3, *bad);
    region.Reopen();
    EXPECT_EQ(region.journal().Replay().error_code(), EUCLEAN) << fmt::format("{:#x}", first_word);
    EXPECT_EQ(region.journal().Inspect().error_code(), EUCLEAN);
    EXPECT_EQ(region.journal().Decode(3).error_code(), EUCLEAN);
    EXPECT_EQ(region.Peek(region.DataWord(30)), 0u) << "nothing is stored";
  }
}

TEST(JournalReplay, RandomGarbageInAllLanes) {
  std::mt19937_64 random(9);
  JournalRegion region;
  Words garbage(media::kLanesSize / kWordSize);
  for (int round = 0; round < 6; ++round) {
    for (uint64_t& word : garbage) word = random();
    for (uint32_t lane = 0; lane < media::kLaneCount && round % 2 == 1; ++lane) {
      // A plausible length, so that the checksum is what refuses it.
      auto* record = reinterpret_cast<media::LaneRecord*>(
          &garbage[(lane * media::kLaneSize + media::kLaneRecordOffset) / kWordSize]);
      record->length_bytes = static_cast<uint32_t>(random() % (kLanePayloadWords + 1) * kWordSize);
      record->lane_index = lane;
    }
    region.Poke(Geometry::Lane(0), garbage.data(), media::kLanesSize);
    region.Reopen();
    EXPECT_EQ(region.journal().Decode(static_cast<uint32_t>(round)).error_code(), ENOENT);
    const ReplayReport report = region.journal().Replay().value();
    EXPECT_EQ(report.valid_lanes, 0u);
    EXPECT_EQ(report.unreadable_lanes, 0u);
    ExpectNothingLeft(region);
  }
  Words data((kRegionSize - Geometry::GroupEntryAt(GroupIndex(0)).value) / kWordSize);
  ASSERT_EQ(pread(region.mapping().fd(), data.data(), data.size() * kWordSize,
                  static_cast<off_t>(Geometry::GroupEntryAt(GroupIndex(0)).value)),
            static_cast<ssize_t>(data.size() * kWordSize));
  EXPECT_TRUE(std::all_of(data.begin(), data.end(), [](uint64_t word) { return word == 0; }));
}

}  // namespace
}  // namespace ingot::tests
