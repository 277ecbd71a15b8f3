// SPDX-License-Identifier: BSD-3-Clause
// One change of a tree: the way down to a key, then insertion with splits, or removal with merges.
//
// Internal to Tree; lives for one call. Edits the copies of a transaction, which is dropped on
// error.
#pragma once

#include "fs/core/tree_node.h"

namespace ingot {

class TreeEditor {
 public:
  TreeEditor(BlockReader& reader, Allocator& allocator, Transaction& transaction,
             media::Inode& inode, bool from_reserve)
      : allocator_(allocator),
        transaction_(transaction),
        inode_(inode),
        source_(reader, &transaction, inode),
        from_reserve_(from_reserve) {}

  Result<void> Insert(media::Record record);
  Result<void> Update(uint64_t old_key, media::Record record);
  Result<void> Erase(uint64_t key);
  // The tail's records move into a node of their own; the tail keeps the one record that leads
  // there.
  Result<void> PushRootDown();

 private:
  // Fills path_ and range_ for `key`; returns the leaf-level records to edit.
  Result<RecordList> GoTo(uint64_t key);
  // The place of the record of `key`, which is in `list`. ENOENT.
  Result<uint32_t> IndexOf(const RecordList& list, uint64_t key) const;
  [[nodiscard]] uint32_t leaf_depth() const { return static_cast<uint32_t>(path_.size()) - 1; }
  // The records at a depth of the path (0: the tail). EUCLEAN: out of order.
  Result<RecordList> Edit(uint32_t depth);
  Result<RecordList> EditNode(LogicalPage page, uint32_t level);
  Result<RecordList> NewNode(uint32_t level, LogicalPage& page);

  Result<void> InsertAt(uint32_t depth, uint32_t index, media::Record record);
  // Splits the full node at `depth` and puts the record in; returns the record of the new right
  // half.
  Result<media::Record> Split(uint32_t depth, uint32_t index, media::Record record);
  Result<void> EraseAt(uint32_t depth, uint32_t index);
  // Merges the node at `depth` with a neighbour if both are sparse; returns the index of the record
  // to erase in the parent.
  Result<std::optional<uint32_t>> Merge(uint32_t depth, uint32_t count);
  // The records that lead to the neighbours of `depth`'s node, before and behind; 0: none.
  struct Neighbours {
    LogicalPage before, behind;
  };
  Result<Neighbours> NeighboursOf(uint32_t depth) const;
  Result<uint32_t> CountOf(LogicalPage page, uint32_t level) const;
  Result<void> PullRootUp();

  Allocator& allocator_;
  Transaction& transaction_;
  media::Inode& inode_;
  BlockSource source_;
  const bool from_reserve_;
  TreePath path_;
  KeyRange range_;
};

}  // namespace ingot
