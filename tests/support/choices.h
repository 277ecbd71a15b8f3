// SPDX-License-Identifier: BSD-3-Clause
// Which of the pending stores a crash kept: all combinations where they are few, else those that
// find most.
//
// Of a line's ordered stores each prefix is an option, of the others each subset: all of them while
// a line has few; beyond, each prefix, each suffix, each store alone and missing, and random ones.
// With at most `limit` combinations of lines, all. Beyond: none, all, each option of each line (as
// many as leave room for others) with the others lost or kept, each two lines alone and all but
// them, and random ones; of these a seeded choice of `limit`, of which none and all are always
// part. Lines side by side of one large copy count as one: kept, lost, without the first, the
// middle, the last, either half, every other line, or every other word.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/support/memory_model.h"

namespace ingot::tests {

inline constexpr size_t kAllCombinations = 4096;

// Calls `visit` with the stores that were kept, in order. False from it ends the enumeration.
void ForEachChoice(const std::vector<PendingUnit>& pending, size_t limit, uint64_t seed,
                   const std::function<bool(const std::vector<WordStore>&)>& visit);

}  // namespace ingot::tests
