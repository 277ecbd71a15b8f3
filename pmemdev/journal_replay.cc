// SPDX-License-Identifier: BSD-3-Clause
// Recovery: lanes read into DRAM, judged there, and only then their words stored.
//
// Nothing that a lane says is trusted before its checksum, and no place before MayReplay. A crash
// in Replay leaves the lanes valid until every word is durable, so doing it again gives the same
// image.
#include <algorithm>

#include "pmemdev/base/check.h"
#include "pmemdev/journal.h"
#include "pmemdev/journal_record.h"
#include "pmemdev/poison.h"

namespace ingot {

Result<Journal::LaneVerdict> Journal::ReadRecord(uint32_t lane, LaneImage& image) const {
  const std::byte* from = mapping_.base() + RecordPlace(lane).value;
  auto* to = reinterpret_cast<std::byte*>(&image);
  constexpr size_t kHeaderSize = sizeof(media::LaneRecord);
  if (!poison::Copy(to, from, kHeaderSize)) return LaneVerdict::kUnreadable;
  if (image.header.checksum == 0) return LaneVerdict::kEmpty;
  const uint32_t length_bytes = image.header.length_bytes;
  if (length_bytes > media::kLanePayloadSize || length_bytes % kWordSize != 0) {
    return LaneVerdict::kTorn;
  }
  if (!poison::Copy(to + kHeaderSize, from + kHeaderSize, length_bytes)) {
    return LaneVerdict::kUnreadable;
  }
  if (image.header.checksum != RecordChecksum(image, checksum_seed_)) return LaneVerdict::kTorn;

  // From here on it is a record that ingot wrote; what is wrong with it is damage, no crash.
  if (image.header.lane_index != lane) {
    return Failure(EUCLEAN, fmt::format("journal lane {}: holds lane {}'s record", lane,
                                        image.header.lane_index));
  }
  const auto payload = std::span<const uint64_t>(image.payload).first(length_bytes / kWordSize);
  const bool sane = ForEachRun(payload, [this](MediaOffset at, std::span<const uint64_t> words) {
    return geometry_.MayReplay(at, words.size_bytes());
  });
  if (!sane) return Failure(EUCLEAN, fmt::format("journal lane {}: impossible run", lane));
  return LaneVerdict::kValid;
}

Result<Journal::Scan> Journal::ScanLanes() const {
  Scan scan;
  auto image = std::make_unique_for_overwrite<LaneImage>();
  for (uint32_t lane = 0; lane < lanes_.size(); ++lane) {
    const LaneVerdict verdict = TRY(ReadRecord(lane, *image));
    if (verdict == LaneVerdict::kUnreadable) {
      ++scan.report.unreadable_lanes;
      continue;
    }
    if (verdict != LaneVerdict::kEmpty) scan.to_clear.push_back(lane);
    if (verdict != LaneVerdict::kValid) continue;
    ++scan.report.valid_lanes;
    const auto first = image->payload.begin();
    scan.payloads.emplace_back(first, first + image->header.length_bytes / kWordSize);
    (void)ForEachRun(scan.payloads.back(), [&scan](MediaOffset, std::span<const uint64_t> words) {
      scan.report.words += words.size();
      return true;
    });
  }
  TRY(CheckDisjoint(scan));
  return scan;
}

// Lock coverage promises that valid lanes name disjoint words; if they don't, the order of replay
// would decide what the image says, and no order is right.
Result<void> Journal::CheckDisjoint(const Scan& scan) {
  struct Range {
    uint64_t begin;
    uint64_t end;
    size_t lane;
  };
  if (scan.payloads.size() < 2) return {};
  std::vector<Range> ranges;
  for (size_t i = 0; i < scan.payloads.size(); ++i) {
    (void)ForEachRun(scan.payloads[i], [&](MediaOffset at, std::span<const uint64_t> words) {
      ranges.push_back({at.value, at.value + words.size_bytes(), i});
      return true;
    });
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  // One lane may name a word twice, so the furthest end of each of two lanes is kept: the furthest
  // of all, and the furthest of any other lane than that one.
  Range furthest{0, 0, SIZE_MAX}, other{0, 0, SIZE_MAX};
  for (const Range& range : ranges) {
    const Range& rival = furthest.lane == range.lane ? other : furthest;
    if (rival.end > range.begin) {
      return Failure(EUCLEAN,
                     fmt::format("journal: two lanes hold the word at {:#x}", range.begin));
    }
    if (furthest.lane == range.lane) {
      furthest.end = std::max(furthest.end, range.end);
    } else if (range.end > furthest.end) {
      other = furthest;
      furthest = range;
    }
  }
  return {};
}

Result<ReplayReport> Journal::Inspect() const { return TRY(ScanLanes()).report; }

Result<ReplayReport> Journal::Replay() {
  CHECK(free_.load() == usable_.load(), "lanes are leased: {:#x} of {:#x} free", free_.load(),
        usable_.load());
  const Scan scan = TRY(ScanLanes());
  if (scan.to_clear.empty()) return scan.report;

  std::vector<std::vector<uint64_t>> lines(scan.payloads.size());
  for (size_t i = 0; i < scan.payloads.size(); ++i) {
    CollectLines(scan.payloads[i], lines[i]);
    TRY(TouchLines(mapping_, lines[i]));
  }
  PersistStream stream = persist_.NewStream();
  for (size_t i = 0; i < scan.payloads.size(); ++i) {
    TRY(StoreRuns(stream, scan.payloads[i]));
    FlushLines(stream, lines[i]);
  }
  if (!scan.payloads.empty()) TRY(stream.Fence());
  // Torn records go too: half of one and half of a later one must never meet.
  for (const uint32_t lane : scan.to_clear) TRY(ClearChecksum(stream, lane));
  TRY(stream.Fence());
  return scan.report;
}

Result<std::vector<Journal::Run>> Journal::Decode(uint32_t lane) const {
  CHECK(lane < lanes_.size(), "lane {} of {}", lane, lanes_.size());
  auto image = std::make_unique_for_overwrite<LaneImage>();
  const LaneVerdict verdict = TRY(ReadRecord(lane, *image));
  if (verdict == LaneVerdict::kUnreadable) {
    return Failure(EIO, fmt::format("journal lane {}: unreadable", lane));
  }
  if (verdict != LaneVerdict::kValid) return Failure(ENOENT);
  std::vector<Run> runs;
  const auto payload = std::span<const uint64_t>(image->payload)
                           .first(image->header.length_bytes / kWordSize);
  (void)ForEachRun(payload, [&runs](MediaOffset at, std::span<const uint64_t> words) {
    runs.push_back({at, std::vector<uint64_t>(words.begin(), words.end())});
    return true;
  });
  return runs;
}

}  // namespace ingot
