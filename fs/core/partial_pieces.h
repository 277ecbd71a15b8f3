// SPDX-License-Identifier: BSD-3-Clause
// Pieces of 2 MiB of a host file that lie together on the medium, but of which only parts were ever
// written: a host that notes that for each block (ext4, xfs) maps such a piece by 4 KiB entries.
// Written to the end, with zeros, it is one entry again.
//
// Functions of a BackingFile without state. What is completed reads as before, size and mtime stay;
// ctime is new. A crash leaves the piece partly written, as it was.
#pragma once

#include <cstdint>
#include <optional>

#include "fs/core/backing_file.h"

namespace ingot {

// The first piece at or behind `offset` (a multiple of 2 MiB) and wholly before `end` that is worth
// to be completed: what is allocated of it lies in 2 MiB of the medium, in place. `fills_holes`:
// the host allocates nothing smaller, so that holes in such a piece take no space either.
// EOPNOTSUPP: a host that doesn't tell (tmpfs, whose pieces are never partial). Costs a system call
// for some dozen extents.
Result<std::optional<uint64_t>> FindPartialPiece(const BackingFile& file, uint64_t offset,
                                                 uint64_t end, bool fills_holes);

// Writes zeros where the piece at `offset` has no data yet. Nobody else may be able to write to the
// file, by any way, while it runs: what he wrote in there might be lost. ENOSPC, EIO.
Result<void> CompletePiece(BackingFile& file, uint64_t offset);

}  // namespace ingot
