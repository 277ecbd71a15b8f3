// SPDX-License-Identifier: BSD-3-Clause
// The pool of lanes: opening, formatting, leasing. What a lane does is in lane.cc, recovery in
// journal_replay.cc.
//
// The free lanes are one atomic mask, so that an uncontended lease costs one exchange; whoever
// finds it empty sleeps on a condition variable.
#include "pmemdev/journal.h"

#include <bit>

#include "pmemdev/base/check.h"
#include "pmemdev/journal_record.h"
#include "pmemdev/lane_header.h"
#include "pmemdev/poison.h"

namespace ingot {
namespace {

static_assert(media::kLaneCount <= 64, "the free mask is one word");

// The lane that this thread tries first: its record and payload buffer are warm in this CPU's
// cache. Threads begin at different ones. Only a hint, so one for all journals will do.
uint32_t& PreferredLane() {
  static std::atomic<uint32_t> next{0};
  thread_local uint32_t preferred = next.fetch_add(1, std::memory_order_relaxed);
  return preferred;
}

uint64_t MaskOfLanes(uint32_t count) {
  return count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

Result<void> CheckLaneCount(const media::Superblock& superblock) {
  if (superblock.lane_count == 0 || superblock.lane_count > media::kLaneCount) {
    return Failure(EUCLEAN, fmt::format("superblock: {} lanes", superblock.lane_count));
  }
  return {};
}

}  // namespace

Journal::Journal(const Mapping& mapping, const Geometry& geometry, Persist& persist)
    : mapping_(mapping), geometry_(geometry), persist_(persist) {}

Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::Open(const Mapping& mapping, const Geometry& geometry,
                                               Persist& persist,
                                               const media::Superblock& superblock) {
  TRY(CheckLaneCount(superblock));
  std::unique_ptr<Journal> journal(new Journal(mapping, geometry, persist));
  journal->checksum_seed_ = RecordSeed(superblock.uuid);
  uint64_t usable = MaskOfLanes(superblock.lane_count);
  for (uint32_t lane = 0; lane < superblock.lane_count; ++lane) {
    journal->lanes_.push_back(std::make_unique<LaneState>());
    media::LaneRecord record;
    const std::byte* from = mapping.base() + RecordPlace(lane).value;
    if (poison::Copy(WritableBytesOf(record).data(), from, sizeof(record))) {
      // A torn or foreign record's number is as good as any: it only has to differ from the last.
      journal->lanes_[lane]->next_sequence = record.sequence + 1;
    } else {
      usable &= ~(uint64_t{1} << lane);
    }
  }
  journal->usable_.store(usable, std::memory_order_relaxed);
  journal->free_.store(usable, std::memory_order_relaxed);
  return journal;
}

Result<void> Journal::FormatLane(Persist& persist, const media::Superblock& superblock,
                                 uint32_t lane) {
  TRY(CheckLaneCount(superblock));
  CHECK(lane < superblock.lane_count, "lane {}", lane);
  PersistStream stream = persist.NewStream();
  // All of the lane is written, because that is what repairs a bad block. In any order: a record of
  // an earlier pool has that one's UUID in its checksum, and superblocks come later.
  TRY(stream.ZeroUnfenced(RecordPlace(lane), media::kLaneSize - media::kLaneRecordOffset));
  const media::LaneHeader header = MakeLaneHeader(superblock, lane);
  TRY(stream.CopyUnfenced(Geometry::Lane(lane), BytesOf(header)));
  return stream.Fence();
}

Result<void> Journal::Format(Persist& persist, const media::Superblock& superblock) {
  TRY(CheckLaneCount(superblock));
  for (uint32_t lane = 0; lane < superblock.lane_count; ++lane) {
    TRY(FormatLane(persist, superblock, lane));
  }
  return {};
}

uint32_t Journal::TakeFreeLane() {
  uint32_t& preferred = PreferredLane();
  const auto lane_count = static_cast<uint32_t>(lanes_.size());
  uint32_t lane = preferred < lane_count ? preferred : preferred % lane_count;
  // Sequentially consistent, against Release: either it sees us waiting or we see its lane.
  uint64_t free = free_.load();
  while (free != 0) {
    if ((free >> lane & 1) == 0) lane = static_cast<uint32_t>(std::countr_zero(free));
    const uint64_t bit = uint64_t{1} << lane;
    free = free_.fetch_and(~bit);
    if ((free & bit) != 0) {
      preferred = lane;
      return lane;
    }
  }
  return kNoLane;
}

Lane Journal::Lease() {
  uint32_t lane = TakeFreeLane();
  if (lane == kNoLane) [[unlikely]] {
    std::unique_lock lock(wait_mutex_);
    waiters_.fetch_add(1);
    while ((lane = TakeFreeLane()) == kNoLane && usable_.load() != 0) returned_.wait(lock);
    waiters_.fetch_sub(1);
  }
  Lane leased(*this, lane);  // from here on it goes back by itself, if there is no memory
  if (lane != kNoLane) {
    LaneState& state = *lanes_[lane];
    if (state.image == nullptr) state.image = std::make_unique_for_overwrite<LaneImage>();
  }
  return leased;
}

void Journal::Release(uint32_t lane, bool keep_busy) {
  const uint64_t bit = uint64_t{1} << lane;
  if (keep_busy) {
    usable_.fetch_and(~bit);
  } else {
    CHECK((free_.fetch_or(bit) & bit) == 0, "lane {} was free", lane);
  }
  if (waiters_.load() == 0) [[likely]] return;
  // Under the mutex a waiter is either before its look at the masks or asleep.
  const std::lock_guard lock(wait_mutex_);
  if (keep_busy) {
    returned_.notify_all();
  } else {
    returned_.notify_one();
  }
}

}  // namespace ingot
