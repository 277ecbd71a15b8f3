// SPDX-License-Identifier: BSD-3-Clause
// A lane's record in DRAM: how runs are packed into words, and what a lane's checksum covers.
//
// Shared by the journal's own sources (journal, lane, journal_replay); nobody else includes it.
// Functions are pure; the structs belong to whoever holds the lane.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "pmemdev/base/checksum.h"
#include "pmemdev/base/fields.h"
#include "pmemdev/base/ids.h"
#include "pmemdev/format.h"
#include "pmemdev/geometry.h"
#include "pmemdev/journal.h"

namespace ingot {

inline constexpr uint32_t kLanePayloadWords =
    static_cast<uint32_t>(media::kLanePayloadSize / kWordSize);

// The record as it lies in a lane, so that one copy writes or reads it.
struct LaneImage {
  media::LaneRecord header;
  std::array<uint64_t, kLanePayloadWords> payload;
};
static_assert(sizeof(LaneImage) == sizeof(media::LaneRecord) + media::kLanePayloadSize);
static_assert(media::kLanePayloadSize % kWordSize == 0);

// What a lane's holder owns in DRAM. Handed from thread to thread by the journal's free mask.
struct Journal::LaneState {
  uint64_t next_sequence = 1;
  std::unique_ptr<LaneImage> image;  // allocated by the first lease
  std::vector<uint64_t> lines;       // of Commit; kept for its capacity
};

inline MediaOffset RecordPlace(uint32_t lane) {
  return Geometry::Lane(lane) + media::kLaneRecordOffset;
}

// The first word of a run.
constexpr uint64_t PackRun(MediaOffset at, uint32_t words) {
  return (at.value / kWordSize) << media::kRunCountBits | (words - 1);
}
constexpr MediaOffset RunPlace(uint64_t packed) {
  return MediaOffset((packed >> media::kRunCountBits) * kWordSize);
}
constexpr uint32_t RunWords(uint64_t packed) {
  return static_cast<uint32_t>(packed & (media::kMaxRunWords - 1)) + 1;
}
static_assert(RunPlace(PackRun(MediaOffset(Geometry::kMaxRegionSize), 5)).value ==
                  Geometry::kMaxRegionSize &&
              RunWords(PackRun(MediaOffset(8), media::kMaxRunWords)) == media::kMaxRunWords);

// Calls `visit(MediaOffset, span of words)` for each run, in order, until it answers false.
// False: it did, or the payload ends inside a run.
template <typename Visit>
[[nodiscard]] bool ForEachRun(std::span<const uint64_t> payload, Visit&& visit) {
  while (!payload.empty()) {
    const uint32_t words = RunWords(payload[0]);
    if (words > payload.size() - 1) return false;
    if (!visit(RunPlace(payload[0]), payload.subspan(1, words))) return false;
    payload = payload.subspan(words + 1);
  }
  return true;
}

// The checksum of a record whose `length_bytes` has been bounded. Never 0, which says "none".
inline uint64_t RecordChecksum(const LaneImage& image, uint64_t seed) {
  constexpr size_t kFrom = offsetof(media::LaneRecord, sequence);
  static_assert(kFrom == sizeof(media::LaneRecord::checksum));
  const std::span bytes(reinterpret_cast<const std::byte*>(&image) + kFrom,
                        sizeof(media::LaneRecord) - kFrom + image.header.length_bytes);
  return std::max<uint64_t>(Hash64(bytes, seed), 1);
}

inline uint64_t RecordSeed(const media::Uuid& uuid) { return Hash64(BytesOf(uuid), 0); }

// Puts into `lines`, for each cache line that the runs store to, the first place of it that they
// store to (so that looking there reads nothing that another transaction may be writing); each line
// once, ascending.
inline void CollectLines(std::span<const uint64_t> payload, std::vector<uint64_t>& lines) {
  struct Range {
    uint64_t begin;
    uint64_t end;
  };
  absl::InlinedVector<Range, 32> ranges;
  (void)ForEachRun(payload, [&ranges](MediaOffset at, std::span<const uint64_t> words) {
    ranges.push_back({at.value, at.value + words.size_bytes()});
    return true;
  });
  // Runs are far fewer than their lines.
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  lines.clear();
  uint64_t done = 0;  // lines below are in
  for (const Range& range : ranges) {
    uint64_t place = std::max(range.begin, done);
    while (place < range.end) {
      lines.push_back(place);
      place = RoundDown(place, kCacheLineSize) + kCacheLineSize;
      done = place;
    }
  }
}

// Reads a word of each of `lines`. EIO, with the place, if one faults: better before a lane is
// valid than half-way through its words.
Result<void> TouchLines(const Mapping& mapping, std::span<const uint64_t> lines);
// Stores every run of `payload` to its place, unflushed.
Result<void> StoreRuns(PersistStream& stream, std::span<const uint64_t> payload);
// Flushes each of `lines` once; neighbours in one call.
void FlushLines(PersistStream& stream, std::span<const uint64_t> lines);
// Makes a lane's record invalid: a store and a flush, not fenced.
Result<void> ClearChecksum(PersistStream& stream, uint32_t lane);

}  // namespace ingot
