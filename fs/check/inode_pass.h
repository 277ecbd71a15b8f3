// SPDX-License-Identifier: BSD-3-Clause
// Every inode of every inode page: is it one, are its fields possible, what pages are its own.
//
// Directories get their names and blocks looked at later (directory_pass.h), when all inodes are
// known.
#pragma once

#include "fs/check/context.h"

namespace ingot::check {

// Scans the groups' inode pages, and makes a root if there is none (in a repair).
Result<void> CheckInodes(Context& context);

// Scans one page whose place is believed to hold inodes. False: nothing on it looks like one, or it
// can't be read; it is then no inode page.
Result<bool> ScanInodePage(Context& context, LogicalPage page);

// Takes a page that no bitmap names, because an entry names an inode there that proves itself. Only
// where the group's bitmap is not to be believed.
Result<bool> AdoptInodePage(Context& context, InodeNumber inode);

// Why the copy can't be an inode at all, or null. Ranges that can be set right are
// FixInodeFields's.
[[nodiscard]] const char* FatalInodeFault(const Context& context, InodeNumber number,
                                          const media::Inode& inode);

// An inode with a wrong checksum is kept if a block of its own, itself whole, names this inode and
// generation: what hangs on it is proven block by block then. Nothing vouches for inline contents,
// for extents in the inode, or for a backing file.
[[nodiscard]] bool IsVouchedFor(const Context& context, InodeNumber number,
                                const media::Inode& inode);

// Sets fields right whose true value is known, each reported. True if anything changed.
bool FixInodeFields(Context& context, media::Inode& inode);

}  // namespace ingot::check
