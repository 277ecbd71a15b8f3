// SPDX-License-Identifier: BSD-3-Clause
// Splits, merges and the root's moves between tail and node; see tree_editor.h.
#include "fs/core/tree_editor.h"

#include <optional>

#include "fs/core/tree.h"

namespace ingot {
namespace {

// A node is looked at for merging when it is this sparse, and merged if both fill less than half.
constexpr uint32_t kSparseRecords = media::kNodeRecords / 4;
constexpr uint32_t kMergedRecords = media::kNodeRecords / 2;

bool IsSorted(const RecordList& list) {
  for (uint32_t i = 1; i < list.count(); ++i) {
    if (list[i - 1].key >= list[i].key) return false;
  }
  return true;
}

}  // namespace

Result<RecordList> TreeEditor::EditNode(LogicalPage page, uint32_t level) {
  // View first: it refuses pages outside of the pool.
  TRY(source_.View(page, BlockKind::kTreeNode));
  std::byte* bytes = TRY(transaction_.EditBlock(page, IdentityOf(inode_, BlockKind::kTreeNode)));
  auto& node = *reinterpret_cast<media::TreeNode*>(bytes);
  if (node.header.magic != media::kTreeNodeMagic || node.header.level != level ||
      node.header.count == 0 || node.header.count > media::kNodeRecords) {
    return DamagedNode(inode_, page, "kind, level or count");
  }
  const RecordList list(node);
  if (!IsSorted(list)) return DamagedNode(inode_, page, "order");
  return list;
}

Result<RecordList> TreeEditor::Edit(uint32_t depth) {
  if (depth > 0) return EditNode(path_[depth].page, inode_.tree_height - depth);
  TRY(TailRecords(inode_));
  const RecordList list(inode_);
  if (!IsSorted(list)) return DamagedNode(inode_, {}, "order of the root");
  return list;
}

Result<RecordList> TreeEditor::NewNode(uint32_t level, LogicalPage& page) {
  const NewOwnedBlock block =
      TRY(MakeOwnedBlock(allocator_, transaction_, inode_, BlockKind::kTreeNode,
                         static_cast<uint16_t>(level), from_reserve_));
  page = block.page;
  return RecordList(*reinterpret_cast<media::TreeNode*>(block.bytes));
}

Result<RecordList> TreeEditor::GoTo(uint64_t key) {
  path_.clear();
  range_ = TRY(Descend(source_, key, &path_))
  .range;
  return Edit(leaf_depth());
}

Result<uint32_t> TreeEditor::IndexOf(const RecordList& list, uint64_t key) const {
  const uint32_t index = LowerBound(list.data(), list.count(), key, range_);
  if (index == list.count() || list[index].key != key) return Failure(ENOENT);
  return index;
}

Result<void> TreeEditor::Insert(media::Record record) {
  const RecordList list = TRY(GoTo(record.key));
  const uint32_t index = LowerBound(list.data(), list.count(), record.key, range_);
  if (index < list.count() && list[index].key == record.key) return Failure(EEXIST);
  return InsertAt(leaf_depth(), index, record);
}

Result<void> TreeEditor::InsertAt(uint32_t depth, uint32_t index, media::Record record) {
  for (;; --depth) {
    RecordList list = TRY(Edit(depth));
    if (list.count() < list.capacity()) {
      list.Insert(index, record);
      return {};
    }
    if (depth == 0) break;
    record = TRY(Split(depth, index, record));
    index = path_[depth - 1].index + 1;
  }
  const uint32_t level = inode_.tree_height;
  TRY(PushRootDown());
  RecordList root = TRY(EditNode(LogicalPage(RecordList(inode_)[0].value), level));
  root.Insert(index, record);
  return {};
}

Result<void> TreeEditor::PushRootDown() {
  const uint32_t level = inode_.tree_height;
  if (TailCapacity(inode_) == 0) {
    return Failure(ENOSPC, fmt::format("inode {}: no room for its root", inode_.number));
  }
  if (level >= kMaxTreeHeight) {
    return Failure(EFBIG, fmt::format("inode {}: tree height", inode_.number));
  }
  TRY(TailRecords(inode_));
  LogicalPage page;
  RecordList node = TRY(NewNode(level, page));
  RecordList tail(inode_);
  tail.MoveTo(node, 0);
  tail.Insert(0, {.key = 0, .value = page.value});
  inode_.tree_height = static_cast<uint8_t>(level + 1);
  return {};
}

Result<media::Record> TreeEditor::Split(uint32_t depth, uint32_t index, media::Record record) {
  RecordList left = TRY(Edit(depth));
  LogicalPage page;
  RecordList right = TRY(NewNode(inode_.tree_height - depth, page));
  // What is appended leaves full nodes behind; else both halves get room.
  if (index == left.count()) {
    right.Insert(0, record);
  } else {
    const uint32_t half = left.count() / 2;
    left.MoveTo(right, half);
    if (index <= half) {
      left.Insert(index, record);
    } else {
      right.Insert(index - half, record);
    }
  }
  return media::Record{.key = right[0].key, .value = page.value};
}

Result<void> TreeEditor::Update(uint64_t old_key, media::Record record) {
  RecordList list = TRY(GoTo(old_key));
  const uint32_t index = TRY(IndexOf(list, old_key));
  const bool in_order = (index == 0 || list[index - 1].key < record.key) &&
                        (index + 1 == list.count() || record.key < list[index + 1].key);
  if (in_order && record.key >= range_.low && record.key < range_.high) {
    list[index] = record;
    return {};
  }
  // The new key belongs to another node, which got its bounds when other records were there.
  TRY(Erase(old_key));
  return Insert(record);
}

Result<void> TreeEditor::Erase(uint64_t key) {
  const RecordList list = TRY(GoTo(key));
  return EraseAt(leaf_depth(), TRY(IndexOf(list, key)));
}

Result<void> TreeEditor::EraseAt(uint32_t depth, uint32_t index) {
  for (;; --depth) {
    RecordList list = TRY(Edit(depth));
    // The next record takes over the range of an inner node's first one.
    if (depth < leaf_depth() && index == 0 && list.count() > 1) list[1].key = list[0].key;
    list.Erase(index);
    if (depth == 0) break;
    if (list.count() == 0) {
      TRY(FreeOwnedBlock(transaction_, inode_, path_[depth].page));
      index = path_[depth - 1].index;
      continue;
    }
    const std::optional<uint32_t> merged = TRY(Merge(depth, list.count()));
    if (!merged) break;
    index = *merged;
  }
  return PullRootUp();
}

Result<TreeEditor::Neighbours> TreeEditor::NeighboursOf(uint32_t depth) const {
  const uint32_t index = path_[depth - 1].index;
  Neighbours found;
  const auto look = [&](std::span<const media::Record> records) {
    if (index > 0 && index <= records.size()) found.before = LogicalPage(records[index - 1].value);
    if (index + 1 < records.size()) found.behind = LogicalPage(records[index + 1].value);
  };
  if (depth == 1) {
    look(TRY(TailRecords(inode_)));
  } else {
    TRY(InspectNode(source_, path_[depth - 1].page, inode_.tree_height - depth + 1, look));
  }
  return found;
}

Result<uint32_t> TreeEditor::CountOf(LogicalPage page, uint32_t level) const {
  uint32_t count = 0;
  TRY(InspectNode(source_, page, level, [&](std::span<const media::Record> records) {
    count = static_cast<uint32_t>(records.size());
  }));
  return count;
}

Result<std::optional<uint32_t>> TreeEditor::Merge(uint32_t depth, uint32_t count) {
  if (count > kSparseRecords) return std::nullopt;
  const uint32_t level = inode_.tree_height - depth;
  const Neighbours neighbours = TRY(NeighboursOf(depth));
  const LogicalPage own = path_[depth].page;
  const uint32_t own_index = path_[depth - 1].index;
  LogicalPage left_page;
  LogicalPage right_page;
  uint32_t right_index = 0;
  if (neighbours.before.value != 0 &&
      count + TRY(CountOf(neighbours.before, level)) <= kMergedRecords) {
    left_page = neighbours.before;
    right_page = own;
    right_index = own_index;
  } else if (neighbours.behind.value != 0 &&
             count + TRY(CountOf(neighbours.behind, level)) <= kMergedRecords) {
    left_page = own;
    right_page = neighbours.behind;
    right_index = own_index + 1;
  } else {
    return std::nullopt;
  }
  if (left_page == right_page) return DamagedNode(inode_, own, "named twice");
  RecordList left = TRY(EditNode(left_page, level));
  RecordList right = TRY(EditNode(right_page, level));
  if (left[left.count() - 1].key >= right[0].key) return DamagedNode(inode_, own, "order");
  right.MoveTo(left, 0);
  TRY(FreeOwnedBlock(transaction_, inode_, right_page));
  return right_index;
}

Result<void> TreeEditor::PullRootUp() {
  while (inode_.tree_height > 0) {
    RecordList tail(inode_);
    if (tail.count() != 1) return {};
    const LogicalPage page(tail[0].value);
    const uint32_t level = inode_.tree_height - 1u;
    const uint32_t capacity = TailCapacity(inode_);
    // A little room must be left, or the next insertion would push the root down again.
    if (TRY(CountOf(page, level)) > capacity - capacity / 4) return {};
    RecordList node = TRY(EditNode(page, level));
    tail.Erase(0);
    node.MoveTo(tail, 0);
    inode_.tree_height = static_cast<uint8_t>(level);
    TRY(FreeOwnedBlock(transaction_, inode_, page));
  }
  return {};
}

}  // namespace ingot
