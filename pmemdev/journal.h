// SPDX-License-Identifier: BSD-3-Clause
// Redo journal: a fixed pool of 64 KiB lanes, one per running transaction.
//
// Entries are absolute 8-byte words of existing structures. A lane is valid when one 64-bit
// checksum over UUID, lane, sequence, length and payload says so: no commit fence between payload
// and header. After a lane is durable there is no abort: its words are stored to their places,
// fenced, and the lane invalidated, fenced. Lock coverage: each logged word belongs to a lock that
// its transaction holds from computing the value until Commit() returned; hence valid lanes touch
// disjoint words and may be replayed in any order. (docs/locking.md)
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/format.h"
#include "pmemdev/geometry.h"
#include "pmemdev/mapping.h"
#include "pmemdev/persist.h"

namespace ingot {

class Journal;
struct LaneImage;

// A leased lane with the words of one transaction, collected in DRAM. Move-only; the destructor
// gives the lane back. Dropping it without Commit() leaves nothing on the medium.
class Lane {
 public:
  ~Lane();
  Lane(Lane&& other) noexcept;
  Lane& operator=(Lane&&) = delete;
  Lane(const Lane&) = delete;

  // Adds words to be stored at `at` (8-byte aligned, inside group tables or group data). Words
  // logged twice: the later value wins. EOVERFLOW: the transaction is too large for a lane; the
  // caller splits its work, and nothing of this call was added. EROFS: no lane is left. Nothing
  // reaches the medium.
  Result<void> Log(MediaOffset at, std::span<const uint64_t> words);
  [[nodiscard]] uint64_t logged_bytes() const { return payload_words_ * kWordSize; }
  [[nodiscard]] bool empty() const { return payload_words_ == 0; }

  // Makes the logged words durable, all or none. Whatever they point at must have been fenced by
  // `stream` or another before. Errors, EIO or EROFS:
  //  - a target or the lane faults, or the device was read-only already: nothing of it is left;
  //  - the record's fence fails: the device is read-only, memory shows the state before, and only
  //    the next recovery knows whether the transaction is on the medium; locks may be dropped;
  //  - later: committed() is true. The device is read-only, the next recovery completes the
  //    transaction, memory may show half of it: the caller must see to it that checksums of what
  //    it logged are looked at again before anybody believes it.
  Result<void> Commit(PersistStream& stream);
  // True once the lane was valid, whether Commit() then succeeded or not.
  [[nodiscard]] bool committed() const { return committed_; }

 private:
  friend class Journal;
  Lane(Journal& journal, uint32_t index) : journal_(&journal), index_(index) {}

  [[nodiscard]] std::span<const uint64_t> payload() const;
  void AppendRun(MediaOffset at, std::span<const uint64_t> words);
  Result<void> TouchTargets() const;
  Result<void> WriteRecord(PersistStream& stream);
  Result<void> Apply(PersistStream& stream) const;

  Journal* journal_;
  uint32_t index_;
  uint32_t payload_words_ = 0;
  uint32_t last_run_ = 0;  // where the last run's first word is in the payload
  bool committed_ = false;
  bool keep_busy_ = false;  // the lane is never leased again
};

// Tests: sees which words are in flight, to check lock coverage.
class JournalObserver {
 public:
  virtual ~JournalObserver() = default;
  virtual void OnLog(uint32_t lane, MediaOffset at, uint64_t size_bytes) = 0;
  // The record is durable: from here on a crash replays it. On the committing thread, before the
  // first word is stored to its place.
  virtual void OnValid(uint32_t lane) { (void)lane; }
  // Invalidated durably (inside Commit, the locks still held), or dropped. Never for a lane that is
  // kept.
  virtual void OnRelease(uint32_t lane) = 0;
};

struct ReplayReport {
  uint32_t valid_lanes = 0;       // replayed
  uint32_t unreadable_lanes = 0;  // poisoned: a writable mount is refused until fsck
  uint64_t words = 0;
};

class Journal {
 public:
  // Reads the lanes' sequence numbers. Touches nothing on media. An unreadable lane is not leased.
  // EUCLEAN: an impossible number of lanes.
  static Result<std::unique_ptr<Journal>> Open(const Mapping& mapping, const Geometry& geometry,
                                               Persist& persist,
                                               const media::Superblock& superblock);
  ~Journal();

  // Writes the headers of all lanes and empty records: mkfs. Fenced.
  static Result<void> Format(Persist& persist, const media::Superblock& superblock);
  // The same for one lane, every byte of which is written: fsck's repair of one that is unreadable
  // or names impossible places. Its transaction is lost.
  static Result<void> FormatLane(Persist& persist, const media::Superblock& superblock,
                                 uint32_t lane);

  // Stores the words of every valid lane and invalidates all lanes, each step fenced. A crash in it
  // is recovered by doing it again. No lane may be leased. EUCLEAN, and nothing was stored: a valid
  // lane names a place that no journal may write, or two name the same word. EIO: a target faults.
  Result<ReplayReport> Replay();
  // How many lanes are valid; for read-only opens and fsck. Touches nothing.
  Result<ReplayReport> Inspect() const;
  // The runs of one lane's valid record, for dump: pairs of place and words. ENOENT: not valid.
  // EIO: unreadable. EUCLEAN: as for Replay.
  struct Run {
    MediaOffset at;
    std::vector<uint64_t> words;
  };
  Result<std::vector<Run>> Decode(uint32_t lane) const;

  // A free lane; waits for one. The calling thread's last lane is preferred. Once every lane is
  // lost (kept by failed commits) the answer is a lane on which Log and Commit fail with EROFS.
  [[nodiscard]] Lane Lease();

  void set_observer(JournalObserver* observer) { observer_ = observer; }

 private:
  friend class Lane;
  struct LaneState;  // DRAM: next sequence, payload buffer
  enum class LaneVerdict { kEmpty, kTorn, kValid, kUnreadable };
  struct Scan {
    ReplayReport report;
    std::vector<std::vector<uint64_t>> payloads;  // of the valid lanes
    std::vector<uint32_t> to_clear;               // valid and torn ones
  };
  static constexpr uint32_t kNoLane = UINT32_MAX;

  Journal(const Mapping& mapping, const Geometry& geometry, Persist& persist);
  [[nodiscard]] uint32_t TakeFreeLane();
  void Release(uint32_t lane, bool keep_busy);
  Result<LaneVerdict> ReadRecord(uint32_t lane, LaneImage& image) const;
  Result<Scan> ScanLanes() const;
  static Result<void> CheckDisjoint(const Scan& scan);

  const Mapping& mapping_;
  const Geometry& geometry_;
  Persist& persist_;
  uint64_t checksum_seed_ = 0;  // from the UUID
  JournalObserver* observer_ = nullptr;
  std::vector<std::unique_ptr<LaneState>> lanes_;
  std::atomic<uint64_t> free_{0};    // bit i: lane i can be leased
  std::atomic<uint64_t> usable_{0};  // bit i: lane i is free or leased, not lost
  std::atomic<uint32_t> waiters_{0};
  std::mutex wait_mutex_;
  std::condition_variable returned_;
};

}  // namespace ingot
