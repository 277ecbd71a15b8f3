// SPDX-License-Identifier: BSD-3-Clause
// The names: every directory's tree and leaves, then links, parents and what nobody names.
//
// They come after CheckInodes, in this order, and count what they find in context.inodes. In a
// repair entries that can't be believed go at once; what is lost is saved when all else agrees.
#pragma once

#include "fs/check/context.h"

namespace ingot::check {

Result<void> CheckDirectories(Context& context);

// Compares links and parents, finds circles, and fills context.lost.
Result<void> CheckLinks(Context& context);

// Gives what is in context.lost a name in /lost+found, and each of context.unknown_files an inode
// there. Needs bitmaps that agree with what was found.
Result<void> SaveLost(Context& context);

}  // namespace ingot::check
