// SPDX-License-Identifier: BSD-3-Clause
// What a recorded journal costs, and what crashes leave of it, word by word.
//
// Free functions over a complete trace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "tests/support/trace.h"

namespace ingot::tests {

// Words by their place; what isn't named is as it was when recording began.
using WordMap = std::map<uint64_t, uint64_t>;

[[nodiscard]] size_t FencesIn(const Trace& trace);
// Lines, counted again each time that they are flushed.
[[nodiscard]] size_t FlushedLinesIn(const Trace& trace);
// No line was flushed twice between two fences.
[[nodiscard]] bool FlushesEachLineOnce(const Trace& trace);

// Calls `visit(image, fences completed before the crash)` for crashes just before each fence and at
// the end, with at most `limit` choices each of what was kept.
using VisitWords = std::function<void(const WordMap&, size_t fences)>;
void EnumerateCrashes(const Trace& trace, size_t limit, uint64_t seed, const VisitWords& visit);

}  // namespace ingot::tests
