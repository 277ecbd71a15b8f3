// SPDX-License-Identifier: BSD-3-Clause
// Walks through a trace and makes the images that a crash may leave: at every fence, and at every
// mark.
//
// Single-threaded.
#pragma once

#include <functional>
#include <vector>

#include "tests/crash/crash_pool.h"
#include "tests/support/memory_model.h"
#include "tests/support/trace.h"

namespace ingot::tests {

struct CrashPlan {
  Granularity durability = Granularity::kCacheLine;
  size_t images_per_point = 4096;
  uint64_t seed = 1;
  uint64_t first_mark = 0;             // crashes before this mark are left out
  uint32_t skipped_site = UINT32_MAX;  // a mutant: this flush or fence isn't there
};

struct CrashPoint {
  uint64_t marks;         // the number of the last mark that was passed
  uint64_t marks_passed;  // how many were
  bool at_mark;           // nothing was stored since it
};

// Calls `visit` with the pool holding the image: what was kept on top of the durable bytes, and the
// image's hash. What the visitor notes in the pool is undone afterwards. False from it ends the
// walk. Returns how many points there were.
using VisitImage =
    std::function<bool(const CrashPoint& point, const std::vector<WordStore>& kept, uint64_t hash)>;
uint64_t ForEachImage(const Trace& trace, const CrashPlan& plan, CrashPool& pool,
                      const VisitImage& visit);

}  // namespace ingot::tests
