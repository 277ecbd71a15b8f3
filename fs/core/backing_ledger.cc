// SPDX-License-Identifier: BSD-3-Clause
// One block, edited as a whole copy; only changed words are logged.
#include "fs/core/backing_ledger.h"

#include <algorithm>
#include <cstring>

#include "fs/core/log_changes.h"
#include "pmemdev/base/check.h"

namespace ingot {
namespace {

uint32_t CountListed(const media::BackingLedger& ledger) {
  return static_cast<uint32_t>(
      std::ranges::count_if(ledger.numbers, [](uint64_t number) { return number != 0; }));
}

tl::unexpected<Error> Damaged(const char* what) {
  return Failure(EUCLEAN, fmt::format("ledger of backing files: {}. Hint: run fsck.ingot", what));
}

}  // namespace

BackingLedger::Places& BackingLedger::Places::operator=(Places&& other) noexcept {
  if (this != &other) {
    Drop();
    ledger_ = std::exchange(other.ledger_, nullptr);
    count_ = other.count_;
  }
  return *this;
}

void BackingLedger::Places::Drop() {
  if (ledger_ == nullptr) return;
  BackingLedger& ledger = *std::exchange(ledger_, nullptr);
  const MutexLock lock(ledger.mutex_);
  ledger.reserved_ -= count_;
}

Result<std::unique_ptr<BackingLedger>> BackingLedger::Open(const BlockReader& reader)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {  // nobody else has it yet
  std::unique_ptr<BackingLedger> ledger(new BackingLedger());
  TRY(reader.Copy(kPage, kIdentity, WritableBytesOf(ledger->now_)));
  const media::BackingLedger& now = ledger->now_;
  const uint64_t next_number = now.next_number;
  if (next_number == 0 || next_number > media::kMaxBackingNumber) return Damaged("next_number");
  if (std::ranges::any_of(now.numbers, [&](uint64_t n) { return n >= next_number; })) {
    return Damaged("a number that was never handed out");
  }
  ledger->listed_ = CountListed(now);
  std::ranges::copy_if(now.numbers, std::back_inserter(ledger->abandoned_),
                       [](uint64_t number) { return number != 0; });
  return ledger;
}

BackingLedger::Places BackingLedger::Reserve(uint32_t count) {
  const MutexLock lock(mutex_);
  if (listed_ + reserved_ + count > media::kLedgerPlaces) return {};
  reserved_ += count;
  return Places(*this, count);
}

bool BackingLedger::has_room() const {
  const MutexLock lock(mutex_);
  return listed_ + reserved_ <= media::kLedgerPlaces / 2;
}

std::vector<uint64_t> BackingLedger::TakeAbandoned() {
  const MutexLock lock(mutex_);
  std::vector<uint64_t> taken(abandoned_.begin(), abandoned_.end());
  abandoned_.clear();
  return taken;
}

void BackingLedger::Abandon(uint64_t number, bool wake) {
  const MutexLock lock(mutex_);
  CHECK(abandoned_.size() < media::kLedgerPlaces, "backing file {}", number);
  abandoned_.push_back(number);
  if (wake && waker_) waker_();
}

void BackingLedger::set_waker(std::function<void()> waker) {
  const MutexLock lock(mutex_);
  waker_ = std::move(waker);
}

std::vector<uint64_t> BackingLedger::Listed() const {
  std::vector<uint64_t> listed;
  const MutexLock lock(mutex_);
  std::ranges::copy_if(now_.numbers, std::back_inserter(listed), [](uint64_t n) { return n != 0; });
  return listed;
}

uint64_t BackingLedger::next_number() const {
  const MutexLock lock(mutex_);
  return now_.next_number;
}

Result<void> BackingLedger::Edit(const LedgerChange& change) {
  after_ = now_;
  for (const uint64_t number : change.unlist) {
    uint64_t* const place = std::ranges::find(after_.numbers, number);
    if (place == after_.numbers.end()) return Damaged("a backing file isn't listed");
    *place = 0;
  }
  if (change.hand_out != 0) {
    CHECK(change.hand_out_from >= now_.next_number, "backing file {}", change.hand_out_from);
    after_.next_number = change.hand_out_from + change.hand_out;
  }
  std::span<uint64_t> places(after_.numbers);
  const auto list = [&places](uint64_t number) {
    const auto place = std::ranges::find(places, uint64_t{0});
    CHECK(place != places.end(), "backing file {}: no place was reserved", number);
    *place = number;
  };
  for (const uint64_t number : change.list) list(number);
  for (uint32_t i = 0; i < change.hand_out; ++i) list(change.hand_out_from + i);
  SealBlock(kPage, WritableBytesOf(after_));
  return {};
}

Result<void> BackingLedger::Stage(const LedgerChange& change,
                                  Lane& lane) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  mutex_.Lock();
  const Result<void> staged = NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> Result<void> {
    TRY(Edit(change));
    return LogChangedWords(lane, Geometry::ToMedia(OffsetOf(kPage)), BytesOf(now_),
                           BytesOf(after_));
  });
  if (!staged) mutex_.Unlock();
  return staged;
}

void BackingLedger::Finish(const LedgerChange& change,
                           bool committed) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (committed) {
    now_ = after_;
    listed_ = CountListed(now_);
    for (const uint64_t number : change.list) abandoned_.push_back(number);
    if (!change.list.empty() && waker_) waker_();
  }
  mutex_.Unlock();
}

}  // namespace ingot
