// SPDX-License-Identifier: BSD-3-Clause
// Collecting edits. What Commit does with them is in transaction_commit.cc. DRAM only.
#include "fs/core/transaction.h"

#include <algorithm>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

// A block logged whole: one run's header and 512 words. Fewer changed words never need more.
constexpr uint64_t kBlockLogBytes = kWordSize + kPageSize;
constexpr uint64_t kInodeLogBytes = kWordSize + media::kInodeSize;
constexpr uint64_t kEntryLogBytes = kWordSize + sizeof(media::GroupEntry);

uint64_t RunLogBytes(const GroupChange::Run& run) {
  return kWordSize + (run.count / 64 + 2) * kWordSize;
}

}  // namespace

Transaction::Transaction(Allocator& allocator, BlockReader& reader)
    : allocator_(allocator),
      reader_(reader),
      device_(reader.device()),
      stream_(device_.persist().NewStream()),
      lane_(device_.journal().Lease()) {}

Transaction::~Transaction() = default;

Transaction::InodeEdit* Transaction::FindInode(InodeNumber inode) {
  for (InodeEdit* edit : inodes_) {
    if (edit->number == inode) return edit;
  }
  return nullptr;
}

Transaction::BlockEdit* Transaction::FindBlock(LogicalPage page) {
  for (BlockEdit* edit : blocks_) {
    if (edit->page == page) return edit;
  }
  return nullptr;
}

Result<media::Inode*> Transaction::EditInode(InodeNumber inode) {
  if (InodeEdit* known = FindInode(inode)) return &known->after;
  const Result<media::Inode> before = reader_.ReadInodeAnew(inode);
  if (!before) return tl::unexpected<Error>(before.error());
  InodeEdit* edit = inodes_.Make();
  edit->number = inode;
  edit->before = *before;
  edit->after = *before;
  return &inodes_.Add()->after;
}

Result<media::Inode*> Transaction::NewInode(InodeNumber inode) {
  CHECK(FindInode(inode) == nullptr, "inode {}", inode.value);
  GroupChange* change = TRY(ChangeOf(GroupOf(PageOf(inode))));
  change->free_inode_slots -= 1;
  InodeEdit* edit = inodes_.Make();
  edit->number = inode;
  edit->fresh = true;
  edit->before = edit->after = media::Inode{};
  edit->after.magic = media::kInodeMagic;
  edit->after.number = inode.value;
  return &inodes_.Add()->after;
}

Result<void> Transaction::FreeInode(InodeNumber inode) {
  TRY(EditInode(inode));
  GroupChange* change = TRY(ChangeOf(GroupOf(PageOf(inode))));
  change->free_inode_slots += 1;
  FindInode(inode)->freed = true;
  return {};
}

bool Transaction::MakesInodeIn(LogicalPage page) const {
  return std::any_of(inodes_.begin(), inodes_.end(), [page](const InodeEdit* edit) {
    return edit->fresh && PageOf(edit->number) == page;
  });
}

bool Transaction::MakesInode(InodeNumber inode) const {
  return std::any_of(inodes_.begin(), inodes_.end(),
                     [&](const InodeEdit* edit) { return edit->fresh && edit->number == inode; });
}

Result<std::byte*> Transaction::EditBlock(LogicalPage page, const BlockIdentity& identity) {
  if (BlockEdit* known = FindBlock(page)) return known->after.data();
  const std::byte* verified = TRY(reader_.Verified(page, identity));
  BlockEdit* edit = blocks_.Make();
  TRY(device_.ReadInPlace([&] { std::memcpy(edit->after.data(), verified, kPageSize); }));
  edit->page = page;
  edit->identity = identity;
  return blocks_.Add()->after.data();
}

std::byte* Transaction::NewBlock(LogicalPage page, const BlockIdentity& identity, uint16_t level) {
  CHECK(FindBlock(page) == nullptr, "page {}", page.value);
  BlockEdit* edit = blocks_.Make();
  edit->page = page;
  edit->identity = identity;
  edit->fresh = true;
  edit->after.fill(std::byte{0});
  const media::BlockHeader header{.magic = MagicOf(identity.kind),
                                  .checksum = 0,
                                  .page = page.value,
                                  .owner = identity.owner.value,
                                  .owner_generation = identity.owner_generation,
                                  .level = level,
                                  .count = 0};
  std::memcpy(edit->after.data(), &header, sizeof(header));
  return blocks_.Add()->after.data();
}

void Transaction::ListBackingFile(BackingLedger& ledger, uint64_t number,
                                  BackingLedger::Places place) {
  ledger_ = &ledger;
  ledger_change_.list.push_back(number);
  places_.push_back(std::move(place));
}

void Transaction::UnlistBackingFile(BackingLedger& ledger, uint64_t number) {
  ledger_ = &ledger;
  ledger_change_.unlist.push_back(number);
}

void Transaction::HandOutBackingFiles(BackingLedger& ledger, uint64_t first, uint32_t count,
                                      BackingLedger::Places places) {
  ledger_ = &ledger;
  ledger_change_.hand_out_from = first;
  ledger_change_.hand_out = count;
  places_.push_back(std::move(places));
}

Result<const std::byte*> Transaction::ViewBlock(LogicalPage page, const BlockIdentity& identity) {
  if (const BlockEdit* known = FindBlock(page)) return known->after.data();
  return reader_.Verified(page, identity);
}

Result<void> Transaction::LogData(LogicalOffset at, std::span<const std::byte> bytes) {
  std::array<uint64_t, kPageSize / kWordSize> words;
  while (!bytes.empty()) {
    const uint64_t head = at.value % kWordSize;
    const uint64_t count = std::min<uint64_t>(bytes.size(), sizeof(words) - head);
    const std::span used(words.data(), (head + count + kWordSize - 1) / kWordSize);
    // Both ends may share their words with bytes that stay.
    const uint64_t tail = (head + count) % kWordSize;
    if (head != 0) {
      TRY(device_.Read(at - head, std::as_writable_bytes(used.first(1))));
    }
    if (tail != 0) {
      TRY(device_.Read(at + count - tail, std::as_writable_bytes(used.last(1))));
    }
    std::memcpy(std::as_writable_bytes(used).data() + head, bytes.data(), count);
    TRY(lane_.Log(Geometry::ToMedia(at - head), used));
    data_log_bytes_ += kWordSize + used.size_bytes();
    at += count;
    bytes = bytes.subspan(count);
  }
  return {};
}

Result<GroupChange*> Transaction::ChangeOf(GroupIndex group) {
  for (GroupChange& change : changes_) {
    if (change.group == group) return &change;
  }
  if (changes_.size() == Allocator::kMaxGroupsPerTransaction) {
    return Failure(EOVERFLOW, "transaction: groups");
  }
  changes_.emplace_back().group = group;
  return &changes_.back();
}

Result<void> Transaction::Allocate(Claim claim, InodeNumber owner, ClaimPurpose purpose,
                                   FilePage at) {
  GroupChange* change = TRY(ChangeOf(GroupOf(claim.first())));
  change->allocate.push_back({IndexInGroup(claim.first()), claim.count()});
  allocations_.push_back({std::move(claim), owner, purpose, at});
  return {};
}

Result<void> Transaction::Free(LogicalPage first, uint32_t pages) {
  const bool inside = device_.geometry().Contains(first) && pages > 0 &&
                      pages <= kPagesPerGroup - IndexInGroup(first) &&
                      IndexInGroup(first) >= media::kReservedPagesPerGroup;
  if (!inside) {
    return Failure(EUCLEAN, fmt::format("freeing {} pages at page {}", pages, first.value));
  }
  GroupChange* change = TRY(ChangeOf(GroupOf(first)));
  change->release.push_back({IndexInGroup(first), pages});
  blocks_.RemoveIf(
      [&](const BlockEdit* edit) { return edit->page >= first && edit->page < first + pages; });
  return {};
}

Result<void> Transaction::AddInodePage(Claim claim) {
  CHECK(claim.count() == 1, "{} pages", claim.count());
  const LogicalPage page = claim.first();
  GroupChange* change = TRY(ChangeOf(GroupOf(page)));
  TRY(Allocate(std::move(claim), InodeNumber(0), ClaimPurpose::kInodePage));
  change->inode_pages_added.push_back(IndexInGroup(page));
  change->free_inode_slots += static_cast<int32_t>(media::kInodesPerPage);
  new_inode_pages_.push_back(page);
  return {};
}

Result<void> Transaction::RemoveInodePage(LogicalPage page) {
  TRY(Free(page, 1));
  GroupChange* change = TRY(ChangeOf(GroupOf(page)));
  change->inode_pages_removed.push_back(IndexInGroup(page));
  change->free_inode_slots -= static_cast<int32_t>(media::kInodesPerPage);
  return {};
}

bool Transaction::RemovesInodePage(LogicalPage page) const {
  return std::any_of(changes_.begin(), changes_.end(), [page](const GroupChange& change) {
    return change.group == GroupOf(page) &&
           std::find(change.inode_pages_removed.begin(), change.inode_pages_removed.end(),
                     IndexInGroup(page)) != change.inode_pages_removed.end();
  });
}

// Even if nothing changes: the inode's group takes its place among the few of a transaction.
Result<void> Transaction::MarkToRecover(media::Inode& inode, uint32_t marks) {
  GroupChange* change = TRY(ChangeOf(GroupOf(PageOf(InodeNumber(inode.number)))));
  const bool was_counted = (inode.flags & media::kInodeToRecover) != 0;
  inode.flags |= marks & media::kInodeToRecover;
  if (!was_counted && (inode.flags & media::kInodeToRecover) != 0) ++change->orphans;
  return {};
}

Result<void> Transaction::UnmarkToRecover(media::Inode& inode, uint32_t marks) {
  GroupChange* change = TRY(ChangeOf(GroupOf(PageOf(InodeNumber(inode.number)))));
  const bool was_counted = (inode.flags & media::kInodeToRecover) != 0;
  inode.flags &= ~(marks & media::kInodeToRecover);
  if (was_counted && (inode.flags & media::kInodeToRecover) == 0) --change->orphans;
  return {};
}

uint64_t Transaction::LogBytesNeeded() const {
  uint64_t bytes = data_log_bytes_ + inodes_.size() * kInodeLogBytes;
  for (const BlockEdit* edit : blocks_) bytes += edit->fresh ? 0 : kBlockLogBytes;
  for (const GroupChange& change : changes_) {
    bytes += kEntryLogBytes;
    for (const GroupChange::Run& run : change.allocate) bytes += RunLogBytes(run);
    for (const GroupChange::Run& run : change.release) bytes += RunLogBytes(run);
    bytes += (change.inode_pages_added.size() + change.inode_pages_removed.size()) * 2 * kWordSize;
  }
  const uint64_t numbers = ledger_change_.list.size() + ledger_change_.unlist.size() +
                           ledger_change_.hand_out + 2;  // the block's checksum, next_number
  if (ledger_ != nullptr) bytes += numbers * 2 * kWordSize;
  return bytes;
}

bool Transaction::HasRoom() const {
  return LogBytesNeeded() + 3 * kBlockLogBytes <= kLogBudgetBytes &&
         changes_.size() + 2 <= Allocator::kMaxGroupsPerTransaction;
}

}  // namespace ingot
