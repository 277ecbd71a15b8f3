// SPDX-License-Identifier: BSD-3-Clause
// Reading metadata: inodes (copied, validated every time) and 4 KiB blocks (validated once per
// mount).
//
// A block's checksum is verified on a guarded DRAM copy when this mount first meets it; the page
// array then remembers so (kPageVerified), and readers search it in place. Code that parses in
// place must stay memory-safe for any content (bounded counts, bounded offsets) and runs inside
// Device::ReadInPlace. Callers hold the owner's inode lock, shared or exclusive. Nothing here
// writes media.
#pragma once

#include <cstdint>

#include "fs/format.h"
#include "pmemdev/base/check.h"
#include "pmemdev/device.h"

namespace ingot {

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
  explicit BlockReader(Device& device) : device_(device) {}

  // A validated copy. ESTALE: the slot is free or `inode` can't be an inode; EUCLEAN: checksum,
  // number or a field's range is wrong; EIO: poisoned.
  Result<media::Inode> ReadInode(InodeNumber inode) const;
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
  Device& device_;
};

void SealInode(media::Inode& inode);
void SealBlock(LogicalPage page, std::span<std::byte> block);

}  // namespace ingot
