// SPDX-License-Identifier: BSD-3-Clause
// Everything that reaches the medium, in the order in which it was done: stores, flushes, fences
// with the place in the program that asked for them, and marks between operations.
//
// The recorder is thread-safe; a trace that is complete is a plain value.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "pmemdev/persist.h"

namespace ingot::tests {

struct TraceEvent {
  enum Kind : uint8_t { kStore, kNonTemporal, kFlush, kFence, kSync, kMark };
  Kind kind;
  uint16_t thread;      // in order of appearance
  uint16_t site;        // of flushes and fences: index into SiteNames()
  uint32_t size_bytes;  // of stores, flushes and syncs
  uint64_t at;          // media offset; a mark's number
  size_t first_word;    // of stores: where their words are in Trace::words
};

struct Trace {
  std::vector<TraceEvent> events;
  std::vector<uint64_t> words;

  [[nodiscard]] std::span<const uint64_t> WordsOf(const TraceEvent& event) const {
    return std::span(words).subspan(event.first_word, event.size_bytes / kWordSize);
  }
};

// "file:line" of every flush and fence met so far by any recorder of this process.
[[nodiscard]] std::vector<std::string> SiteNames();

class TraceRecorder : public PersistObserver {
 public:
  void OnStore(MediaOffset at, std::span<const std::byte> bytes, StoreKind kind) override;
  void OnFlush(MediaOffset at, uint64_t size_bytes, PersistSite site) override;
  void OnFence(PersistSite site) override;
  void OnSync(MediaOffset at, uint64_t size_bytes) override;
  void Mark(uint64_t number);

  [[nodiscard]] const Trace& trace() const { return trace_; }
  void Clear();

 private:
  void Add(TraceEvent event);
  void AddPlain(TraceEvent::Kind kind, uint64_t at, uint64_t size_bytes, uint16_t site);

  std::mutex mutex_;
  Trace trace_;
  std::map<std::thread::id, uint16_t> threads_;
};

}  // namespace ingot::tests
