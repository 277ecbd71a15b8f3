// SPDX-License-Identifier: BSD-3-Clause
// What a crash may leave of recorded stores: x86 with ADR, one thread.
//
// A cached store is durable for certain once its line was flushed and a fence followed, a
// non-temporal one after the fence alone; until then any of them may be. Cached stores to one line
// persist in program order, aligned words are atomic. Single-threaded; touches no media.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "pmemdev/base/ids.h"
#include "pmemdev/persist.h"

namespace ingot::tests {

// Words by their place; what isn't named is as it was when recording began.
using WordMap = std::map<uint64_t, uint64_t>;

class StoreTrace : public PersistObserver {
 public:
  void OnStore(MediaOffset at, std::span<const std::byte> bytes, StoreKind kind) override;
  void OnFlush(MediaOffset at, uint64_t size_bytes, PersistSite) override;
  void OnFence(PersistSite) override;

  // Calls `visit(image, fences completed before the crash)` for crashes just before each fence and
  // at the end: nothing pending persists, all does, all but one line, one line alone, `samples`
  // random choices.
  using Visit = std::function<void(const WordMap&, size_t fences)>;
  void EnumerateCrashes(size_t samples, uint64_t seed, const Visit& visit) const;

  [[nodiscard]] size_t fences() const { return fences_; }
  [[nodiscard]] size_t flushed_lines() const { return flushed_lines_; }
  // True if no line was flushed twice between two fences.
  [[nodiscard]] bool each_line_flushed_once() const { return each_line_flushed_once_; }

 private:
  struct Event {
    enum Kind { kStore, kNonTemporal, kFlush, kFence } kind;
    uint64_t at;
    uint64_t word;
  };
  struct Pending {
    uint64_t at;
    uint64_t word;
    bool ordered;  // cached
    bool flushed;
  };
  using Lines = std::map<uint64_t, std::vector<Pending>>;

  static void Crash(const WordMap& durable, const Lines& lines, size_t fences, size_t samples,
                    std::mt19937_64& random, const Visit& visit);

  std::vector<Event> events_;
  size_t fences_ = 0;
  size_t flushed_lines_ = 0;
  bool each_line_flushed_once_ = true;
  std::map<uint64_t, bool> flushed_since_fence_;
};

}  // namespace ingot::tests
