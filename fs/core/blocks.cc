// SPDX-License-Identifier: BSD-3-Clause
// Validation of inodes and metadata blocks on DRAM copies. Touches media by guarded copies only.
#include "fs/core/blocks.h"

#include <sys/stat.h>

#include <array>
#include <cstring>

#include "fs/core/allocator.h"
#include "pmemdev/base/checksum.h"

namespace ingot {
namespace {

constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint8_t kMaxTreeHeight = 8;  // 254^8 records are more than any pool has pages

tl::unexpected<Error> Damaged(InodeNumber inode, const char* what) {
  return Failure(EUCLEAN, fmt::format("inode {}: {}", inode.value, what));
}

// The forms that a body of this type may have, and how much of the tail they may use.
bool IsBodyPlausible(const media::Inode& inode) {
  if (inode.xattr_bytes % 8 != 0) return false;
  const uint32_t used = inode.body_bytes + uint32_t{inode.xattr_bytes};
  if (used > media::kInodeTailSize || inode.tree_height > kMaxTreeHeight) return false;
  const bool file_like = S_ISREG(inode.mode) || S_ISLNK(inode.mode);
  switch (inode.body_form) {
    case media::BodyForm::kEmpty:
      return inode.body_bytes == 0 && inode.tree_height == 0;
    case media::BodyForm::kInline:
      return file_like && inode.tree_height == 0 && inode.body_bytes == inode.size_bytes;
    case media::BodyForm::kTree:
      return (file_like || S_ISDIR(inode.mode)) && inode.body_bytes != 0 &&
             inode.body_bytes % media::kRecordSize == 0;
    case media::BodyForm::kBacked: {
      const bool has_leftovers = inode.body_bytes != 0;
      const bool may_have = (inode.flags & media::kInodeOrphan) != 0;
      return S_ISREG(inode.mode) && inode.backing_file != 0 && inode.size_bytes == 0 &&
             (has_leftovers ? may_have && inode.body_bytes % media::kRecordSize == 0
                            : inode.tree_height == 0);
    }
  }
  return false;
}

}  // namespace

bool IsKnownType(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFBLK:
    case S_IFCHR:
      return true;
    default:
      return false;
  }
}

uint32_t MagicOf(BlockKind kind) {
  switch (kind) {
    case BlockKind::kTreeNode:
      return media::kTreeNodeMagic;
    case BlockKind::kDirectoryLeaf:
      return media::kDirectoryLeafMagic;
    case BlockKind::kXattrHead:
      return media::kXattrMagic;
    case BlockKind::kLedger:
      return media::kLedgerMagic;
  }
  return 0;
}

void SealInode(media::Inode& inode) {
  inode.checksum = BlockChecksum(BytesOf(inode), offsetof(media::Inode, checksum), inode.number);
}

void SealBlock(LogicalPage page, std::span<std::byte> block) {
  const uint32_t crc = BlockChecksum(block, offsetof(media::BlockHeader, checksum), page.value);
  std::memcpy(block.data() + offsetof(media::BlockHeader, checksum), &crc, sizeof(crc));
}

Result<media::Inode> BlockReader::ReadInodeUnchecked(InodeNumber inode) const {
  if (inode.value == 0 || !device_.geometry().Contains(PageOf(inode))) return Failure(ESTALE);
  media::Inode copy;
  TRY(device_.Read(AddressOf(inode), WritableBytesOf(copy)));
  return copy;
}

Result<media::Inode> BlockReader::ReadInode(InodeNumber inode) const {
  return ReadInodePart(inode, sizeof(media::Inode), IsInodeKnown(inode));
}

Result<media::Inode> BlockReader::ReadInodeHead(InodeNumber inode) const {
  return ReadInodePart(inode, offsetof(media::Inode, tail), IsInodeKnown(inode));
}

Result<media::Inode> BlockReader::ReadInodeAnew(InodeNumber inode) const {
  return ReadInodePart(inode, sizeof(media::Inode), false);
}

Result<media::Inode> BlockReader::ReadInodePart(InodeNumber inode, size_t size_bytes,
                                                bool is_known) const {
  if (inode.value == 0 || !device_.geometry().Contains(PageOf(inode))) return Failure(ESTALE);
  // Made in its place, and zero behind what is read: a copy more would cost as much as the medium.
  Result<media::Inode> copy(tl::in_place);
  const std::span<std::byte> bytes = WritableBytesOf(*copy);
  TRY(device_.Read(AddressOf(inode), is_known ? bytes.first(size_bytes) : bytes));
  if (copy->magic == 0) return Failure(ESTALE);
  if (is_known) {
    TRY(ValidateFields(inode, *copy));
  } else {
    TRY(ValidateInode(inode, *copy));
    RememberInode(inode);
  }
  return copy;
}

bool BlockReader::IsInodeKnown(InodeNumber inode) const {
  if (inode_pages_ == nullptr || !device_.geometry().Contains(PageOf(inode))) return false;
  const PageDescriptor* descriptor = device_.page_array().Peek(PageOf(inode));
  return descriptor != nullptr && IsInodeVerified(*descriptor, SlotOf(inode));
}

// Bytes that a stale number leads to may look like an inode, but nobody keeps them true: only slots
// of a page that holds inodes are marked. What takes a page's inodes away needs the lock that the
// caller holds.
void BlockReader::RememberInode(InodeNumber inode) const {
  if (inode_pages_ == nullptr) return;
  PageDescriptor& descriptor = device_.page_array().Get(PageOf(inode));
  if (IsInodeVerified(descriptor, SlotOf(inode)) || device_.IsBad(PageOf(inode))) return;
  const Result<bool> holds_inodes = inode_pages_->IsInodePage(PageOf(inode));
  if (holds_inodes && *holds_inodes) MarkInodeVerified(descriptor, SlotOf(inode));
}

Result<void> BlockReader::ValidateInode(InodeNumber inode, const media::Inode& copy) {
  if (copy.magic != media::kInodeMagic) return Damaged(inode, "magic");
  const uint32_t crc = BlockChecksum(BytesOf(copy), offsetof(media::Inode, checksum), inode.value);
  if (copy.checksum != crc) return Damaged(inode, "checksum");
  return ValidateFields(inode, copy);
}

Result<void> BlockReader::ValidateFields(InodeNumber inode, const media::Inode& copy) {
  if (copy.magic != media::kInodeMagic) return Damaged(inode, "magic");
  if (copy.number != inode.value) return Damaged(inode, "number");
  if (!IsKnownType(copy.mode)) return Damaged(inode, "type");
  if ((copy.generation == 0) != (inode.value == media::kRootInode)) {
    return Damaged(inode, "generation");
  }
  if (copy.links > media::kMaxLinks) return Damaged(inode, "links");
  if (copy.size_bytes > media::kMaxFileSize) return Damaged(inode, "size");
  if (copy.atime_nanoseconds >= kNanosecondsPerSecond ||
      copy.mtime_nanoseconds >= kNanosecondsPerSecond ||
      copy.ctime_nanoseconds >= kNanosecondsPerSecond ||
      copy.birth_nanoseconds >= kNanosecondsPerSecond) {
    return Damaged(inode, "time");
  }
  if (!IsBodyPlausible(copy)) return Damaged(inode, "body");
  return {};
}

Result<void> BlockReader::ValidateBlock(LogicalPage page, const BlockIdentity& identity,
                                        std::span<const std::byte> copy) const {
  media::BlockHeader header;
  std::memcpy(&header, copy.data(), sizeof(header));
  const char* wrong = nullptr;
  if (header.magic != MagicOf(identity.kind)) {
    wrong = "magic";
  } else if (header.page != page.value) {
    wrong = "place";
  } else if (header.checksum !=
             BlockChecksum(copy, offsetof(media::BlockHeader, checksum), page.value)) {
    wrong = "checksum";
  } else if (header.owner != identity.owner.value ||
             header.owner_generation != identity.owner_generation) {
    wrong = "owner";
  }
  if (wrong == nullptr) return {};
  return Failure(EUCLEAN, fmt::format("inode {}: block at page {}: {}", identity.owner.value,
                                      page.value, wrong));
}

Result<void> BlockReader::Copy(LogicalPage page, const BlockIdentity& identity,
                               std::span<std::byte> to) const {
  if (!device_.geometry().Contains(page)) {
    return Failure(EUCLEAN, fmt::format("inode {}: block outside the pool at page {}",
                                        identity.owner.value, page.value));
  }
  TRY(device_.Read(OffsetOf(page), to));
  return ValidateBlock(page, identity, to);
}

Result<const std::byte*> BlockReader::Verified(LogicalPage page,
                                               const BlockIdentity& identity) const {
  if (!device_.geometry().Contains(page)) {
    return Failure(EUCLEAN, fmt::format("inode {}: block outside the pool at page {}",
                                        identity.owner.value, page.value));
  }
  __builtin_prefetch(device_.Pointer(OffsetOf(page)));  // while the descriptor is looked at
  PageDescriptor& descriptor = device_.page_array().Get(page);
  // The owner is part of what was verified: a pointer from another inode must not inherit it.
  const bool known = IsVerified(descriptor) &&
                     descriptor.owner.load(std::memory_order_relaxed) == identity.owner.value;
  if (!known) {
    alignas(kCacheLineSize) std::array<std::byte, kPageSize> copy;
    TRY(Copy(page, identity, copy));
    descriptor.owner.store(identity.owner.value, std::memory_order_relaxed);
    descriptor.state.store(PageState::kMetadata, std::memory_order_relaxed);
    if (!device_.IsBad(page)) descriptor.flags.fetch_or(kPageVerified, std::memory_order_release);
  }
  return device_.Pointer(OffsetOf(page));
}

}  // namespace ingot
