// SPDX-License-Identifier: BSD-3-Clause
// The search for a free slot, and reference counts. Volatile, but for what it asks its transaction
// to do.
#include "fs/core/inode_table.h"

#include <sys/random.h>

#include <array>
#include <vector>

#include "fs/core/test_hooks.h"
#include "pmemdev/base/check.h"

namespace ingot {
namespace {

// Inode pages looked at in one group before a new one is made: bounds the cost of a create where
// many pages have been filled and few slots freed.
constexpr uint32_t kProbesPerGroup = 8;
// How many new pages are tried before giving up because others hold their stripes.
constexpr int kNewPageAttempts = 64;

// Random and nonzero: a stale handle must not fit the next file in its slot.
uint32_t NewGeneration() {
#ifdef INGOT_TEST_HOOKS
  if (uint32_t (*generation)() = test_hooks::generation.load()) return generation();
#endif
  // Many at a time: a system call costs a fifth of what a create may.
  thread_local std::array<uint32_t, 64> values;
  thread_local size_t left = 0;
  for (;;) {
    if (left == 0) {
      if (getrandom(values.data(), sizeof(values), 0) != sizeof(values)) continue;
      left = values.size();
    }
    const uint32_t value = values[--left];
    if (value != 0) return value;
  }
}

constexpr InodeNumber FirstInodeOf(LogicalPage page) {
  return InodeNumber(page.value * media::kInodesPerPage);
}

// The word that makes each of the page's inodes valid.
Result<std::array<uint64_t, media::kInodesPerPage>> ValidityWords(const Device& device,
                                                                  LogicalPage page) {
  std::array<uint64_t, media::kInodesPerPage> words{};
  const std::byte* base = device.Pointer(OffsetOf(page));
  TRY(device.ReadInPlace([&] {
    for (size_t slot = 0; slot < words.size(); ++slot) {
      std::memcpy(&words[slot], base + slot * media::kInodeSize, sizeof(uint64_t));
    }
  }));
  return words;
}

// The descriptor of an inode page, said to be one, for only then does PageArray::Trim() keep its
// counts. Pages that were inode pages before this mount, and each group's first, are met here
// first.
PageDescriptor& InodePageDescriptor(Device& device, LogicalPage page) {
  PageDescriptor& descriptor = device.page_array().Get(page);
  if (descriptor.state.load(std::memory_order_relaxed) != PageState::kInodePage) {
    descriptor.state.store(PageState::kInodePage, std::memory_order_relaxed);
  }
  return descriptor;
}

bool HasReferences(const PageDescriptor& descriptor, uint32_t slot) {
  return descriptor.references.lookups[slot].load(std::memory_order_acquire) != 0 ||
         descriptor.references.opens[slot].load(std::memory_order_acquire) != 0;
}

}  // namespace

Result<media::Inode*> InodeTable::Allocate(Transaction& transaction, ExclusiveInodeLocks& held,
                                           InodeNumber near) {
  const InodeNumber inode = TRY(FindSlot(transaction, held, near));
  media::Inode* fresh = TRY(transaction.NewInode(inode));
  fresh->generation = NewGeneration();
  return fresh;
}

Result<InodeNumber> InodeTable::FindSlot(Transaction& transaction, ExclusiveInodeLocks& held,
                                         InodeNumber near) {
  const GroupIndex home = GroupOf(PageOf(near));
  InodeNumber inode = TRY(ProbeGroup(home, kProbesPerGroup, transaction, held));
  if (inode.value != 0) return inode;
  // A full group's inodes go on where the last new page was found: a page has seven more slots.
  const GroupIndex last(last_new_group_.load(std::memory_order_relaxed));
  if (last != home) {
    inode = TRY(ProbeGroup(last, kProbesPerGroup, transaction, held));
    if (inode.value != 0) return inode;
  }
  Result<InodeNumber> on_new_page = SlotOnNewPage(home, transaction, held);
  if (on_new_page || on_new_page.error().code != ENOSPC) return on_new_page;
  // No page is left: whatever slot there is anywhere.
  const uint64_t groups = allocator_.device().geometry().group_count();
  for (uint64_t i = 0; i < groups; ++i) {
    const GroupIndex group((home.value + i) % groups);
    inode = TRY(ProbeGroup(group, kPagesPerGroup, transaction, held));
    if (inode.value != 0) return inode;
  }
  return Failure(ENOSPC);
}

Result<InodeNumber> InodeTable::ProbeGroup(GroupIndex group, uint32_t probes,
                                           const Transaction& transaction,
                                           ExclusiveInodeLocks& held) {
  if (allocator_.IsDamaged(group) || allocator_.FreeInodeSlots(group) == 0) return InodeNumber(0);
  const uint32_t pages = allocator_.device().geometry().PagesIn(group);
  std::atomic<uint16_t>& cursor = allocator_.InodeCursor(group);
  const uint32_t start = cursor.load(std::memory_order_relaxed);
  uint32_t from = start;
  bool wrapped = false;
  // A damaged bitmap takes its group out of the search; it must not stop the others.
  const auto next_page = [&](uint32_t at) {
    const Result<uint32_t> next = allocator_.NextInodePage(group, at);
    return next ? *next : pages;
  };
  for (uint32_t probe = 0; probe < probes; ++probe) {
    uint32_t index = next_page(from);
    if (index >= pages && !wrapped) {
      wrapped = true;
      index = next_page(0);
    }
    if (index >= pages || (wrapped && index > start)) break;
    const InodeNumber inode = TRY(FreeSlotIn(FirstPageOf(group) + index, transaction, held));
    cursor.store(static_cast<uint16_t>(index), std::memory_order_relaxed);
    if (inode.value != 0) return inode;
    from = index + 1;
  }
  return InodeNumber(0);
}

Result<InodeNumber> InodeTable::FreeSlotIn(LogicalPage page, const Transaction& transaction,
                                           ExclusiveInodeLocks& held) {
  // A whiteout may be made by the transaction that frees the page's last inode.
  if (transaction.RemovesInodePage(page)) return InodeNumber(0);
  const InodeNumber first = FirstInodeOf(page);
  const size_t held_before = held.size();
  if (!held.TryAdd(first)) return InodeNumber(0);
  // The page may have ceased to be an inode page before its stripe was ours.
  const bool fresh = allocator_.IsUninitialised(GroupOf(page));
  const bool still_inodes = fresh || TRY(allocator_.IsInodePage(page));
  if (still_inodes) {
    std::array<uint64_t, media::kInodesPerPage> valid{};
    if (!fresh) valid = TRY(ValidityWords(allocator_.device(), page));
    const PageDescriptor& descriptor = allocator_.device().page_array().Get(page);
    for (uint32_t slot = 0; slot < media::kInodesPerPage; ++slot) {
      const InodeNumber inode = first + slot;
      if (inode.value == 0 || valid[slot] != 0 || HasReferences(descriptor, slot) ||
          transaction.MakesInode(inode)) {
        continue;
      }
      return inode;
    }
  }
  if (held.size() != held_before) held.DropLast(first);
  return InodeNumber(0);
}

Result<InodeNumber> InodeTable::SlotOnNewPage(GroupIndex group, Transaction& transaction,
                                              ExclusiveInodeLocks& held) {
  // Pages whose stripe is held by somebody stay claimed until another is found, so that each
  // attempt gets a different one. Waiting for the stripe could deadlock.
  std::vector<Claim> refused;
  for (int attempt = 0; attempt < kNewPageAttempts; ++attempt) {
    Claim claim =
        TRY(allocator_.Take({.goal = FirstPageOf(group), .purpose = ClaimPurpose::kInodePage}));
    const LogicalPage page = claim.first();
    const InodeNumber inode = FirstInodeOf(page);
    if (!held.TryAdd(inode)) {
      refused.push_back(std::move(claim));
      continue;
    }
    // Nobody else can see the page yet; its descriptor may hold another kind's leftovers.
    ResetDescriptor(allocator_.device().page_array().Get(page), PageState::kInodePage);
    TRY(transaction.AddInodePage(std::move(claim)));
    last_new_group_.store(GroupOf(page).value, std::memory_order_relaxed);
    allocator_.InodeCursor(GroupOf(page))
        .store(static_cast<uint16_t>(IndexInGroup(page)), std::memory_order_relaxed);
    return inode;
  }
  return Failure(ENOSPC, "inode pages: all stripes are held");
}

Result<void> InodeTable::Free(Transaction& transaction, InodeNumber inode) {
  TRY(transaction.FreeInode(inode));
  const LogicalPage page = PageOf(inode);
  if (IndexInGroup(page) == media::kFirstInodePage || transaction.MakesInodeIn(page)) return {};
  const auto valid = TRY(ValidityWords(allocator_.device(), page));
  const PageDescriptor& descriptor = allocator_.device().page_array().Get(page);
  for (uint32_t slot = 0; slot < media::kInodesPerPage; ++slot) {
    if (slot == SlotOf(inode)) continue;
    if (valid[slot] != 0 || HasReferences(descriptor, slot)) return {};
  }
  return transaction.RemoveInodePage(page);
}

Result<void> InodeTable::CheckNumber(InodeNumber inode) const {
  if (inode.value == 0) return Failure(ESTALE);
  // A marked slot is one of an inode page: no need for its group's lock.
  if (allocator_.device().geometry().Contains(PageOf(inode))) {
    const PageDescriptor* descriptor = allocator_.device().page_array().Peek(PageOf(inode));
    if (descriptor != nullptr && IsInodeVerified(*descriptor, SlotOf(inode))) return {};
  }
  const Result<bool> known = allocator_.IsInodePage(PageOf(inode));
  if (!known) return tl::unexpected<Error>(known.error());
  return *known ? Result<void>() : Result<void>(Failure(ESTALE));
}

void InodeTable::AddLookup(InodeNumber inode) {
  AddLookups(InodePageDescriptor(allocator_.device(), PageOf(inode)), SlotOf(inode), 1);
}

uint32_t InodeTable::Forget(InodeNumber inode, uint64_t count) {
  return ForgetLookups(allocator_.device().page_array().Get(PageOf(inode)), SlotOf(inode), count);
}

void InodeTable::AddOpen(InodeNumber inode) {
  ingot::AddOpen(InodePageDescriptor(allocator_.device(), PageOf(inode)), SlotOf(inode));
}

uint32_t InodeTable::RemoveOpen(InodeNumber inode) {
  return ingot::RemoveOpen(allocator_.device().page_array().Get(PageOf(inode)), SlotOf(inode));
}

bool InodeTable::IsReferenced(InodeNumber inode) const {
  return HasReferences(allocator_.device().page_array().Get(PageOf(inode)), SlotOf(inode));
}

uint32_t InodeTable::Opens(InodeNumber inode) const {
  return allocator_.device()
      .page_array()
      .Get(PageOf(inode))
      .references.opens[SlotOf(inode)]
      .load(std::memory_order_acquire);
}

}  // namespace ingot
