// SPDX-License-Identifier: BSD-3-Clause
// Looking names up and listing them. Leaves are searched in place; what is listed is parsed on a
// checked copy. Changes nothing; changing is in directory_write.cc.
#include "fs/core/directory.h"

#include <algorithm>

#include "fs/core/directory_internal.h"
#include "pmemdev/base/checksum.h"

namespace ingot {

namespace leafs = directory_leaf;

Directory::Directory(Tree& tree, BlockReader& reader, Allocator& allocator, uint64_t hash_seed,
                     uint64_t hash_mask)
    : tree_(tree),
      reader_(reader),
      allocator_(allocator),
      hash_seed_(hash_seed),
      hash_mask_(hash_mask) {}

uint64_t Directory::HashOf(const media::Inode& directory, std::string_view name) const {
  const uint64_t seed = hash_seed_ ^ (directory.number * media::kDirectorySeedFactor);
  const uint64_t hash = Hash64(std::as_bytes(std::span(name)), seed) & hash_mask_;
  return std::max<uint64_t>(1, hash >> (64 - media::kHashBits));
}

Result<Directory::Located> Directory::Locate(const BlockSource& source,
                                             std::string_view name) const {
  Located located;
  located.search.hash = HashOf(source.inode(), name);
  located.search.name = name;
  const uint64_t last_key = leafs::KeyOf(located.search.hash, leafs::kOrdinalMask);
  uint64_t key = leafs::KeyOf(located.search.hash, 0);
  for (;;) {
    const std::optional<Tree::Covering> leaf = TRY(tree_.FindCovering(source, key));
    if (!leaf) return located;
    const LogicalPage page(leaf->record.value);
    const std::byte* bytes = TRY(source.View(page, BlockKind::kDirectoryLeaf));
    TRY(source.device().ReadInPlace([&] {
      leafs::Continue(located.search, *reinterpret_cast<const media::DirectoryLeaf*>(bytes),
                      {leaf->record.key, leaf->next_key});
    }));
    if (located.search.damaged) return DamagedLeaf(source.inode(), page.value, "entries");
    located.record = leaf->record;
    if (located.search.found || leaf->next_key > last_key) return located;
    // The hash may go on in the next leaf.
    const std::optional<media::Record> next =
        TRY(tree_.FindAtOrAfter(source, leaf->record.key + 1));
    if (!next || next->key > last_key) return located;
    if (next->key <= leaf->record.key) {
      return DamagedLeaf(source.inode(), next->value, "out of order");
    }
    key = next->key;
  }
}

Result<Directory::Found> Directory::FindIn(const BlockSource& source, std::string_view name) const {
  if (name.size() > media::kMaxNameLength) return Failure(ENAMETOOLONG);
  const Located located = TRY(Locate(source, name));
  if (!located.search.found) return Failure(ENOENT);
  const media::DirectorySlot& slot = located.search.slot;
  return Found{leafs::InodeOf(slot), leafs::TypeOf(slot), slot.key};
}

Result<Directory::Found> Directory::Find(const media::Inode& directory,
                                         std::string_view name) const {
  return FindIn(BlockSource(reader_, nullptr, directory), name);
}

Result<Directory::Found> Directory::Find(Transaction& transaction, const media::Inode& directory,
                                         std::string_view name) const {
  return FindIn(BlockSource(reader_, &transaction, directory), name);
}

Result<std::vector<DirectoryEntry>> Directory::Read(const media::Inode& directory, uint64_t after,
                                                    size_t max_entries) const {
  std::vector<DirectoryEntry> entries;
  if (max_entries == 0) return entries;
  TRY(Visit(directory, after, [&](const DirectoryEntryView& entry) {
    entries.push_back({entry.key, entry.inode, entry.type, std::string(entry.name)});
    return entries.size() < max_entries;
  }));
  return entries;
}

const char* Directory::CheckLeaf(LogicalPage page, const media::DirectoryLeaf& leaf,
                                 uint64_t lowest_key) const {
  PageDescriptor& descriptor = reader_.device().page_array().Get(page);
  if (IsParsed(descriptor)) return leafs::CheckPlace(leaf, lowest_key);
  const char* wrong = leafs::Check(leaf, lowest_key);
  if (wrong == nullptr) descriptor.flags.fetch_or(kPageParsed, std::memory_order_release);
  return wrong;
}

Result<void> Directory::Visit(const media::Inode& directory, uint64_t after,
                              DirectoryVisitor visit) const {
  if (after == kNoKey) return {};
  const BlockSource source(reader_, nullptr, directory);
  const std::optional<Tree::Covering> first = TRY(tree_.FindCovering(source, after + 1));
  if (!first) return {};
  media::Record record = first->record;
  for (;;) {
    const LogicalPage page(record.value);
    TRY(source.View(page, BlockKind::kDirectoryLeaf));
    media::DirectoryLeaf leaf;
    TRY(source.device().Read(OffsetOf(page), WritableBytesOf(leaf)));
    if (const char* wrong = leafs::Check(leaf, record.key)) {
      return DamagedLeaf(directory, page.value, wrong);
    }
    const uint32_t count = leaf.header.count;
    for (uint32_t i = UpperBound(leaf.slots.data(), count, after, {}); i < count; ++i) {
      const media::DirectorySlot& slot = leaf.slots[i];
      if (!visit({slot.key, leafs::InodeOf(slot), leafs::TypeOf(slot), leafs::NameAt(leaf, i)})) {
        return {};
      }
    }
    const std::optional<media::Record> next = TRY(tree_.FindAtOrAfter(source, record.key + 1));
    if (!next) return {};
    if (next->key <= record.key || next->key <= leaf.slots[count - 1].key) {
      return DamagedLeaf(directory, page.value, "out of order");
    }
    record = *next;
  }
}

}  // namespace ingot
