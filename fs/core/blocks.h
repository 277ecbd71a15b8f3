// SPDX-License-Identifier: BSD-3-Clause
// Reading metadata: inodes (copied) and 4 KiB blocks (in place), validated once per mount.
//
// A checksum is verified on a guarded DRAM copy when this mount first meets the block or inode; the
// page array then remembers so (kPageVerified, IsInodeVerified). Blocks are searched in place: code
// that parses there must stay memory-safe for any content (bounded counts, bounded offsets) and
// runs inside Device::ReadInPlace. Inodes are copied, and the ranges of their fields checked, at
// each reading; before a change their checksum, too, so that damage is never sealed in. Callers
// hold the owner's inode lock, shared or exclusive. Nothing here writes media.
#pragma once

#include <cstdint>

#include "fs/format.h"
#include "pmemdev/base/check.h"
#include "pmemdev/device.h"

namespace ingot {

class Allocator;

enum class BlockKind : uint8_t { kTreeNode, kDirectoryLeaf, kXattrHead, kLedger };

// What a block must be to be believed.
struct BlockIdentity {
  BlockKind kind;
  InodeNumber owner;
  uint32_t owner_generation;
};

// Regular file, directory, symlink, fifo, socket or device.
[[nodiscard]] bool IsKnownType(uint32_t mode);
[[nodiscard]] uint32_t MagicOf(BlockKind kind);
[[nodiscard]] constexpr LogicalOffset AddressOf(InodeNumber inode) {
  return LogicalOffset(inode.value * media::kInodeSize);
}
[[nodiscard]] constexpr LogicalPage PageOf(InodeNumber inode) {
  return LogicalPage(inode.value / media::kInodesPerPage);
}
[[nodiscard]] constexpr uint32_t SlotOf(InodeNumber inode) {
  return static_cast<uint32_t>(inode.value % media::kInodesPerPage);
}

class BlockReader {
 public:
  // Without `inode_pages`, which says what pages hold inodes, no inode is remembered.
  explicit BlockReader(Device& device, const Allocator* inode_pages = nullptr)
      : device_(device), inode_pages_(inode_pages) {}

  // A validated copy. ESTALE: the slot is free or `inode` can't be an inode; EUCLEAN: checksum,
  // number or a field's range is wrong; EIO: poisoned.
  Result<media::Inode> ReadInode(InodeNumber inode) const;
  // The same for whoever needs nothing of the tail, which is zeros: less to fetch from the medium.
  Result<media::Inode> ReadInodeHead(InodeNumber inode) const;
  // The same with its validation done anew: for changes.
  Result<media::Inode> ReadInodeAnew(InodeNumber inode) const;
  // Lets the processor fetch the inode's head meanwhile. Any number that is in the pool.
  void PrefetchInode(InodeNumber inode) const {
    const std::byte* at = device_.Pointer(AddressOf(inode));
    for (size_t line = 0; line < offsetof(media::Inode, tail); line += kCacheLineSize) {
      __builtin_prefetch(at + line);
    }
  }
  // Bytes of the slot without any verdict; for fsck and dump.
  Result<media::Inode> ReadInodeUnchecked(InodeNumber inode) const;

  // The block in place, after its header and checksum were validated in this mount. EUCLEAN, EIO.
  Result<const std::byte*> Verified(LogicalPage page, const BlockIdentity& identity) const;
  // A copy of the block with its validation done anew; for fsck. EUCLEAN, EIO.
  Result<void> Copy(LogicalPage page, const BlockIdentity& identity, std::span<std::byte> to) const;

  // Is the content plausible: ranges of fields that other code relies on. EUCLEAN with the reason.
  static Result<void> ValidateInode(InodeNumber inode, const media::Inode& copy);
  Result<void> ValidateBlock(LogicalPage page, const BlockIdentity& identity,
                             std::span<const std::byte> copy) const;

  [[nodiscard]] Device& device() const { return device_; }

 private:
  // Known: only the first `size_bytes`, without a look at the checksum.
  Result<media::Inode> ReadInodePart(InodeNumber inode, size_t size_bytes, bool is_known) const;
  [[nodiscard]] bool IsInodeKnown(InodeNumber inode) const;
  void RememberInode(InodeNumber inode) const;
  static Result<void> ValidateFields(InodeNumber inode, const media::Inode& copy);

  Device& device_;
  const Allocator* inode_pages_;
};

void SealInode(media::Inode& inode);
void SealBlock(LogicalPage page, std::span<std::byte> block);

}  // namespace ingot
