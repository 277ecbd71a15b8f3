// SPDX-License-Identifier: BSD-3-Clause
// Changing a tree through a transaction; what the medium shows follows its commit.
#include "fs/core/tree.h"
#include "fs/core/tree_editor.h"

namespace ingot {
namespace {

// Inline data and backed files have no tree; whoever wants one moves them away first.
Result<void> CheckForm(const media::Inode& inode) {
  if (inode.body_form == media::BodyForm::kTree || inode.body_form == media::BodyForm::kEmpty) {
    return {};
  }
  return Failure(EUCLEAN, fmt::format("inode {}: its body is no tree", inode.number));
}

}  // namespace

Result<void> Tree::Insert(Transaction& transaction, media::Inode& inode, media::Record record,
                          bool from_reserve) {
  TRY(CheckForm(inode));
  return TreeEditor(reader_, allocator_, transaction, inode, from_reserve).Insert(record);
}

Result<void> Tree::Update(Transaction& transaction, media::Inode& inode, uint64_t old_key,
                          media::Record record) {
  TRY(CheckForm(inode));
  return TreeEditor(reader_, allocator_, transaction, inode, true).Update(old_key, record);
}

Result<void> Tree::Erase(Transaction& transaction, media::Inode& inode, uint64_t key) {
  TRY(CheckForm(inode));
  return TreeEditor(reader_, allocator_, transaction, inode, true).Erase(key);
}

Result<void> Tree::ShrinkTail(Transaction& transaction, media::Inode& inode, uint32_t xattr_bytes) {
  if (inode.body_form != media::BodyForm::kTree) return {};
  if (inode.body_bytes + xattr_bytes <= media::kInodeTailSize) return {};
  if (media::kRecordSize + xattr_bytes > media::kInodeTailSize) {
    return Failure(ENOSPC, "inline attributes leave no room for a tree");
  }
  return TreeEditor(reader_, allocator_, transaction, inode, false).PushRootDown();
}

}  // namespace ingot
