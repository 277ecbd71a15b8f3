// SPDX-License-Identifier: BSD-3-Clause
// Parts of the tree that reading and changing share: the way down to a key, and a node's records.
//
// Internal to fs/core/tree*. Nodes are read in place; whatever their bytes say, reads stay inside
// them. What an inner record's key means: everything below lies in [key, next record's key), and
// the first record's key equals the key that leads to the node (0 at the left edge).
#pragma once

#include <span>
#include <string_view>

#include <absl/container/inlined_vector.h>

#include "fs/core/owned_block.h"
#include "fs/core/sorted_search.h"

namespace ingot {

// 21 * 254^8 records: no pool can hold them. Bounds the way down whatever the inode says.
inline constexpr uint32_t kMaxTreeHeight = 8;

[[nodiscard]] tl::unexpected<Error> DamagedNode(const media::Inode& inode, LogicalPage page,
                                                std::string_view what);

// The records in the tail; empty if the inode has no tree. EUCLEAN: impossible height or count.
Result<std::span<const media::Record>> TailRecords(const media::Inode& inode);

// Calls `leaf(std::span<const media::Record>)`, pure, with the records of the node inside
// Device::ReadInPlace. EUCLEAN: not a node of that level, or an impossible
// count.
template <typename Leaf>
Result<void> InspectNode(const BlockSource& source, LogicalPage page, uint32_t level, Leaf&& leaf) {
  const std::byte* bytes = TRY(source.View(page, BlockKind::kTreeNode));
  const auto* node = reinterpret_cast<const media::TreeNode*>(bytes);
  bool damaged = false;
  TRY(source.device().ReadInPlace([&] {
    const uint32_t count = node->header.count;
    damaged = node->header.magic != media::kTreeNodeMagic || node->header.level != level ||
              count == 0 || count > media::kNodeRecords;
    if (!damaged) leaf(std::span<const media::Record>(node->records.data(), count));
  }));
  if (damaged) [[unlikely]]
    return DamagedNode(source.inode(), page, "kind, level or count");
  return {};
}

// One node on the way down; the first step of a path is the tail, whose page means nothing.
struct TreeStep {
  LogicalPage page;
  uint32_t index = 0;  // of the record that was followed; 0 in the last step
};
using TreePath = absl::InlinedVector<TreeStep, 4>;

// Where the way down ended: the records (level 0) whose range holds the key.
struct LeafPlace {
  bool in_tail = true;
  LogicalPage page;
  KeyRange range;
};

// Goes down to `key`; fills `path` if not null.
Result<LeafPlace> Descend(const BlockSource& source, uint64_t key, TreePath* path);

// As InspectNode, for where Descend ended: a node of level 0 or the tail.
template <typename Leaf>
Result<void> InspectLeaf(const BlockSource& source, const LeafPlace& place, Leaf&& leaf) {
  if (!place.in_tail) return InspectNode(source, place.page, 0, std::forward<Leaf>(leaf));
  leaf(TRY(TailRecords(source.inode())));
  return {};
}

// The records of a node's or an inode's editable copy. Keeps the count in the header, or body_bytes
// and body_form, up to date.
class RecordList {
 public:
  explicit RecordList(media::TreeNode& node)
      : records_(node.records.data()), capacity_(media::kNodeRecords), node_(&node) {}
  explicit RecordList(media::Inode& inode);

  [[nodiscard]] uint32_t count() const;
  [[nodiscard]] uint32_t capacity() const { return capacity_; }
  [[nodiscard]] media::Record& operator[](uint32_t index) { return records_[index]; }
  [[nodiscard]] const media::Record& operator[](uint32_t index) const { return records_[index]; }
  [[nodiscard]] const media::Record* data() const { return records_; }

  void Insert(uint32_t index, media::Record record);
  void Erase(uint32_t index);
  // Moves the records from `index` on behind those of `to`.
  void MoveTo(RecordList& to, uint32_t index);

 private:
  void SetCount(uint32_t count);

  media::Record* records_;
  uint32_t capacity_;
  media::TreeNode* node_ = nullptr;  // exactly one of the two
  media::Inode* inode_ = nullptr;
};

}  // namespace ingot
