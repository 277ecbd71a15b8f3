// SPDX-License-Identifier: BSD-3-Clause
// The three kinds of durability over one table of pending units.
#include "tests/support/memory_model.h"

#include <algorithm>

namespace ingot::tests {

uint64_t MemoryModel::UnitBytes() const {
  return granularity_ == Granularity::kPage ? kSectorSize : kCacheLineSize;
}

void MemoryModel::Apply(const Trace& trace, const TraceEvent& event, uint32_t skipped_site,
                        std::vector<WordStore>& durable) {
  const bool has_site = event.kind == TraceEvent::kFlush || event.kind == TraceEvent::kFence;
  if (event.kind == TraceEvent::kFence) skips_syncs_ = event.site == skipped_site;
  if (has_site && event.site == skipped_site) return;
  switch (event.kind) {
    case TraceEvent::kStore:
    case TraceEvent::kNonTemporal:
      return Store(trace, event, durable);
    case TraceEvent::kFlush:
      return Flush(event);
    case TraceEvent::kFence:
      return Fence(event.thread, durable);
    case TraceEvent::kSync:
      return Sync(event, durable);
    case TraceEvent::kMark:
      return;
  }
}

void MemoryModel::Store(const Trace& trace, const TraceEvent& event,
                        std::vector<WordStore>& durable) {
  const bool cached = event.kind == TraceEvent::kStore;
  uint64_t at = event.at;
  for (const uint64_t word : trace.WordsOf(event)) {
    const uint64_t key = at / UnitBytes();
    if (granularity_ == Granularity::kByte && cached) {
      // What was pending in the line reaches the cache's domain of durability before it.
      if (const auto unit = units_.find(key); unit != units_.end()) {
        const auto& stores = unit->second.pending.stores;
        durable.insert(durable.end(), stores.begin(), stores.end());
        units_.erase(unit);
      }
      durable.push_back({at, word});
    } else {
      Unit& unit = units_[key];
      unit.pending.stores.push_back({at, word});
      if (cached) unit.pending.only_non_temporal = false;
      if (!cached) unit.sure[event.thread] = unit.pending.stores.size();
    }
    at += kWordSize;
  }
}

void MemoryModel::Flush(const TraceEvent& event) {
  if (granularity_ == Granularity::kPage) return;
  const uint64_t last = (event.at + event.size_bytes - 1) / UnitBytes();
  for (auto unit = units_.lower_bound(event.at / UnitBytes());
       unit != units_.end() && unit->first <= last; ++unit) {
    unit->second.sure[event.thread] = unit->second.pending.stores.size();
  }
}

void MemoryModel::Fence(uint16_t thread, std::vector<WordStore>& durable) {
  if (granularity_ == Granularity::kPage) return;
  for (auto unit = units_.begin(); unit != units_.end();) {
    const auto known = unit->second.sure.find(thread);
    if (known == unit->second.sure.end()) {
      ++unit;
      continue;
    }
    const size_t sure = known->second;
    unit->second.sure.erase(known);
    std::vector<WordStore>& stores = unit->second.pending.stores;
    const auto end = stores.begin() + static_cast<ptrdiff_t>(sure);
    durable.insert(durable.end(), stores.begin(), end);
    stores.erase(stores.begin(), end);
    for (auto& [other, upto] : unit->second.sure) upto -= std::min(upto, sure);
    unit = stores.empty() ? units_.erase(unit) : std::next(unit);
  }
}

void MemoryModel::Sync(const TraceEvent& event, std::vector<WordStore>& durable) {
  if (skips_syncs_) return;
  const auto begin = units_.lower_bound(event.at / UnitBytes());
  auto end = begin;
  for (; end != units_.end() && end->first < (event.at + event.size_bytes) / UnitBytes(); ++end) {
    const std::vector<WordStore>& stores = end->second.pending.stores;
    durable.insert(durable.end(), stores.begin(), stores.end());
  }
  units_.erase(begin, end);
}

std::vector<PendingUnit> MemoryModel::Pending() const {
  std::vector<PendingUnit> pending;
  for (const auto& [key, unit] : units_) pending.push_back(unit.pending);
  return pending;
}

}  // namespace ingot::tests
