// SPDX-License-Identifier: BSD-3-Clause
// Adding, removing and redirecting entries through a transaction: splits, merges and the first
// leaf's record. What the medium shows follows the transaction's commit.
#include <cstring>

#include "fs/core/directory_internal.h"

namespace ingot {

namespace leafs = directory_leaf;

namespace {

// A leaf is looked at for merging when it is this empty, and merged if both fill less than half.
constexpr uint32_t kSparseBytes = leafs::kUsableBytes / 4;
constexpr uint32_t kMergedBytes = leafs::kUsableBytes / 2;

}  // namespace

Result<media::DirectoryLeaf*> Directory::EditLeaf(Transaction& transaction,
                                                  const media::Inode& directory,
                                                  const media::Record& record) const {
  const LogicalPage page(record.value);
  // View first: it refuses pages outside of the pool.
  TRY(BlockSource(reader_, &transaction, directory).View(page, BlockKind::kDirectoryLeaf));
  std::byte* bytes =
      TRY(transaction.EditBlock(page, IdentityOf(directory, BlockKind::kDirectoryLeaf)));
  auto* leaf = reinterpret_cast<media::DirectoryLeaf*>(bytes);
  if (const char* wrong = CheckLeaf(page, *leaf, record.key)) {
    return DamagedLeaf(directory, page.value, wrong);
  }
  return leaf;
}

Result<media::DirectoryLeaf*> Directory::NewLeaf(Transaction& transaction, media::Inode& directory,
                                                 LogicalPage& page) const {
  const NewOwnedBlock block =
      TRY(MakeOwnedBlock(allocator_, transaction, directory, BlockKind::kDirectoryLeaf, 0, false));
  auto* leaf = reinterpret_cast<media::DirectoryLeaf*>(block.bytes);
  leafs::Initialise(*leaf);
  directory.size_bytes += kPageSize;
  page = block.page;
  return leaf;
}

Result<void> Directory::Insert(Transaction& transaction, media::Inode& directory,
                               std::string_view name, InodeNumber inode, uint8_t type) {
  if (name.empty()) return Failure(EINVAL, "empty name");
  if (name.size() > media::kMaxNameLength) return Failure(ENAMETOOLONG);
  const BlockSource source(reader_, &transaction, directory);
  const Located located = TRY(Locate(source, name));
  if (located.search.found) return Failure(EEXIST);
  if (located.search.free_ordinal > leafs::kOrdinalMask) {
    return Failure(ENOSPC, fmt::format("directory {}: names of one hash", directory.number));
  }
  const uint64_t key = leafs::KeyOf(located.search.hash, located.search.free_ordinal);
  const std::optional<Tree::Covering> target = TRY(tree_.FindCovering(source, key));
  if (!target) {
    LogicalPage page;
    media::DirectoryLeaf* first = TRY(NewLeaf(transaction, directory, page));
    leafs::Insert(*first, key, name, inode, type);
    TRY(tree_.Insert(transaction, directory, {.key = 0, .value = page.value}, false));
  } else {
    media::DirectoryLeaf* leaf = TRY(EditLeaf(transaction, directory, target->record));
    if (leafs::HasKey(*leaf, key)) {
      return DamagedLeaf(directory, target->record.value, "entries of one hash");
    }
    if (leafs::EntryBytes(name.size()) <= leafs::FreeBytes(*leaf)) {
      leafs::Insert(*leaf, key, name, inode, type);
    } else {
      TRY(SplitLeaf(transaction, directory, *leaf, key, name, inode, type));
    }
  }
  ++directory.entry_count;
  return {};
}

Result<void> Directory::SplitLeaf(Transaction& transaction, media::Inode& directory,
                                  media::DirectoryLeaf& full, uint64_t key, std::string_view name,
                                  InodeNumber inode, uint8_t type) const {
  LogicalPage page;
  media::DirectoryLeaf* right = TRY(NewLeaf(transaction, directory, page));
  leafs::Split(full, *right);
  const uint64_t border = right->slots[0].key;
  leafs::Insert(key < border ? full : *right, key, name, inode, type);
  // An entry in front of the right half belongs to the left: the record's key is the border.
  return tree_.Insert(transaction, directory, {.key = border, .value = page.value}, false);
}

Result<void> Directory::Erase(Transaction& transaction, media::Inode& directory,
                              std::string_view name) {
  const Located located = TRY(Locate(BlockSource(reader_, &transaction, directory), name));
  if (!located.search.found) return Failure(ENOENT);
  if (directory.entry_count == 0) return DamagedLeaf(directory, 0, "entry_count");
  media::DirectoryLeaf* leaf = TRY(EditLeaf(transaction, directory, located.record));
  leafs::Erase(*leaf, located.search.index);
  --directory.entry_count;
  if (leaf->header.count == 0) return DropLeaf(transaction, directory, located.record);
  if (leafs::UsedBytes(*leaf) > kSparseBytes) return {};
  return MergeLeaf(transaction, directory, *leaf, located.record);
}

Result<void> Directory::DropLeaf(Transaction& transaction, media::Inode& directory,
                                 const media::Record& record) const {
  if (directory.size_bytes < kPageSize) return DamagedLeaf(directory, record.value, "size");
  TRY(FreeOwnedBlock(transaction, directory, LogicalPage(record.value)));
  directory.size_bytes -= kPageSize;
  TRY(tree_.Erase(transaction, directory, record.key));
  if (record.key != 0) return {};
  // The next leaf becomes the first: it answers for all keys from 0 on.
  const std::optional<media::Record> next = TRY(tree_.FindAtOrAfter(transaction, directory, 0));
  if (!next) return {};
  return tree_.Update(transaction, directory, next->key, {.key = 0, .value = next->value});
}

Result<void> Directory::MergeLeaf(Transaction& transaction, media::Inode& directory,
                                  media::DirectoryLeaf& leaf, const media::Record& record) const {
  const BlockSource source(reader_, &transaction, directory);
  const std::optional<media::Record> next = TRY(tree_.FindAtOrAfter(source, record.key + 1));
  if (!next) return {};
  if (next->value == record.value) return DamagedLeaf(directory, next->value, "named twice");
  // On a copy: the next leaf is not to become part of the transaction just by being looked at.
  const std::byte* bytes = TRY(source.View(LogicalPage(next->value), BlockKind::kDirectoryLeaf));
  media::DirectoryLeaf right;
  TRY(source.device().ReadInPlace([&] { std::memcpy(&right, bytes, sizeof(right)); }));
  if (const char* wrong = leafs::Check(right, next->key)) {
    return DamagedLeaf(directory, next->value, wrong);
  }
  if (leafs::UsedBytes(leaf) + leafs::UsedBytes(right) > kMergedBytes) return {};
  if (leaf.slots[leaf.header.count - 1u].key >= right.slots[0].key) {
    return DamagedLeaf(directory, next->value, "out of order");
  }
  leafs::Absorb(leaf, right);
  return DropLeaf(transaction, directory, *next);
}

Result<void> Directory::Replace(Transaction& transaction, media::Inode& directory,
                                std::string_view name, InodeNumber inode, uint8_t type) {
  const Located located = TRY(Locate(BlockSource(reader_, &transaction, directory), name));
  if (!located.search.found) return Failure(ENOENT);
  media::DirectoryLeaf* leaf = TRY(EditLeaf(transaction, directory, located.record));
  leafs::Retarget(*leaf, located.search.index, inode, type);
  return {};
}

}  // namespace ingot
