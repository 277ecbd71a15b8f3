// SPDX-License-Identifier: BSD-3-Clause
// The stores of a repair: each call is one journalled, crash-safe change, durable on return.
//
// Sees no locks and no allocator: nobody else uses the pool. Unreadable targets are written over,
// whole pages at a time, before they are stored to: that is what makes bad memory good again.
// Borrows the device; not thread-safe.
#pragma once

#include <span>

#include "fs/core/blocks.h"
#include "pmemdev/device.h"

namespace ingot::check {

class RepairWriter {
 public:
  explicit RepairWriter(Device& device) : device_(device) {}

  // Seals and stores. The inode's place is its number.
  Result<void> WriteInode(media::Inode& inode);
  // Makes the slot free.
  Result<void> ClearInode(InodeNumber inode);
  Result<void> WriteBlock(LogicalPage page, std::span<std::byte> block);
  // A page of zeros, unlogged: for what could not be read. A crash leaves it unreadable or zero.
  Result<void> ZeroPage(LogicalPage page);

  struct Piece {
    MediaOffset at;  // multiple of 8
    std::span<const std::byte> bytes;
  };
  // All pieces, or none, after a crash. At most about 56 KiB.
  Result<void> Store(std::span<const Piece> pieces);

  [[nodiscard]] uint64_t stores() const { return stores_; }

 private:
  Result<void> Zero(MediaOffset at, uint64_t size_bytes);

  Device& device_;
  uint64_t stores_ = 0;
};

}  // namespace ingot::check
