// SPDX-License-Identifier: BSD-3-Clause
// The groups of the pool: what their entries and bitmaps say, and whether that is what there is.
//
// Load comes first in a round and decides which bitmaps may be believed; Compare comes last, when
// all owners are known; Rewrite makes the media say what was found. A crash in Rewrite leaves each
// group either as it was or as it should be.
#pragma once

#include "fs/check/context.h"

namespace ingot::check {

// Superblock copies and lane headers: reports, and in a repair rewrites.
Result<void> CheckLabels(Context& context);

// Fills context.groups.
Result<void> LoadGroups(Context& context);

// The stored bitmap; false: it can't be read.
[[nodiscard]] bool ReadBitmap(const Context& context, GroupIndex group, uint32_t page,
                              PageBitmap& bitmap);

// Reports differences and fills context.wrong_groups.
Result<void> CompareGroups(Context& context);

// Entries and bitmaps of context.wrong_groups, from what was found.
Result<void> RewriteGroups(Context& context);

}  // namespace ingot::check
