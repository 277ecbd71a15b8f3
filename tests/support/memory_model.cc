// SPDX-License-Identifier: BSD-3-Clause
// The three kinds of durability over one table of pending units.
#include "tests/support/memory_model.h"

#include <algorithm>

#include "pmemdev/base/check.h"

namespace ingot::tests {

namespace {

// Leaves the stores of a unit for which that says true of their index.
template <typename Unit, typename Predicate>
void Keep(Unit& unit, Predicate stays) {
  size_t kept = 0;
  for (size_t i = 0; i < unit.sure.size(); ++i) {
    if (!stays(i)) continue;
    unit.pending.stores[kept] = unit.pending.stores[i];
    unit.sure[kept++] = unit.sure[i];
  }
  unit.pending.stores.resize(kept);
  unit.sure.resize(kept);
}

}  // namespace

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
  uint64_t at = event.at;
  for (const uint64_t word : trace.WordsOf(event)) {
    StoreWord(event, {at, word}, durable);
    at += kWordSize;
  }
}

void MemoryModel::StoreWord(const TraceEvent& event, const WordStore& store,
                            std::vector<WordStore>& durable) {
  const bool cached = event.kind == TraceEvent::kStore;
  const uint64_t key = store.at / UnitBytes();
  if (granularity_ == Granularity::kByte && cached) {
    durable.push_back(store);
    const auto known = units_.find(key);
    if (known == units_.end()) return;
    const std::vector<PendingStore>& stores = known->second.pending.stores;
    Keep(known->second, [&](size_t i) { return stores[i].store.at != store.at; });
    if (stores.empty()) units_.erase(known);
    return;
  }
  CHECK(event.thread < 64, "thread {}", event.thread);
  Unit& unit = units_[key];
  unit.pending.stores.push_back({store, cached && granularity_ != Granularity::kPage});
  unit.sure.push_back(cached ? 0 : Threads{1} << event.thread);
  if (cached) unit.pending.only_non_temporal = false;
}

// What a flush orders is the line in the cache; non-temporal stores are on another way.
void MemoryModel::Flush(const TraceEvent& event) {
  if (granularity_ == Granularity::kPage) return;
  const uint64_t last = (event.at + event.size_bytes - 1) / UnitBytes();
  for (auto unit = units_.lower_bound(event.at / UnitBytes());
       unit != units_.end() && unit->first <= last; ++unit) {
    for (size_t i = 0; i < unit->second.sure.size(); ++i) {
      if (unit->second.pending.stores[i].ordered) {
        unit->second.sure[i] |= Threads{1} << event.thread;
      }
    }
  }
}

void MemoryModel::Fence(uint16_t thread, std::vector<WordStore>& durable) {
  if (granularity_ == Granularity::kPage) return;
  const Threads bit = Threads{1} << thread;
  std::map<uint64_t, size_t> last;  // of each word, the last store that is durable now
  for (auto unit = units_.begin(); unit != units_.end();) {
    const std::vector<PendingStore>& stores = unit->second.pending.stores;
    last.clear();
    for (size_t i = 0; i < stores.size(); ++i) {
      if ((unit->second.sure[i] & bit) == 0) continue;
      durable.push_back(stores[i].store);
      last[stores[i].store.at] = i;
    }
    if (!last.empty()) {
      Keep(unit->second, [&](size_t i) {
        const auto known = last.find(stores[i].store.at);
        return known == last.end() || known->second < i;
      });
    }
    unit = unit->second.sure.empty() ? units_.erase(unit) : std::next(unit);
  }
}

void MemoryModel::Sync(const TraceEvent& event, std::vector<WordStore>& durable) {
  if (skips_syncs_) return;
  const auto begin = units_.lower_bound(event.at / UnitBytes());
  auto end = begin;
  for (; end != units_.end() && end->first < (event.at + event.size_bytes) / UnitBytes(); ++end) {
    for (const PendingStore& pending : end->second.pending.stores) durable.push_back(pending.store);
  }
  units_.erase(begin, end);
}

std::vector<PendingUnit> MemoryModel::Pending() const {
  std::vector<PendingUnit> pending;
  for (const auto& [key, unit] : units_) pending.push_back(unit.pending);
  return pending;
}

}  // namespace ingot::tests
