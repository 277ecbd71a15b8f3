// SPDX-License-Identifier: BSD-3-Clause
// Which of the pending stores a crash kept: all combinations where they are few, else those that
// find most.
//
// With at most `limit` combinations, all. Beyond: none, all, each line alone and all but it, each
// prefix of each line with the others lost or kept, each two lines alone and all but them, and
// random ones; of these a seeded choice of `limit`, of which none and all are always part. Lines
// side by side of one large copy count as one: kept, lost, without the
// first, the middle, the last, either half, or every other.
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
