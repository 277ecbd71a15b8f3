// SPDX-License-Identifier: BSD-3-Clause
// Which pages hold a file's data: extents, kept sorted, disjoint and merged in the inode's tree.
//
// Callers hold the inode lock (exclusively to change) and, to change, a Transaction. No media of
// its own.
#pragma once

#include <cstdint>
#include <optional>

#include "fs/core/tree.h"

namespace ingot {

struct Extent {
  FilePage file_page;
  LogicalPage start;
  uint32_t pages = 0;      // 1..32768, within one group
  bool unwritten = false;  // allocated, reads as zeros

  [[nodiscard]] FilePage end() const { return file_page + pages; }
  [[nodiscard]] static Extent Decode(const media::Record& record);
  [[nodiscard]] media::Record Encode() const;
  friend bool operator==(const Extent&, const Extent&) = default;
};

class ExtentMap {
 public:
  ExtentMap(Tree& tree, BlockReader& reader) : tree_(tree), reader_(reader) {}

  // The extent that holds `page`, or the first one behind it; none: nothing at or after. Each
  // extent handed out was checked to lie in the logical space and one group (else EUCLEAN).
  Result<std::optional<Extent>> Find(const media::Inode& inode, FilePage page) const;
  Result<std::optional<Extent>> Find(Transaction& transaction, const media::Inode& inode,
                                     FilePage page) const;
  // The last extent.
  Result<std::optional<Extent>> Last(const media::Inode& inode) const;

  // Adds an extent over a hole; merges with its neighbours where both spaces are contiguous, in one
  // group and of equal kind. EUCLEAN: something is there already.
  Result<void> Insert(Transaction& transaction, media::Inode& inode, const Extent& extent,
                      bool from_reserve = false);
  // Takes file pages [first, first + pages) out of the map and hands the pieces out (their pages
  // are not freed here). Stops early, with `done` < pages, when the transaction has no room left,
  // in log or in groups: the pieces can always be freed in it. Takes nodes from the reserve.
  struct Removed {
    std::vector<Extent> pieces;
    uint64_t done = 0;  // file pages that were dealt with, holes included
  };
  Result<Removed> Remove(Transaction& transaction, media::Inode& inode, FilePage first,
                         uint64_t pages);
  // Marks [first, first + pages) of unwritten extents as written. Holes and written extents stay.
  // Preallocated space must not fail: takes nodes from the reserve.
  Result<void> MarkWritten(Transaction& transaction, media::Inode& inode, FilePage first,
                           uint64_t pages);

 private:
  // Takes `piece`, which lies within `extent`, out of the map.
  Result<void> CutOut(Transaction& transaction, media::Inode& inode, const Extent& extent,
                      const Extent& piece);
  // Marks the first pages of `extent` as written by moving the border to the extent before, if that
  // runs on into it; true if so.
  Result<bool> MoveBorder(Transaction& transaction, media::Inode& inode, const Extent& extent,
                          uint32_t pages);
  Result<std::optional<Extent>> Checked(const media::Inode& inode,
                                        const std::optional<media::Record>& record) const;
  // The extent that begins at or before a page, and the next one.
  struct Neighbours {
    std::optional<Extent> before, behind;
  };
  Result<Neighbours> Around(Transaction* transaction, const media::Inode& inode,
                            FilePage page) const;
  Result<std::optional<Extent>> FindIn(Transaction* transaction, const media::Inode& inode,
                                       FilePage page) const;

  Tree& tree_;
  BlockReader& reader_;
};

}  // namespace ingot
