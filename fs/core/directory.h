// SPDX-License-Identifier: BSD-3-Clause
// A directory's entries: leaves of 4 KiB found by the hash of the name through the inode's tree.
//
// An entry's key (hash and ordinal) never changes while it lives: it is the readdir cookie, stable
// over inserts, deletes and splits. "." and ".." are not stored. Callers hold the directory's inode
// lock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/functional/function_ref.h>

#include "fs/core/tree.h"

namespace ingot {

struct DirectoryEntry {
  uint64_t key = 0;  // cookie; > 65535
  InodeNumber inode;
  uint8_t type = 0;  // DT_* of <dirent.h>
  std::string name;
};

// The same while it is being listed: the name's bytes are gone when the visit is over.
struct DirectoryEntryView {
  uint64_t key;
  InodeNumber inode;
  uint8_t type;
  std::string_view name;
};
// False: it wants no more.
using DirectoryVisitor = absl::FunctionRef<bool(const DirectoryEntryView&)>;

class Directory {
 public:
  // Tests narrow `hash_mask`, so that many names share a hash.
  Directory(Tree& tree, BlockReader& reader, Allocator& allocator, uint64_t hash_seed,
            uint64_t hash_mask = UINT64_MAX);

  // --- reading; the inode lock is held, shared suffices; `directory` is a validated copy
  // -------------- ENOENT: no such entry. EUCLEAN, EIO: a node or leaf is damaged.
  struct Found {
    InodeNumber inode;
    uint8_t type;
    uint64_t key;
  };
  Result<Found> Find(const media::Inode& directory, std::string_view name) const;
  // As the transaction's own edits have it.
  Result<Found> Find(Transaction& transaction, const media::Inode& directory,
                     std::string_view name) const;
  // Shows entries with key > `after`, in key order, to the end or until `visit` has enough.
  Result<void> Visit(const media::Inode& directory, uint64_t after, DirectoryVisitor visit) const;
  // At most `max_entries` of them; fewer only at the end.
  Result<std::vector<DirectoryEntry>> Read(const media::Inode& directory, uint64_t after,
                                           size_t max_entries) const;

  // --- changing; the lock is held exclusively; `directory` is the transaction's edited copy
  // ----------- EEXIST, ENAMETOOLONG, EINVAL (empty), ENOSPC (also: 65,536 names of one hash).
  // entry_count, size_bytes and page_count of the copy follow; its times are the caller's.
  Result<void> Insert(Transaction& transaction, media::Inode& directory, std::string_view name,
                      InodeNumber inode, uint8_t type);
  // ENOENT. A leaf that becomes empty is freed, a sparse one merged with the next.
  Result<void> Erase(Transaction& transaction, media::Inode& directory, std::string_view name);
  // The entry of `name` points at another inode from now on. ENOENT.
  Result<void> Replace(Transaction& transaction, media::Inode& directory, std::string_view name,
                       InodeNumber inode, uint8_t type);

  // The 47 bits that the name's key begins with.
  [[nodiscard]] uint64_t HashOf(const media::Inode& directory, std::string_view name) const;

 private:
  struct Located;  // where an entry is, or where its search ended
  Result<Located> Locate(const BlockSource& source, std::string_view name) const;
  Result<Found> FindIn(const BlockSource& source, std::string_view name) const;
  // Null if a verified leaf's copy is sound, else what is wrong. What was in order once stays so in
  // this mount, for all changes are made here: then only its place is looked at.
  const char* CheckLeaf(LogicalPage page, const media::DirectoryLeaf& leaf,
                        uint64_t lowest_key) const;
  // The transaction's copy, checked. `lowest_key`: the key of the leaf's record.
  Result<media::DirectoryLeaf*> EditLeaf(Transaction& transaction, const media::Inode& directory,
                                         const media::Record& record) const;
  // A new leaf with its record in the tree.
  Result<media::DirectoryLeaf*> NewLeaf(Transaction& transaction, media::Inode& directory,
                                        LogicalPage& page) const;
  Result<void> SplitLeaf(Transaction& transaction, media::Inode& directory,
                         media::DirectoryLeaf& full, uint64_t key, std::string_view name,
                         InodeNumber inode, uint8_t type) const;
  Result<void> DropLeaf(Transaction& transaction, media::Inode& directory,
                        const media::Record& record) const;
  // Merges the leaf with the next one if both are sparse.
  Result<void> MergeLeaf(Transaction& transaction, media::Inode& directory,
                         media::DirectoryLeaf& leaf, const media::Record& record) const;

  Tree& tree_;
  BlockReader& reader_;
  Allocator& allocator_;
  const uint64_t hash_seed_;
  const uint64_t hash_mask_;
};

}  // namespace ingot
