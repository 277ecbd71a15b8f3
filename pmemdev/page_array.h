// SPDX-License-Identifier: BSD-3-Clause
// One 64-byte descriptor per 4 KiB page: static, never allocated, initialised on first use.
//
// Source of the idea: Ingo Molnar's 2015 proposal for directly mapped persistent memory in the
// kernel; here in user space. Volatile by design: never flushed, and it counts only under this
// mount's epoch, a random nonce that is stored nowhere else. Three lazy layers: the nonce of a
// group (in the descriptor of its page 1, whose page is always a bitmap), a bit per 2 MiB in a mask
// beside it, and the descriptors of a huge page, zeroed when its bit is first set. A group is
// initialised under its own lock: mask cleared, then the nonce stored with release; readers load
// the nonce (acquire), then the mask. Descriptors are atomics; any thread may use them, but during
// Trim().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "pmemdev/base/check.h"
#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/geometry.h"
#include "pmemdev/mapping.h"

namespace ingot {

enum class PageState : uint8_t {
  kUnknown = 0,  // nothing is known beyond the media bitmaps
  kFree = 1,
  kClaimed = 2,  // promised to an operation, not yet on media
  kData = 3,
  kMetadata = 4,
  kInodePage = 5,
};

enum PageFlags : uint8_t {
  kPageVerified = 1 << 0,   // this mount has validated the block's checksum and keeps it true since
  kPagePoisoned = 1 << 1,   // a load or store faulted
  kPageParsed = 1 << 3,     // beside kPageVerified: its contents were parsed and found in order
  kPageWholeHuge = 1 << 2,  // head of a whole 2 MiB page; the tails' descriptors say nothing
};

// Counts of the kernel's references to the eight inodes of an inode page. Saturating.
struct InodeReferences {
  std::array<std::atomic<uint32_t>, 8> lookups;
  std::array<std::atomic<uint16_t>, 8> opens;
};

struct PageOwner {
  std::atomic<uint64_t> file_page;  // page index in the owner's file
  std::array<std::atomic<uint64_t>, 5> reserved;
};

// In the descriptor of a group's page 1, instead of PageOwner: a bitmap page needs neither owner
// nor references. Its state, flags, pins and write count are as everywhere.
struct GroupHead {
  std::atomic<uint64_t> nonce;  // the epoch in which the group was initialised
  std::atomic<uint64_t> mask;   // bit i: the descriptors of huge page i are initialised
  std::array<std::atomic<uint64_t>, 4> reserved;
};

struct alignas(64) PageDescriptor {
  std::atomic<PageState> state;
  std::atomic<uint8_t> flags;  // PageFlags
  std::atomic<uint16_t> pins;
  std::atomic<uint16_t> write_count;
  std::atomic<uint8_t> verified_inodes;  // of an inode page: a bit a slot, see IsInodeVerified
  std::atomic<uint8_t> reserved;
  std::atomic<uint64_t> owner;  // inode number, 0 if unknown
  union {
    PageOwner page;              // other states
    InodeReferences references;  // kInodePage
    GroupHead group;             // page 1 of a group
  };
};
static_assert(sizeof(PageDescriptor) == 64);
static_assert(sizeof(PageOwner) == 48 && sizeof(InodeReferences) == 48 && sizeof(GroupHead) == 48);
static_assert(offsetof(PageDescriptor, group) == 16 && offsetof(PageDescriptor, pins) == 2 &&
              offsetof(PageDescriptor, write_count) == 4 &&
              offsetof(PageDescriptor, verified_inodes) == 6 &&
              offsetof(PageDescriptor, owner) == 8);
static_assert(std::atomic<PageState>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);
static_assert(kPagesPerGroup * sizeof(PageDescriptor) == media::kPageArraySize);

// A page's contents can be trusted by its mark. One that ever faulted may have been given other
// bytes since, by whoever cleared the error, and is looked at each time.
[[nodiscard]] inline bool IsVerified(const PageDescriptor& descriptor) {
  return (descriptor.flags.load(std::memory_order_acquire) & (kPageVerified | kPagePoisoned)) ==
         kPageVerified;
}
[[nodiscard]] inline bool IsParsed(const PageDescriptor& descriptor) {
  constexpr uint8_t kBoth = kPageVerified | kPageParsed;
  return (descriptor.flags.load(std::memory_order_acquire) & (kBoth | kPagePoisoned)) == kBoth;
}
// What kPageVerified is to a block, to the inode in `slot` (0..7) of an inode page: this mount has
// validated its checksum and keeps it true since. Marks are set and taken under the page's inode
// lock, and only while the page holds inodes.
[[nodiscard]] inline bool IsInodeVerified(const PageDescriptor& descriptor, uint32_t slot) {
  return (descriptor.verified_inodes.load(std::memory_order_acquire) >> slot & 1) != 0 &&
         (descriptor.flags.load(std::memory_order_relaxed) & kPagePoisoned) == 0;
}
inline void MarkInodeVerified(PageDescriptor& descriptor, uint32_t slot) {
  descriptor.verified_inodes.fetch_or(static_cast<uint8_t>(1u << slot), std::memory_order_release);
}
inline void DistrustInode(PageDescriptor& descriptor, uint32_t slot) {
  descriptor.verified_inodes.fetch_and(static_cast<uint8_t>(~(1u << slot)),
                                       std::memory_order_relaxed);
}

// Nothing is known of the page's contents any more; kPagePoisoned stays.
inline void ClearMarks(PageDescriptor& descriptor) {
  // Mostly there are none: a look is cheaper than a locked instruction.
  if ((descriptor.flags.load(std::memory_order_relaxed) & ~kPagePoisoned) != 0) {
    descriptor.flags.fetch_and(kPagePoisoned, std::memory_order_relaxed);
  }
  descriptor.verified_inodes.store(0, std::memory_order_relaxed);
}

// Makes the descriptor of a page that changes hands: `state`, owner, counts and the union zeroed;
// pins and kPagePoisoned stay. The caller has the page to itself (claim or group lock). Of a
// group's page 1 the union stays.
void ResetDescriptor(PageDescriptor& descriptor, PageState state);

// The kernel's references to the inode in `slot` (0..7) of an inode page. Each returns the new
// count. A count that reached its maximum stays there: the inode is then kept until the next mount.
// Taking away more than there is gives 0.
uint32_t AddLookups(PageDescriptor& descriptor, uint32_t slot, uint64_t count);
uint32_t ForgetLookups(PageDescriptor& descriptor, uint32_t slot, uint64_t count);
uint16_t AddOpen(PageDescriptor& descriptor, uint32_t slot);
uint16_t RemoveOpen(PageDescriptor& descriptor, uint32_t slot);

enum class PageArrayPlacement { kDevice, kDram };

// The DRAM array is a cache under a budget. A descriptor that says something which must not be lost
// (claimed, pinned, looked up, open, poisoned) keeps its layer; what others say (verified, owner)
// is only quicker than looking again. Trim() drops layers of the second kind; since Get() hands out
// plain references, it may run only while no thread is between a Get() or Peek() and its last use
// of what that returned, protected descriptors excepted. So nothing here trims by itself: whoever
// knows such a moment (the daemon between requests) asks over_budget() and calls. A reference that
// outlived a Trim by mistake still points at memory, whose next contents it may spoil. (Rejected: a
// guard per layer; it would cost each Get an atomic write to save what plain files alone need.)
class PageArray {
 public:
  // kDevice: the 2 MiB in front of each group; kDram: anonymous memory, reserved (for twice the
  // groups there are, at least 1 TiB of pool, if it is to be had), populated by use. Plain files
  // want kDram: descriptors there would be written back to disk. A read-only mapping gets kDram
  // whatever was asked. kDevice reserves as much as it has groups, too, for those whose place is
  // bad: here mmap may fail, later nothing could be done about it. `geometry` and `mapping` must
  // outlive the array. Errors: ENOMEM (address space; what vm.overcommit_memory=2 allows), ENOSYS
  // (no random numbers).
  static Result<std::unique_ptr<PageArray>> Create(const Mapping& mapping, const Geometry& geometry,
                                                   PageArrayPlacement placement,
                                                   uint64_t dram_budget_bytes);
  ~PageArray();
  PageArray(const PageArray&) = delete;
  PageArray& operator=(const PageArray&) = delete;

  // The descriptor, with all three layers initialised. Never fails: where the host has no space for
  // a group's array on the device, or the medium is bad there, reserved memory takes its place.
  // `page` lies in the logical space.
  [[nodiscard]] PageDescriptor& Get(LogicalPage page) {
    const GroupIndex group = GroupOf(page);
    PageDescriptor* array = ArrayOf(group);
    if (array == nullptr) [[unlikely]]
      array = PlaceArray(group);
    const uint32_t index = IndexInGroup(page);
    if (!IsInitialised(array, index)) [[unlikely]]
      Initialise(group, index);
    return array[index];
  }
  // The descriptor if its layers are initialised under this epoch, else null. Stores nothing.
  [[nodiscard]] PageDescriptor* Peek(LogicalPage page) const {
    PageDescriptor* array = ArrayOf(GroupOf(page));
    const uint32_t index = IndexInGroup(page);
    return array != nullptr && IsInitialised(array, index) ? array + index : nullptr;
  }

  // kDram: true if more than the budget may be populated. Cheap; approximate (a layer counts
  // whole).
  [[nodiscard]] bool over_budget() const {
    return populated_bytes_.load(std::memory_order_relaxed) > dram_budget_bytes_;
  }
  // kDram: gives layers back until half of the budget is populated or nothing more may go; returns
  // the bytes given back. Only at a quiescent moment, see above. kDevice: does nothing.
  uint64_t Trim();

  [[nodiscard]] PageArrayPlacement placement() const { return placement_; }
  [[nodiscard]] uint64_t epoch() const { return epoch_; }
  // For status and tests: groups initialised now, and DRAM that may be populated.
  [[nodiscard]] uint64_t initialised_groups() const {
    return initialised_groups_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t populated_bytes() const {
    return populated_bytes_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kHeadPage = media::kAllocatedBitmapPage;
  static constexpr size_t kLockStripes = 64;

  PageArray(const Mapping& mapping, const Geometry& geometry, PageArrayPlacement placement,
            uint64_t dram_budget_bytes);
  Result<void> ReserveMemory();
  Result<void> ReserveMemoryFor(uint64_t groups);

  // Null: nobody has asked for any of the group's descriptors yet, or Trim() has dropped them all.
  // Else memory that can be loaded and stored without a fault.
  [[nodiscard]] PageDescriptor* ArrayOf(GroupIndex group) const {
    CHECK(group.value < group_count_, "group {} of {}", group.value, group_count_);
    return arrays_[group.value].load(std::memory_order_acquire);
  }
  PageDescriptor* PlaceArray(GroupIndex group);
  // Nonce first: a mask under another nonce is noise.
  [[nodiscard]] bool IsInitialised(const PageDescriptor* array, uint32_t index) const {
    const GroupHead& head = array[kHeadPage].group;
    return head.nonce.load(std::memory_order_acquire) == epoch_ &&
           (head.mask.load(std::memory_order_acquire) >> (index / kPagesPerHugePage) & 1) != 0;
  }
  [[nodiscard]] bool IsDeviceGood(GroupIndex group) const;
  void Initialise(GroupIndex group, uint32_t index);
  void InitialiseGroup(GroupHead& head);
  uint64_t TrimGroup(GroupIndex group);
  [[nodiscard]] std::mutex& LockOf(GroupIndex group) { return locks_[group.value % kLockStripes]; }

  const Mapping& mapping_;
  const Geometry& geometry_;
  const PageArrayPlacement placement_;
  const uint64_t dram_budget_bytes_;
  uint64_t epoch_ = 0;
  void* reservation_ = nullptr;   // what mmap gave
  uint64_t reservation_bytes_ = 0;
  std::byte* memory_ = nullptr;   // in it, aligned: the first group's array in memory
  // Where each group's array is, or null. In one load, because each Get() asks.
  uint64_t group_count_ = 0;
  std::unique_ptr<std::atomic<PageDescriptor*>[]> arrays_;
  std::atomic<uint64_t> initialised_groups_{0};
  std::atomic<uint64_t> populated_bytes_{0};

  // Initialisation of groups and layers, one stripe a group; held for some microseconds, nothing is
  // locked under it.
  std::array<std::mutex, kLockStripes> locks_;
};

}  // namespace ingot
