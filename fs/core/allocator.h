// SPDX-License-Identifier: BSD-3-Clause
// Pages and huge pages of the logical space: who has them, and who gets them next.
//
// Truth on media: two bitmap pages and one 64-byte entry a group. A Claim is a volatile promise of
// a run of free pages: taken under a brief group lock, dropped by its destructor, made durable by
// the transaction that it is handed to. Bitmaps and claims together say which pages are taken; a
// page becomes claimable again only after the transaction that freed it has invalidated its lane.
// A page that is known to be bad is given to nobody and doesn't count as free. Its bit says that it
// is, for the sake of the mount that finds it repaired.
// 64 bytes of DRAM per group. Thread-safe. Group locks come last in the lock order, ascending.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "fs/core/fragment_summary.h"
#include "fs/core/group_state.h"
#include "fs/core/group_summary.h"
#include "fs/core/page_bitmap.h"
#include "pmemdev/device.h"

namespace ingot {

class Allocator;

// A run of pages inside one group, promised to the holder. Move-only.
class Claim {
 public:
  Claim() = default;
  ~Claim();
  Claim(Claim&& other) noexcept;
  Claim& operator=(Claim&& other) noexcept;

  [[nodiscard]] explicit operator bool() const { return node_ != nullptr; }
  [[nodiscard]] LogicalPage first() const;
  [[nodiscard]] uint32_t count() const;
  // Splits the first `pages` off into a claim of their own; 0 < pages <= count().
  Claim TakeFront(uint32_t pages);

 private:
  friend class Allocator;
  Claim(Allocator& allocator, ClaimNode* node) : allocator_(&allocator), node_(node) {}
  void Drop();

  Allocator* allocator_ = nullptr;
  ClaimNode* node_ = nullptr;
};

enum class ClaimPurpose : uint8_t { kData, kMetadata, kInodePage };

struct ClaimRequest {
  uint64_t pages = 1;  // wanted; the claim may be shorter, never empty
  LogicalPage goal{};  // best place: the page after the file's last, or any page of its group
  ClaimPurpose purpose = ClaimPurpose::kData;
  bool whole_huge = false;    // exactly one whole, aligned huge page, or ENOSPC
  bool only_fragments = false;  // of broken huge pages, or ENOSPC
  bool exact = false;         // all `pages` in one run, or ENOSPC
  bool from_reserve = false;  // may use the reserve that keeps unlink, truncate and punch working
};

struct SpaceCounts {
  uint64_t total_pages = 0;  // of the logical space, without the groups' reserved ones
  uint64_t free_pages = 0;   // includes claims: they are promises, not use
  uint64_t bad_pages = 0;    // nobody's, but bad; not in free_pages
  uint64_t reserve_pages = 0;
  uint64_t free_huge_pages = 0;  // whole ones, unclaimed
  uint64_t free_inode_slots = 0;
  uint64_t orphans = 0;
  uint64_t free_pages_on_host = 0;  // of the free ones, those that the host has given for sure
  uint64_t host_reserve_pages = 0;  // of those, the ones that ReleaseFreeHugePages keeps
};

// What one transaction changes in one group; filled by Transaction, applied by Allocator::Stage.
struct GroupChange {
  struct Run {
    uint32_t first;  // page in the group
    uint32_t count;
  };
  GroupIndex group;
  absl::InlinedVector<Run, 4> allocate;
  absl::InlinedVector<Run, 4> release;
  absl::InlinedVector<uint32_t, 2> inode_pages_added;
  absl::InlinedVector<uint32_t, 2> inode_pages_removed;
  int32_t free_inode_slots = 0;  // delta
  int32_t orphans = 0;           // delta
  media::GroupEntry after{};     // set by Stage: the entry as logged
  bool fresh = false;            // set by Stage: the group is used for the first time

  [[nodiscard]] bool empty() const {
    return allocate.empty() && release.empty() && inode_pages_added.empty() &&
           inode_pages_removed.empty() && free_inode_slots == 0 && orphans == 0;
  }
};

class Allocator {
 public:
  // Reads the group table, nothing else. EUCLEAN: an entry is damaged (its group is then taken for
  // full: `damaged_groups()` says how many); only fsck repairs.
  static Result<std::unique_ptr<Allocator>> Open(Device& device);
  ~Allocator();

  // ENOSPC: nothing left, after claims were stolen from reservations (see set_reclaimer) and
  // fragments were used. EUCLEAN, EIO: a bitmap can't be read.
  Result<Claim> Take(const ClaimRequest& request);

  [[nodiscard]] SpaceCounts Count();
  // More than an eighth of what is free lies in broken huge pages: time to fill those.
  [[nodiscard]] bool IsShortOfHugePages() const {
    return free_huge_pages_.load(std::memory_order_relaxed) * int64_t{kPagesPerHugePage} * 8 <
           unclaimed_pages_.load(std::memory_order_relaxed) * 7;
  }
  [[nodiscard]] uint64_t damaged_groups() const;
  // Called without locks when space runs out; frees volatile claims; returns true if it freed any.
  void set_reclaimer(std::function<bool()> reclaimer) { reclaimer_ = std::move(reclaimer); }

  // --- for directory pools: allocator_host.cc --------------------------------------------------
  // Gives some wholly free huge pages back to the host: in a first pass after Open those of all
  // groups that were ever used, from then on those that became free. Keeps `keep` huge pages (less
  // in a small pool) with the host's space for requests that are `from_reserve`, so that unlink and
  // truncate work when the host is full. False: nothing is left to do. One thread at a time. EROFS;
  // EOPNOTSUPP: a host without holes.
  Result<bool> ReleaseFreeHugePages(uint32_t keep);

  // --- for Transaction -------------------------------------------------------------------------
  // Locks the changed groups (ascending; at most kMaxGroupsPerTransaction), computes the new bitmap
  // words and entries, and logs them to `lane`. A group that was never used gets its bitmaps and
  // first inode page written, unlogged, by `stream`. On error nothing has changed and the locks are
  // given back. After success the caller ends with Finish.
  static constexpr size_t kMaxGroupsPerTransaction = 8;
  Result<void> Stage(std::span<GroupChange> changes, Lane& lane, PersistStream& stream);
  // Gives the locks back; if `committed`, volatile counts, masks and page descriptors follow first.
  void Finish(std::span<GroupChange> changes, bool committed);
  // The claim's pages have become allocated, or will: the claim is forgotten without being given
  // back. Called between Stage and Finish.
  void Consume(Claim claim);

  // --- for InodeTable --------------------------------------------------------------------------
  // Free slots by this mount's knowledge; a group that was never used has those of its first page.
  [[nodiscard]] uint32_t FreeInodeSlots(GroupIndex group) const;
  // The next inode page of the group at or after `from` (page in group), or PagesIn(group) if none.
  Result<uint32_t> NextInodePage(GroupIndex group, uint32_t from) const;
  [[nodiscard]] bool IsUninitialised(GroupIndex group) const;
  [[nodiscard]] bool IsDamaged(GroupIndex group) const;
  [[nodiscard]] uint32_t Orphans(GroupIndex group) const;
  // Is that page an allocated inode page? For handles that anybody may forge.
  Result<bool> IsInodePage(LogicalPage page) const;
  // Volatile cursor of the inode search in a group.
  [[nodiscard]] std::atomic<uint16_t>& InodeCursor(GroupIndex group);

  [[nodiscard]] Device& device() const { return device_; }
#ifdef INGOT_TEST_HOOKS
  [[nodiscard]] const Mutex& GroupMutex(GroupIndex group) const {
    return groups_[group.value].mutex;
  }
#endif

 private:
  friend class Claim;
  explicit Allocator(Device& device);

  // How far a search may go; tried in this order.
  enum class Effort : uint8_t { kHome, kFragments, kNewHugePage, kAnything };

  // Search (allocator_search.cc). Those that take a GroupState want its mutex held.
  Result<Claim> TakeOnce(ClaimRequest request);
  Result<Claim> TakeWholeHuge(const ClaimRequest& request);
  Result<Claim> TakeRun(const ClaimRequest& request);
  Result<std::optional<Claim>> TryWholeHuge(GroupIndex group, uint32_t& host_refusals);
  // `host_refusals` counts the ENOSPCs of the host in one search; at its bound that is the answer.
  Result<std::optional<Claim>> TryGroup(GroupIndex group, const ClaimRequest& request,
                                        Effort effort, uint32_t& host_refusals);
  [[nodiscard]] GroupIndex NextToAsk(Effort effort, uint32_t fragment_pages,
                                     GroupIndex from) const;
  void LeaveOut(GroupIndex group);
  [[nodiscard]] bool IsInodeBitmapGood(const GroupState& state, GroupIndex group) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  // The best run by `effort` that is free by `taken` and has, or gets, the host's space.
  Result<std::optional<Claim>> ClaimChosen(GroupState& state, GroupIndex group,
                                           const ClaimRequest& request, Effort effort,
                                           PageBitmap& taken, uint32_t& host_refusals)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  // All that nobody may be given: allocated, claimed, bad.
  Result<void> BuildTaken(GroupState& state, GroupIndex group, PageBitmap& taken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  void TakeBadPages(GroupState& state, GroupIndex group, PageBitmap& taken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  // The pages at the goal or at the group's cursor, if enough of them are free; else none.
  Result<PageRun> ContinueRun(const GroupState& state, GroupIndex group,
                              const ClaimRequest& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  static PageRun ChooseRun(const GroupState& state, const PageBitmap& taken,
                           const ClaimRequest& request, Effort effort)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  Result<Claim> MakeClaim(GroupState& state, GroupIndex group, PageRun run)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  Result<void> ActivateGroup(GroupState& state, GroupIndex group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  Result<void> AllocateHost(GroupState& state, GroupIndex group, uint32_t huge)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);

  // Host space (allocator_host.cc).
  // Of one group, some of those among `candidates` (one bit each); returns which.
  Result<uint64_t> ReleaseIn(GroupIndex group, uint64_t candidates);
  Result<void> FillHostReserve(uint32_t huge_pages);
  Result<Claim> TakeFromHostReserve(const ClaimRequest& request);
  [[nodiscard]] uint64_t HostReservePages();

  // Volatile state (allocator.cc).
  // The bitmap in place, its checksum verified once a mount; null: the group was never used.
  Result<const uint64_t*> Bitmap(const GroupState& state, GroupIndex group, uint32_t page) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  // The run is nobody's any more.
  void CountFree(GroupState& state, GroupIndex group, PageRun run)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  void UpdateHugeMask(GroupState& state, GroupIndex group, PageRun run)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  void SetHugeMask(GroupState& state, uint64_t mask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex);
  void Unclaim(ClaimNode* node);
  void UnlinkLocked(ClaimNode* node);
  // Pages that went bad while they were nobody's are counted as such from now on.
  void NoticeBadPages();
  static uint64_t& HugeMaskUnlocked(GroupState& state);
  static uint64_t& HostReadyMaskUnlocked(GroupState& state);
  [[nodiscard]] static uint32_t FreshInodeSlots(GroupIndex group);
  [[nodiscard]] PageBitmap FreshAllocated(GroupIndex group) const;

  // Durable state (allocator_stage.cc), under the group's lock.
  Result<void> StageGroup(GroupChange& change, Lane& lane, PersistStream& stream);
  Result<void> StageAllocated(GroupChange& change, bool fresh, Lane& lane, PersistStream& stream);
  Result<void> StageInodePages(GroupChange& change, bool fresh, Lane& lane, PersistStream& stream);
  void FinishGroup(const GroupChange& change);

  Device& device_;
  std::unique_ptr<GroupState[]> groups_;
  uint64_t group_count_;
  GroupSummary with_pages_;  // groups that may have an unclaimed free page
  GroupSummary with_huge_;   // groups that may have an unclaimed whole huge page
  FragmentSummary with_fragments_;
  std::atomic<int64_t> unclaimed_pages_{0};
  std::atomic<int64_t> free_huge_pages_{0};  // bits in the groups' free_huge_mask
  std::atomic<int64_t> claimed_pages_{0};
  std::atomic<int64_t> bad_pages_{0};
  std::atomic<uint64_t> noticed_bad_pages_{0};  // of the device's, so many have been looked at
  uint64_t total_pages_ = 0;
  uint64_t reserve_pages_ = 0;
  uint64_t damaged_groups_ = 0;
  std::function<bool()> reclaimer_;

  GroupSummary releasable_;      // groups where a free huge page may have host space
  GroupIndex releasing_{0};      // of ReleaseFreeHugePages: the group that it is at,
  uint64_t releasing_left_ = 0;  // and what it has not looked at there
  Mutex host_reserve_mutex_;     // in the lock order right before groups
  // Whole but for the last; goes before the groups do.
  std::vector<Claim> host_reserve_ ABSL_GUARDED_BY(host_reserve_mutex_);
};

}  // namespace ingot
