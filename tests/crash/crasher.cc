// SPDX-License-Identifier: BSD-3-Clause
// The walk: what is certain goes to the pool, what isn't is chosen from.
#include "tests/crash/crasher.h"

#include "tests/support/choices.h"

namespace ingot::tests {
namespace {

// Before which events the state is one that no earlier point had.
bool IsPoint(TraceEvent::Kind kind, Granularity durability) {
  switch (durability) {
    case Granularity::kByte:
      return kind <= TraceEvent::kNonTemporal || kind == TraceEvent::kFence;
    case Granularity::kPage:
      return kind == TraceEvent::kSync;
    default:
      return kind == TraceEvent::kFence;
  }
}

// Words of one call are stored one after another.
std::vector<TraceEvent> WordsApart(const TraceEvent& event) {
  std::vector<TraceEvent> words;
  for (uint32_t at = 0; at < event.size_bytes; at += kWordSize) {
    words.push_back(event);
    words.back().at += at;
    words.back().first_word += at / kWordSize;
    words.back().size_bytes = kWordSize;
  }
  return words;
}

}  // namespace

uint64_t ForEachImage(const Trace& trace, const CrashPlan& plan, CrashPool& pool,
                      const VisitImage& visit) {
  pool.Reset();
  MemoryModel model(plan.durability);
  std::vector<WordStore> durable;
  CrashPoint point{.marks = 0, .marks_passed = 0, .at_mark = false};
  uint64_t points = 0;
  bool goes_on = true;
  const auto crash = [&] {
    ++points;
    ForEachChoice(model.Pending(), plan.images_per_point, plan.seed + points,
                  [&](const std::vector<WordStore>& kept) {
                    goes_on = visit(point, kept, pool.Apply(kept));
                    pool.Undo();
                    return goes_on;
                  });
  };
  const auto pass = [&](const TraceEvent& event) {
    if (IsPoint(event.kind, plan.durability) && point.marks >= plan.first_mark) crash();
    if (!goes_on) return;
    durable.clear();
    model.Apply(trace, event, plan.skipped_site, durable);
    pool.MakeDurable(durable);
    point.at_mark = event.kind == TraceEvent::kMark;
  };
  for (const TraceEvent& event : trace.events) {
    if (plan.durability == Granularity::kByte && event.kind == TraceEvent::kStore) {
      for (TraceEvent word : WordsApart(event)) pass(word);
    } else {
      pass(event);
    }
    if (!goes_on) break;
    if (!point.at_mark) continue;
    point.marks = event.at;
    ++point.marks_passed;
    if (point.marks > plan.first_mark) crash();
    if (!goes_on) break;
  }
  return points;
}

}  // namespace ingot::tests
