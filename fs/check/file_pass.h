// SPDX-License-Identifier: BSD-3-Clause
// What an inode that is no directory owns: extents, tree nodes, extended attributes.
//
// Functions edit the inode's copy and leave the writing to the caller; tree nodes are written at
// once in a repair. What two files claim is settled last, by the filesystem's own transactions.
#pragma once

#include "fs/check/context.h"

namespace ingot::check {

// True if the copy was changed. In a repair nodes may have been written.
Result<bool> CheckFile(Context& context, media::Inode& inode);

struct XattrOutcome {
  uint64_t pages = 0;
  bool changed = false;  // dropped, or the copy was tidied
};
// Attributes of any inode. A set that can't be proven whole goes altogether.
XattrOutcome CheckXattrs(Context& context, media::Inode& inode);

// Sets page_count; reports it unless damage explains the difference.
bool FixPageCount(Context& context, media::Inode& inode, uint64_t pages, bool damaged);

// Who shares the pages of context.conflicts: fills context.shared with the ranges that lose.
Result<void> FindSharers(Context& context);
// Makes those ranges holes. Needs bitmaps that agree with what was found.
Result<void> PunchShared(Context& context);

// Touches every page of file data. In a repair what can't be read becomes zeros.
Result<void> ReadAllData(Context& context);

}  // namespace ingot::check
