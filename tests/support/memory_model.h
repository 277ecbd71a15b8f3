// SPDX-License-Identifier: BSD-3-Clause
// Which stores are durable for certain after each event of a trace, and which may be or not.
//
// kCacheLine is x86 with ADR: a store is durable once its line was flushed (or it was non-temporal)
// and the same thread fenced afterwards; until then it may be. Cached stores to one line persist in
// program order. Non-temporal ones have no order but their thread's fences, neither among each
// other nor with cached ones (Intel's manual, volume 1, 10.4.6.2; the Px86 models say the same):
// only aligned words are atomic, and two stores to one word keep their order. kByte is eADR: cached
// stores are durable when done, non-temporal ones at the thread's fence. kPage is a plain file:
// durable is what msync was called for; before it the host may write pages back at any time, and
// while they are stored to: what it copies last need not have been stored last, so that there, too,
// each word is for itself. Single-threaded.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "tests/support/trace.h"

namespace ingot::tests {

inline constexpr uint64_t kSectorSize = 512;

struct WordStore {
  uint64_t at;
  uint64_t word;
};

struct PendingStore {
  WordStore store;
  bool ordered;  // kept only with all ordered ones of its unit that came before
};

// A line or sector with stores that may be lost.
struct PendingUnit {
  std::vector<PendingStore> stores;  // in program order
  bool only_non_temporal = true;
};

class MemoryModel {
 public:
  explicit MemoryModel(Granularity granularity) : granularity_(granularity) {}

  // Adds to `durable` what is certain from now on, in order. `skipped_site`: as if the program had
  // no such flush or fence; UINT32_MAX: it has all.
  void Apply(const Trace& trace, const TraceEvent& event, uint32_t skipped_site,
             std::vector<WordStore>& durable);
  // By place.
  [[nodiscard]] std::vector<PendingUnit> Pending() const;
  [[nodiscard]] bool has_pending() const { return !units_.empty(); }

 private:
  using Threads = uint64_t;  // bit i: thread i
  struct Unit {
    PendingUnit pending;
    std::vector<Threads> sure;  // a store is durable at the next fence of one of these
  };

  [[nodiscard]] uint64_t UnitBytes() const;
  void Store(const Trace& trace, const TraceEvent& event, std::vector<WordStore>& durable);
  void StoreWord(const TraceEvent& event, const WordStore& store, std::vector<WordStore>& durable);
  void Flush(const TraceEvent& event);
  void Fence(uint16_t thread, std::vector<WordStore>& durable);
  void Sync(const TraceEvent& event, std::vector<WordStore>& durable);

  Granularity granularity_;
  std::map<uint64_t, Unit> units_;
  bool skips_syncs_ = false;  // those of a fence that isn't there
};

}  // namespace ingot::tests
