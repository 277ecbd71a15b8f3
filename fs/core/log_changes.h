// SPDX-License-Identifier: BSD-3-Clause
// Logs the words in which a block's new contents differ from its old ones.
//
// Both spans have the block's size, a multiple of 8. The caller holds the lock that covers the
// block, and `before` is what is on media. Nothing reaches the medium before the lane commits.
#pragma once

#include <cstddef>
#include <span>

#include "pmemdev/journal.h"

namespace ingot {

// EOVERFLOW: the lane is full.
Result<void> LogChangedWords(Lane& lane, MediaOffset at, std::span<const std::byte> before,
                             std::span<const std::byte> after);

}  // namespace ingot
