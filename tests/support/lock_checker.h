// SPDX-License-Identifier: BSD-3-Clause
// Lock coverage (docs/locking.md), checked while a volume runs: each logged word belongs to one
// lock, which the logging thread holds exclusively, without a break, until its lane was
// invalidated; and no word is in two valid lanes at once.
//
// Attaches itself as the journal's observer and must go before the volume. Thread-safe; the state
// of a lane is its holder's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "fs/core/volume.h"
#include "pmemdev/base/mutex.h"

namespace ingot::tests {

class LockChecker : public JournalObserver {
 public:
  explicit LockChecker(Volume& volume);
  ~LockChecker() override;
  LockChecker(const LockChecker&) = delete;

  void OnLog(uint32_t lane, MediaOffset at, uint64_t size_bytes) override;
  void OnValid(uint32_t lane) override;
  void OnRelease(uint32_t lane) override;

  // One line a violation, at most a few.
  [[nodiscard]] std::vector<std::string> faults() const;
  [[nodiscard]] uint64_t checked_words() const { return checked_words_.load(); }
  // Words of data pages that were allocated before this mount: nobody knows whose they are, so any
  // inode's lock would do.
  [[nodiscard]] uint64_t unknown_words() const { return unknown_words_.load(); }
  // Words of both kinds of locks were met.
  [[nodiscard]] uint64_t group_words() const { return group_words_.load(); }
  [[nodiscard]] uint64_t data_words() const { return data_words_.load(); }

 private:
  struct Covered {
    uint64_t at;
    uint64_t size_bytes;
    const Mutex* mutex;  // null: unknown
    uint64_t acquisition;
  };
  struct LaneState {
    std::vector<Covered> covered;
    bool valid = false;
  };

  const Mutex* LockOf(MediaOffset at);
  const Mutex* LockOfPage(LogicalPage page, uint64_t offset_in_page);
  const Mutex* LockOfData(LogicalPage page);
  [[nodiscard]] const Mutex* StripeOf(uint64_t inode);
  [[nodiscard]] bool TestMediaBit(GroupIndex group, uint32_t bitmap_page, uint32_t page) const;
  [[nodiscard]] bool HoldsAnyStripe();
  void CheckHeld(const LaneState& state, const char* when);
  void Fail(std::string text);

  Volume& volume_;
  Device& device_;
  std::map<uint64_t, GroupIndex> entries_;  // by place
  std::array<LaneState, media::kLaneCount> lanes_;
  std::atomic<uint64_t> checked_words_{0}, unknown_words_{0}, group_words_{0}, data_words_{0};

  mutable Mutex mutex_;
  absl::flat_hash_map<uint64_t, uint32_t> in_flight_ ABSL_GUARDED_BY(mutex_);  // word -> lane
  std::vector<std::string> faults_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ingot::tests
