// SPDX-License-Identifier: BSD-3-Clause
// B+tree of 16-byte records, its root inside the inode's tail: maps file pages to extents and entry
// keys to directory leaves.
//
// Keys are unique and sorted. The tail holds up to TailCapacity() records; with tree_height > 0
// they point at nodes of 254 records. Nodes are never shared and belong to the inode's lock. All
// changes go through a Transaction; after an error it must be dropped, for its copies may be half
// edited. Parsing in place is bounded whatever the bytes are: a damaged node is EUCLEAN. EIO:
// poisoned.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "fs/core/transaction.h"

namespace ingot {

// How many records fit the front of the tail beside the inode's inline xattrs.
[[nodiscard]] uint32_t TailCapacity(const media::Inode& inode);

class BlockSource;  // owned_block.h

class Tree {
 public:
  Tree(BlockReader& reader, Allocator& allocator) : reader_(reader), allocator_(allocator) {}

  // --- reading; the inode lock is held, shared suffices; `inode` is a validated copy
  // ------------------ The record with the greatest key <= `key`, if any.
  Result<std::optional<media::Record>> FindAtOrBefore(const media::Inode& inode,
                                                      uint64_t key) const;
  // The record with the least key >= `key`, if any.
  Result<std::optional<media::Record>> FindAtOrAfter(const media::Inode& inode, uint64_t key) const;
  // Up to `to.size()` consecutive records beginning with the greatest key <= `key` (or the first);
  // returns how many.
  Result<size_t> Read(const media::Inode& inode, uint64_t key, std::span<media::Record> to) const;
  // FindAtOrBefore, and how far the record certainly reaches: no other record's key is greater than
  // its own and less than `next_key`. UINT64_MAX: it is the last.
  struct Covering {
    media::Record record;
    uint64_t next_key;
  };
  Result<std::optional<Covering>> FindCovering(const BlockSource& source, uint64_t key) const;
  // The others for any source, for code that serves readers and transactions alike.
  Result<std::optional<media::Record>> FindAtOrAfter(const BlockSource& source, uint64_t key) const;
  Result<size_t> Read(const BlockSource& source, uint64_t key, std::span<media::Record> to) const;

  // --- changing; the inode lock is held exclusively; `inode` is the transaction's edited copy
  // -------- Reads as above, but see the transaction's own edits.
  Result<std::optional<media::Record>> FindAtOrBefore(Transaction& transaction,
                                                      const media::Inode& inode,
                                                      uint64_t key) const;
  Result<std::optional<media::Record>> FindAtOrAfter(Transaction& transaction,
                                                     const media::Inode& inode, uint64_t key) const;
  Result<size_t> Read(Transaction& transaction, const media::Inode& inode, uint64_t key,
                      std::span<media::Record> to) const;
  // EEXIST: the key is there. ENOSPC: no page for a node (`from_reserve` may dip into the reserve).
  // page_count of the inode follows the nodes made and freed.
  Result<void> Insert(Transaction& transaction, media::Inode& inode, media::Record record,
                      bool from_reserve);
  // Replaces the record of `old_key` (ENOENT if none); the new key may differ but keeps its place
  // in the order. May take a page from the reserve: a key that moves can belong into another node.
  Result<void> Update(Transaction& transaction, media::Inode& inode, uint64_t old_key,
                      media::Record record);
  // ENOENT if none. Nodes that become empty are freed, sparse ones merged; a root that fits the
  // tail well moves back there. Needs no page.
  Result<void> Erase(Transaction& transaction, media::Inode& inode, uint64_t key);
  // Makes room in the tail for `xattr_bytes` of inline attributes by moving records into a node.
  // ENOSPC: no page, or not even the root's one record would be left room.
  Result<void> ShrinkTail(Transaction& transaction, media::Inode& inode, uint32_t xattr_bytes);

 private:
  BlockReader& reader_;
  Allocator& allocator_;
};

}  // namespace ingot
