// SPDX-License-Identifier: BSD-3-Clause
// What directory pools have besides: numbers of backing files in inodes and in the ledger, and the
// files themselves (docs/backed-files.md).
//
// A number's place is one inode or the ledger. What protects a file is done at once: inodes get
// theirs out of the ledger. What lets one be deleted waits until all inodes are known, that is,
// until nothing else is wrong. A file with contents is never deleted.
#pragma once

#include <vector>

#include "fs/check/context.h"

namespace ingot::check {

// What is greater was never handed out.
[[nodiscard]] constexpr bool IsBackingNumber(uint64_t number) {
  return number != 0 && number < media::kMaxBackingNumber;
}
// Nor, by this pool, were numbers of files that nobody names and that lie so far above all numbers
// that are known to have been. A region from a copy may have forgotten some, but not so many; and
// one stray file must not use all numbers up.
inline constexpr uint64_t kMaxForgottenNumbers = uint64_t{1} << 32;

// --- while inodes are scanned

// The ledger's page is nobody else's. Before anything claims pages.
void ClaimLedger(Context& context);

// Notes whose file it is. One of two owners loses it, the later one unless the other is deleted
// already: it becomes an empty file. True if that is `inode`.
Result<bool> ClaimBackingFile(Context& context, media::Inode& inode);

// Extents that are still to be freed want the orphan's mark, so that a mount finds them. True if
// the inode was changed.
bool FixLeftoversMark(Context& context, media::Inode& inode);

// The tail's extents are nobody's any more; the backing file stays.
void ForgetLeftovers(media::Inode& inode);

// --- when all inodes are known

// Inodes, ledger and directory against each other; fills unknown_files and empty_files.
Result<void> CheckBackingFiles(Context& context);

// By the ledger, if it can be believed; else 0.
uint64_t HighestHandedOut(Context& context);

// The ledger alone: `highest` is the greatest number that an inode or a file has. Returns what it
// lists (in a repair: from now on), sorted.
Result<std::vector<uint64_t>> CheckLedger(Context& context, uint64_t highest);

// --- the plan

// The next mount deletes them: into the ledger, or gone at once where that is full.
Result<void> ListEmptyFiles(Context& context);

}  // namespace ingot::check
