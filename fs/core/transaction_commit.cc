// SPDX-License-Identifier: BSD-3-Clause
// Commit: the order in which a transaction's parts reach the medium.
//
//   ledger and groups locked, their words logged | new blocks and data written, one fence | lane:
//   record, fence, words to their places, fence, invalidation, fence | volatile state follows |
//   groups and ledger unlocked
//
// A crash before the lane's first fence leaves nothing of it but unreferenced bytes in free pages
// (and overwritten data, where data was overwritten in place); after it, recovery completes it.
#include <algorithm>
#include <cstring>

#include "fs/core/log_changes.h"
#include "fs/core/transaction.h"
#include "pmemdev/base/check.h"

namespace ingot {

Result<void> Transaction::Commit() {
  // Groups that only a place was kept for need no lock.
  const auto is_empty = [](const GroupChange& change) { return change.empty(); };
  changes_.erase(std::remove_if(changes_.begin(), changes_.end(), is_empty), changes_.end());
  TRY(SealEdits());
  TRY(LogEdits());
  TRY(StageShared());
  // From here to Finish nothing may unwind: groups are locked, and soon the change is a fact. What
  // comes behind the commit point needs no heap (Lane::Commit; claims, counts and descriptors).
  Result<void> result = NoThrow([this] { return CommitStaged(); });
  // A lane that became valid counts as done even if applying it failed: the device is read-only
  // then, and the claims must not be given out again.
  const bool committed = result.has_value() || lane_.committed();
  if (committed) {
    for (Allocation& allocation : allocations_) {
      NoteAllocation(allocation);
      allocator_.Consume(std::move(allocation.claim));
    }
    if (result) {
      NoteDescriptors();
    } else {
      DistrustEdits();
    }
  }
  FinishShared(committed);
  return result;
}

// What isn't under the inodes' locks: the ledger, then groups.
Result<void> Transaction::StageShared() {
  if (ledger_ != nullptr) TRY(ledger_->Stage(ledger_change_, lane_));
  const Result<void> staged =
      NoThrow([this] { return allocator_.Stage(std::span(changes_), lane_, stream_); });
  if (!staged && ledger_ != nullptr) ledger_->Finish(ledger_change_, false);
  return staged;
}

void Transaction::FinishShared(bool committed) {
  allocator_.Finish(std::span(changes_), committed);
  if (ledger_ != nullptr) ledger_->Finish(ledger_change_, committed);
}

// Memory may show half of the words until the next recovery. Nobody is kept waiting for that:
// whoever reads these blocks looks at their checksums again, and finds them right or EUCLEAN.
void Transaction::DistrustEdits() {
  const auto distrust = [&](LogicalPage page) {
    device_.page_array().Get(page).flags.fetch_and(
        static_cast<uint8_t>(~(kPageVerified | kPageParsed)));
  };
  for (InodeEdit* edit : inodes_) {
    DistrustInode(device_.page_array().Get(PageOf(edit->number)), SlotOf(edit->number));
  }
  for (BlockEdit* edit : blocks_) distrust(edit->page);
  for (const GroupChange& change : changes_) {
    distrust(FirstPageOf(change.group) + media::kAllocatedBitmapPage);
    distrust(FirstPageOf(change.group) + media::kInodeBitmapPage);
  }
}

Result<void> Transaction::SealEdits() {
  for (InodeEdit* edit : inodes_) {
    if (edit->freed) {
      edit->after.magic = 0;
      edit->after.checksum = 0;
    } else if (edit->fresh || std::memcmp(&edit->before, &edit->after, sizeof(media::Inode)) != 0) {
      SealInode(edit->after);
    }
  }
  for (BlockEdit* edit : blocks_) {
    if (edit->fresh) {
      SealBlock(edit->page, edit->after);
      continue;
    }
    // The owner's lock is held since the copy was made: the medium shows what was before.
    const std::byte* before = device_.Pointer(OffsetOf(edit->page));
    TRY(device_.ReadInPlace([&] { edit->changed = CompareWords(before, edit->after); }));
    if (edit->changed.none()) continue;
    SealBlock(edit->page, edit->after);
    edit->changed.Set(offsetof(media::BlockHeader, checksum) / kWordSize);
  }
  return {};
}

Result<void> Transaction::CommitStaged() {
  TRY(WriteFresh());
  if (has_unfenced_) TRY(stream_.Fence());
  if (lane_.empty()) return {};
  return lane_.Commit(stream_);
}

// New blocks whole, new inodes but for their first word: that one, logged, makes them valid.
Result<void> Transaction::WriteFresh() {
  for (const LogicalPage page : new_inode_pages_) {
    TRY(stream().ZeroUnfenced(Geometry::ToMedia(page), kPageSize));
  }
  for (BlockEdit* edit : blocks_) {
    if (!edit->fresh) continue;
    TRY(stream().CopyUnfenced(Geometry::ToMedia(edit->page), edit->after));
  }
  for (InodeEdit* edit : inodes_) {
    if (!edit->fresh || edit->freed) continue;
    const MediaOffset at = Geometry::ToMedia(AddressOf(edit->number));
    TRY(stream().CopyUnfenced(at + kWordSize, BytesOf(edit->after).subspan(kWordSize)));
  }
  for (const GroupChange& change : changes_) {
    // Stage wrote the bitmaps of a group that is used for the first time.
    if (!change.fresh) continue;
    has_unfenced_ = true;
  }
  return {};
}

Result<void> Transaction::LogEdits() {
  for (InodeEdit* edit : inodes_) {
    const MediaOffset at = Geometry::ToMedia(AddressOf(edit->number));
    if (edit->fresh && edit->freed) continue;
    if (edit->fresh || edit->freed) {
      uint64_t word;
      std::memcpy(&word, &edit->after, sizeof(word));
      TRY(lane_.Log(at, std::span(&word, 1)));
    } else {
      TRY(LogChangedWords(lane_, at, BytesOf(edit->before), BytesOf(edit->after)));
    }
  }
  for (BlockEdit* edit : blocks_) {
    if (edit->fresh) continue;
    TRY(LogWords(lane_, Geometry::ToMedia(edit->page), edit->after, edit->changed));
  }
  return {};
}

void Transaction::NoteAllocation(const Allocation& allocation) {
  PageArray& array = device_.page_array();
  const LogicalPage first = allocation.claim.first();
  const uint32_t count = allocation.claim.count();
  const bool whole = count == kPagesPerHugePage && first.value % kPagesPerHugePage == 0;
  const PageState state = allocation.purpose == ClaimPurpose::kData        ? PageState::kData
                          : allocation.purpose == ClaimPurpose::kInodePage ? PageState::kInodePage
                                                                           : PageState::kMetadata;
  if (state == PageState::kInodePage) return;  // reset before its stripe was given to anybody
  for (uint32_t i = 0; i < (whole ? 1 : count); ++i) {
    PageDescriptor& descriptor = array.Get(first + i);
    ResetDescriptor(descriptor, state);
    descriptor.owner.store(allocation.owner.value, std::memory_order_relaxed);
    if (state == PageState::kData) {
      descriptor.page.file_page.store(allocation.at.value + i, std::memory_order_relaxed);
    }
    if (whole) descriptor.flags.fetch_or(kPageWholeHuge, std::memory_order_relaxed);
  }
}

// What was written here is known to be good: its next reader need not look at the checksum. A slot
// that is free is known to be nothing.
void Transaction::NoteDescriptors() {
  for (InodeEdit* edit : inodes_) {
    PageDescriptor& descriptor = device_.page_array().Get(PageOf(edit->number));
    if (edit->freed) {
      DistrustInode(descriptor, SlotOf(edit->number));
    } else if (edit->fresh) {
      MarkInodeVerified(descriptor, SlotOf(edit->number));
    }
  }
  for (BlockEdit* edit : blocks_) {
    PageDescriptor& descriptor = device_.page_array().Get(edit->page);
    descriptor.owner.store(edit->identity.owner.value, std::memory_order_relaxed);
    // Nearly always set already: a look is cheaper than a locked instruction.
    if ((descriptor.flags.load(std::memory_order_relaxed) & kPageVerified) != 0) continue;
    descriptor.flags.fetch_or(kPageVerified, std::memory_order_release);
  }
}

}  // namespace ingot
