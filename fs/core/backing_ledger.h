// SPDX-License-Identifier: BSD-3-Clause
// Which backing files may exist although no inode has them (media::BackingLedger).
//
// A copy in memory is what readers use; it follows each commit. Changes are part of a Transaction,
// so that a number moves between ledger and inode in one step. The mutex is a lock of
// docs/locking.md: behind lanes, before groups. Places are promised ahead (Place), because a
// transaction under way can't wait for one. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "fs/core/blocks.h"
#include "pmemdev/base/mutex.h"
#include "pmemdev/journal.h"

namespace ingot {

// What one transaction does to the ledger.
struct LedgerChange {
  absl::InlinedVector<uint64_t, 1> list;    // these belong to nobody from now on
  absl::InlinedVector<uint64_t, 1> unlist;  // these belong to an inode, or their files are gone
  uint32_t hand_out = 0;                    // so many new numbers are listed as well ...
  uint64_t hand_out_from = 0;               // ... from this on, which is next_number or greater
};

class BackingLedger {
 public:
  // EUCLEAN: damaged. EIO.
  static Result<std::unique_ptr<BackingLedger>> Open(const BlockReader& reader);
  static constexpr LogicalPage kPage{media::kLedgerPage};
  static constexpr BlockIdentity kIdentity{BlockKind::kLedger, InodeNumber(0), 0};

  // Free places promised to the holder; move-only.
  class Places {
   public:
    Places() = default;
    ~Places() { Drop(); }
    Places(Places&& other) noexcept
        : ledger_(std::exchange(other.ledger_, nullptr)), count_(other.count_) {}
    Places& operator=(Places&& other) noexcept;
    [[nodiscard]] explicit operator bool() const { return ledger_ != nullptr; }

   private:
    friend class BackingLedger;
    Places(BackingLedger& ledger, uint32_t count) : ledger_(&ledger), count_(count) {}
    void Drop();
    BackingLedger* ledger_ = nullptr;
    uint32_t count_ = 0;
  };
  // False if there are not so many.
  [[nodiscard]] Places Reserve(uint32_t count);

  // So many free places are left that a transaction will surely find one.
  [[nodiscard]] bool has_room() const;

  // Listed numbers whose files are to be deleted: all that were listed when the pool was opened,
  // and what inodes have lost since. Taken by who deletes; given back if that failed.
  [[nodiscard]] std::vector<uint64_t> TakeAbandoned();
  void Abandon(uint64_t number, bool wake = true);
  // Called with the lock held when there is something to take.
  void set_waker(std::function<void()> waker);

  [[nodiscard]] std::vector<uint64_t> Listed() const;
  [[nodiscard]] uint64_t next_number() const;

  // --- for Transaction: locks, logs the changed words; on error nothing has changed and the lock
  // is given back. After success the caller ends with Finish. Whoever lists holds places.
  Result<void> Stage(const LedgerChange& change, Lane& lane);
  void Finish(const LedgerChange& change, bool committed);

#ifdef INGOT_TEST_HOOKS
  [[nodiscard]] const Mutex& mutex() const {
    return mutex_;
  }
#endif

 private:
  BackingLedger() = default;
  Result<void> Edit(const LedgerChange& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  media::BackingLedger now_ ABSL_GUARDED_BY(mutex_){};
  media::BackingLedger after_ ABSL_GUARDED_BY(mutex_){};  // of the transaction under way
  uint32_t listed_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t reserved_ ABSL_GUARDED_BY(mutex_) = 0;
  // Never more than there are places: needs no heap after Open.
  absl::InlinedVector<uint64_t, media::kLedgerPlaces> abandoned_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> waker_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ingot
