// SPDX-License-Identifier: BSD-3-Clause
// Pieces of 2 MiB of a host file that lie together on the medium, but of which only parts were ever
// written: a host that notes that for each block (ext4, xfs) maps such a piece by 4 KiB entries.
// Written to the end, with zeros, it is one entry again.
//
// Functions of a BackingFile without state. What is completed reads as before, size and mtime stay;
// ctime is new, and SEEK_HOLE finds no hole any more. A crash leaves the piece partly written, and
// its file perhaps with a new mtime.
#pragma once

#include <cstdint>
#include <optional>

#include "fs/core/backing_file.h"

namespace ingot {

struct PieceSearch {
  std::optional<uint64_t> piece;  // its offset
  // Before it, none is left. `end` or more: that was all.
  uint64_t searched_to = 0;
};
// The first piece at or behind `offset` (a multiple of 2 MiB) and wholly before `end` that is worth
// to be completed: what is allocated of it lies in 2 MiB of the medium, in place. `fills_holes`:
// the host allocates nothing smaller, so that holes in such a piece take no space either. Looks at
// some thousand extents at most, half a millisecond or so, and may end in the middle. EOPNOTSUPP: a
// host that doesn't tell (tmpfs, whose pieces are never partial).
Result<PieceSearch> FindPartialPiece(const BackingFile& file, uint64_t offset, uint64_t end,
                                     bool fills_holes);

// Writes zeros where the piece at `offset` has no data yet. Nobody else may be able to write to the
// file, by any way, while it runs: what he wrote in there might be lost. ENOSPC, EIO: some of it is
// done.
Result<void> CompletePiece(BackingFile& file, uint64_t offset);

}  // namespace ingot
