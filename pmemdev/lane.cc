// SPDX-License-Identifier: BSD-3-Clause
// One transaction: words collected in DRAM, committed in three fences.
//
//   touch targets | record, checksum and all | fence: valid | words | fence | checksum = 0 | fence
//
// The holder of the lane is the only user of its LaneState.
#include <utility>

#include "pmemdev/base/check.h"
#include "pmemdev/journal.h"
#include "pmemdev/journal_record.h"
#include "pmemdev/poison.h"

namespace ingot {

Result<void> TouchLines(const Mapping& mapping, std::span<const uint64_t> lines) {
  const std::byte* base = mapping.base();
  const bool whole = poison::Run([base, lines] {
    for (const uint64_t place : lines) {
      (void)*reinterpret_cast<const volatile uint64_t*>(base + place);
    }
  });
  if (whole) [[likely]] return {};
  const std::byte* address = poison::LastFaultAddress();
  mapping.ReportFault(address);
  return Failure(EIO, fmt::format("journal: target at {:#x}", address - base));
}

Result<void> StoreRuns(PersistStream& stream, std::span<const uint64_t> payload) {
  Result<void> result;
  (void)ForEachRun(payload, [&](MediaOffset at, std::span<const uint64_t> words) {
    result = stream.StoreUnflushed(at, words);
    return result.has_value();
  });
  return result;
}

void FlushLines(PersistStream& stream, std::span<const uint64_t> lines) {
  size_t begin = 0;
  for (size_t i = 1; i <= lines.size(); ++i) {
    const uint64_t first = RoundDown(lines[begin], kCacheLineSize);
    const uint64_t size_bytes = (i - begin) * kCacheLineSize;
    if (i < lines.size() && RoundDown(lines[i], kCacheLineSize) == first + size_bytes) continue;
    stream.Flush(MediaOffset(first), size_bytes);
    begin = i;
  }
}

Result<void> ClearChecksum(PersistStream& stream, uint32_t lane) {
  static_assert(offsetof(media::LaneRecord, checksum) == 0);
  const uint64_t none = 0;
  TRY(stream.StoreUnflushed(RecordPlace(lane), std::span(&none, 1)));
  stream.Flush(RecordPlace(lane), sizeof(none));
  return {};
}

Lane::Lane(Lane&& other) noexcept
    : journal_(std::exchange(other.journal_, nullptr)),
      index_(other.index_),
      payload_words_(other.payload_words_),
      last_run_(other.last_run_),
      committed_(other.committed_),
      keep_busy_(other.keep_busy_) {}

Lane::~Lane() {
  if (journal_ == nullptr || index_ == Journal::kNoLane) return;
  if (!committed_ && !keep_busy_ && journal_->observer_ != nullptr) {
    journal_->observer_->OnRelease(index_);
  }
  journal_->Release(index_, keep_busy_);
}

std::span<const uint64_t> Lane::payload() const {
  return std::span<const uint64_t>(journal_->lanes_[index_]->image->payload).first(payload_words_);
}

void Lane::AppendRun(MediaOffset at, std::span<const uint64_t> words) {
  auto& payload = journal_->lanes_[index_]->image->payload;
  last_run_ = payload_words_;
  payload[payload_words_] = PackRun(at, static_cast<uint32_t>(words.size()));
  std::copy(words.begin(), words.end(), payload.begin() + payload_words_ + 1);
  payload_words_ += static_cast<uint32_t>(words.size()) + 1;
}

Result<void> Lane::Log(MediaOffset at, std::span<const uint64_t> words) {
  CHECK(!committed_ && !keep_busy_, "lane {} was committed", index_);
  if (words.empty()) return {};
  CHECK(at.value % kWordSize == 0 && journal_->geometry_.MayReplay(at, words.size_bytes()),
        "at {:#x}, {} words", at.value, words.size());
  if (index_ == Journal::kNoLane) return Failure(EROFS, "journal: no lane is left");

  // What continues the last run joins it. (Two ranges that MayReplay accepts can't touch without
  // being one: page arrays lie between the groups.)
  auto& payload = journal_->lanes_[index_]->image->payload;
  size_t joining = 0;
  if (payload_words_ > 0) {
    const uint64_t run = payload[last_run_];
    if (RunPlace(run) + RunWords(run) * kWordSize == at) {
      joining = std::min<size_t>(words.size(), media::kMaxRunWords - RunWords(run));
    }
  }
  const size_t new_runs = (words.size() - joining + media::kMaxRunWords - 1) / media::kMaxRunWords;
  if (words.size() + new_runs > kLanePayloadWords - payload_words_) {
    return Failure(EOVERFLOW, "journal: transaction larger than a lane");
  }
  if (journal_->observer_ != nullptr) {
    journal_->observer_->OnLog(index_, at, words.size_bytes());
  }

  if (joining > 0) {
    std::copy_n(words.begin(), joining, payload.begin() + payload_words_);
    payload_words_ += static_cast<uint32_t>(joining);
    payload[last_run_] += joining;  // the count is in the low bits and has room
  }
  for (size_t from = joining; from < words.size(); from += media::kMaxRunWords) {
    AppendRun(at + from * kWordSize,
              words.subspan(from, std::min<size_t>(words.size() - from, media::kMaxRunWords)));
  }
  return {};
}

Result<void> Lane::TouchTargets() const {
  Journal::LaneState& state = *journal_->lanes_[index_];
  CollectLines(payload(), state.lines);
  return TouchLines(journal_->mapping_, state.lines);
}

Result<void> Lane::WriteRecord(PersistStream& stream) {
  Journal::LaneState& state = *journal_->lanes_[index_];
  LaneImage& image = *state.image;
  image.header = media::LaneRecord{};
  image.header.sequence = state.next_sequence++;
  image.header.length_bytes = static_cast<uint32_t>(payload_words_ * kWordSize);
  image.header.lane_index = index_;
  image.header.checksum = RecordChecksum(image, journal_->checksum_seed_);
  const size_t size_bytes = sizeof(image.header) + image.header.length_bytes;
  return stream.CopyUnfenced(RecordPlace(index_),
                             std::as_bytes(std::span(&image, 1)).first(size_bytes));
}

Result<void> Lane::Apply(PersistStream& stream) const {
  TRY(StoreRuns(stream, payload()));
  FlushLines(stream, journal_->lanes_[index_]->lines);
  TRY(stream.Fence());
  TRY(ClearChecksum(stream, index_));
  return stream.Fence();
}

// Heap is needed before the lane is valid only, but for the text of an Error: NoThrow, so that no
// state is ever left undecided for the want of one.
Result<void> Lane::Commit(PersistStream& stream) {
  CHECK(!committed_ && !keep_busy_, "lane {} was committed", index_);
  if (index_ == Journal::kNoLane) return Failure(EROFS, "journal: no lane is left");
  if (empty()) return {};
  if (journal_->persist_.failed()) return Failure(EROFS, "journal: the device is read-only");
  TRY(TouchTargets());
  stream.ReserveFlushes(journal_->lanes_[index_]->lines.size() + 2);

  // Until the fence nothing is promised: a lane that can't take a whole record is never valid. It
  // is not used again either.
  const Result<void> written = NoThrow([&] { return WriteRecord(stream); });
  if (!written.has_value()) {
    keep_busy_ = true;
    return written;
  }
  if (const Result<void> fenced = NoThrow([&] { return stream.Fence(); }); !fenced.has_value()) {
    // Whether the record is durable is unknown, so nothing may be stored any more: neither its
    // words nor anything that a replay of it would undo. What memory shows is the state before,
    // whole: the caller may drop its locks.
    keep_busy_ = true;
    journal_->persist_.Fail();
    return Failure(EIO, "journal: " + fenced.error().context);
  }
  committed_ = true;
  if (journal_->observer_ != nullptr) journal_->observer_->OnValid(index_);
  if (const Result<void> applied = NoThrow([&] { return Apply(stream); }); !applied.has_value()) {
    keep_busy_ = true;
    journal_->persist_.Fail();
    return Failure(EIO, "journal: " + applied.error().context);
  }
  if (journal_->observer_ != nullptr) journal_->observer_->OnRelease(index_);
  return {};
}

}  // namespace ingot
