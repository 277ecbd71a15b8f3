// SPDX-License-Identifier: BSD-3-Clause
// Stores bytes into a range of a file inside one transaction: in place, into unwritten pages, into
// holes.
//
// Plain files: written pages are overwritten in place, which a crash may tear at 8 bytes. Atomic
// files: a small request goes through the journal's lane, word by word (double-written, but nothing
// moves and no space is needed); a larger one goes to newly claimed pages that are swapped in, and
// if it overwrites a part of a window that lies in a whole huge page, the whole window is written
// anew, so that the file stays huge-mapped. (Rejected: swapping small runs there, which would break
// the huge page for good.) In both, pages that are known to be bad get new places if all of their
// bytes are replaced. The caller commits, or drops the transaction after an error: nothing of
// new pages is visible then.
#pragma once

#include "fs/core/data_placement.h"
#include "fs/core/file_parts.h"

namespace ingot {

class RangeWriter {
 public:
  // Overwritten bytes of atomic files that go through the lane; leaves room in it for the metadata.
  static constexpr uint64_t kMaxLoggedBytes = 24 << 10;

  // `before` is the inode as it is on media, `inode` the transaction's copy of it.
  RangeWriter(Core& core, DataPlacement& placement, Transaction& transaction, media::Inode& inode,
              const media::Inode& before);

  // Stores a prefix of `from` at `offset`; returns how much: all, unless the transaction is full
  // (atomic files: all, or EOVERFLOW). The caller sets size and times. ENOSPC; EOVERFLOW: too many
  // groups; EIO: a page to be kept is poisoned.
  Result<uint64_t> Write(uint64_t offset, std::span<const std::byte> from);
  // After an error: so much would have gone well.
  [[nodiscard]] uint64_t done_bytes() const { return done_bytes_; }

 private:
  using Bytes = std::span<const std::byte>;
  // Each stores a prefix at `offset` and returns how much.
  Result<uint64_t> WriteExtent(const Extent& extent, uint64_t offset, Bytes from);
  Result<uint64_t> WriteUnwritten(const Extent& extent, uint64_t offset, Bytes from);
  Result<uint64_t> WriteHole(FilePage hole_end, uint64_t offset, Bytes from);
  Result<uint64_t> WriteCopy(const Extent& extent, uint64_t offset, Bytes from);

  // `offset` is in a page that is known to be bad: it, and bad ones behind it, get other places.
  // EIO: some of its bytes are to stay.
  Result<uint64_t> WriteElsewhere(const Extent& extent, uint64_t offset, Bytes from);
  // True unless a page of [offset, end), which is in the extent, is known to be bad.
  [[nodiscard]] bool IsGood(const Extent& extent, uint64_t offset, uint64_t end) const;

  // Stores `from` at `offset` into pages that begin with `first` at `to`, with zeros around it.
  Result<void> FillPages(LogicalPage to, FilePage first, uint64_t offset, Bytes from);
  // Replaces the extent's pages [first, first + claim.count()) by copies that differ in `from`.
  Result<void> Replace(const Extent& extent, FilePage first, Claim claim, uint64_t offset,
                       Bytes from);
  // Old contents of [offset, end) in the extent; zeros if unwritten or behind the end.
  Result<void> CopyOld(const Extent& extent, uint64_t offset, uint64_t end, LogicalOffset to);

  Core& core_;
  DataPlacement& placement_;
  Transaction& transaction_;
  media::Inode& inode_;
  const media::Inode& before_;
  const bool is_atomic_;
  bool is_logged_ = false;
  uint64_t done_bytes_ = 0;
};

}  // namespace ingot
