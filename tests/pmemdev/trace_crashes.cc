// SPDX-License-Identifier: BSD-3-Clause
// Counting, and the walk with a crash at each fence.
#include "tests/pmemdev/trace_crashes.h"

#include <algorithm>
#include <set>

#include "tests/support/choices.h"

namespace ingot::tests {
namespace {

std::vector<uint64_t> LinesOf(const TraceEvent& flush) {
  std::vector<uint64_t> lines;
  const uint64_t last = (flush.at + flush.size_bytes - 1) / kCacheLineSize;
  for (uint64_t line = flush.at / kCacheLineSize; line <= last; ++line) lines.push_back(line);
  return lines;
}

}  // namespace

size_t FencesIn(const Trace& trace) {
  return static_cast<size_t>(
      std::ranges::count(trace.events, TraceEvent::kFence, &TraceEvent::kind));
}

size_t FlushedLinesIn(const Trace& trace) {
  size_t lines = 0;
  for (const TraceEvent& event : trace.events) {
    if (event.kind == TraceEvent::kFlush) lines += LinesOf(event).size();
  }
  return lines;
}

bool FlushesEachLineOnce(const Trace& trace) {
  std::set<uint64_t> flushed;
  for (const TraceEvent& event : trace.events) {
    if (event.kind == TraceEvent::kFence) flushed.clear();
    if (event.kind != TraceEvent::kFlush) continue;
    for (const uint64_t line : LinesOf(event)) {
      if (!flushed.insert(line).second) return false;
    }
  }
  return true;
}

void EnumerateCrashes(const Trace& trace, size_t limit, uint64_t seed, const VisitWords& visit) {
  MemoryModel model(Granularity::kCacheLine);
  WordMap durable;
  size_t fences = 0;
  const auto crash = [&] {
    ForEachChoice(model.Pending(), limit, seed + fences, [&](const std::vector<WordStore>& kept) {
      WordMap image = durable;
      for (const WordStore& store : kept) image[store.at] = store.word;
      visit(image, fences);
      return true;
    });
  };
  std::vector<WordStore> certain;
  for (const TraceEvent& event : trace.events) {
    if (event.kind == TraceEvent::kFence) crash();
    certain.clear();
    model.Apply(trace, event, UINT32_MAX, certain);
    for (const WordStore& store : certain) durable[store.at] = store.word;
    if (event.kind == TraceEvent::kFence) ++fences;
  }
  crash();
}

}  // namespace ingot::tests
