// SPDX-License-Identifier: BSD-3-Clause
// The only place where bytes reach the medium: stores, non-temporal copies, flushes and fences.
//
// A PersistStream belongs to one operation on one thread. What it wrote is durable for certain only
// after its Fence() returned success; before that a crash may leave any part of it, torn at aligned
// 8 bytes and nowhere finer. On page granularity (plain files) the stream collects what it touched
// and Fence() issues one msync per run; a failed msync is never retried: the device turns
// read-only. Persist itself is thread-safe; a stream is not.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <absl/container/inlined_vector.h>

#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

namespace ingot {

enum class StoreKind : uint8_t { kCached, kNonTemporal };

// Which flush or fence of the program it is. Known in test builds only, where crash tests ask what
// would be lost without it. (clang 14 has no std::source_location.)
struct PersistSite {
#ifdef INGOT_TEST_HOOKS
  const char* file;
  uint32_t line;
  static constexpr PersistSite current(const char* call_file = __builtin_FILE(),
                                       uint32_t call_line = __builtin_LINE()) {
    return {call_file, call_line};
  }
#else
  static constexpr PersistSite current() { return {}; }
#endif
};

// Tests see every store, flush and fence through this. Called on the thread that does it, before it
// is done. The bytes are what will be at `at` afterwards, aligned out to 8-byte words.
class PersistObserver {
 public:
  virtual ~PersistObserver() = default;
  virtual void OnStore(MediaOffset at, std::span<const std::byte> bytes, StoreKind kind) = 0;
  virtual void OnFlush(MediaOffset at, uint64_t size_bytes, PersistSite site) = 0;
  virtual void OnFence(PersistSite site) = 0;
  // On page granularity, after OnFence: what its msync calls are for, one by one.
  virtual void OnSync(MediaOffset at, uint64_t size_bytes) { (void)at, (void)size_bytes; }
};

struct PersistCounts {
  uint64_t stores = 0;   // calls that store, copy or zero
  uint64_t flushes = 0;  // cache lines, with the partly written ones at a copy's ends
  uint64_t fences = 0;
  uint64_t msyncs = 0;
  uint64_t bytes = 0;
};

class MappingFunctions;
class PersistStream;

class Persist {
 public:
  explicit Persist(const Mapping& mapping);
  ~Persist();
  Persist(const Persist&) = delete;
  Persist& operator=(const Persist&) = delete;

  [[nodiscard]] PersistStream NewStream();
  [[nodiscard]] PersistCounts counts() const;
  void set_observer(PersistObserver* observer) { observer_ = observer; }
  // Tests: the n-th msync from now fails with EIO (1: the next one; 0: none).
  void FailMsyncAfter(uint64_t n) { msyncs_until_failure_ = n; }

  // Set after a failed msync or a store that hit a hole: every later stream operation answers
  // EROFS.
  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_acquire); }
  void Fail() { failed_.store(true, std::memory_order_release); }

 private:
  friend class PersistStream;
  [[nodiscard]] bool TakeInjectedFailure();

  const Mapping& mapping_;
  std::unique_ptr<MappingFunctions> functions_;
  PersistObserver* observer_;
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> msyncs_until_failure_{0};
  std::atomic<uint64_t> stores_{0}, flushes_{0}, fences_{0}, msyncs_{0}, bytes_{0};
};

class PersistStream {
 public:
  ~PersistStream();
  PersistStream(PersistStream&&) noexcept;
  PersistStream& operator=(PersistStream&&) = delete;
  PersistStream(const PersistStream&) = delete;

  // Cached stores, each word by one 8-byte store, not flushed: for words that are flushed line by
  // line afterwards. `at` and the size are multiples of 8. Errors: EIO (the page is poisoned),
  // ENOSPC (a hole of a full host), EROFS.
  Result<void> StoreUnflushed(MediaOffset at, std::span<const uint64_t> words);
  // Memory for so many calls of Flush or of a copy: these don't need the heap then.
  void ReserveFlushes(size_t count);
  // Flushes the lines of [at, at + size), each line once per call.
  void Flush(MediaOffset at, uint64_t size_bytes, PersistSite site = PersistSite::current());
  // Non-temporal copy of any alignment; heads and tails are merged into 8-byte stores, whose other
  // bytes are rewritten as they were. Needs the lock that covers those whole words. Errors as
  // above.
  Result<void> CopyUnfenced(MediaOffset to, std::span<const std::byte> from);
  Result<void> ZeroUnfenced(MediaOffset to, uint64_t size_bytes);

  // Everything this stream stored or copied (and flushed) is durable when this returns success.
  // EIO: msync failed; the device is read-only from now on.
  Result<void> Fence(PersistSite site = PersistSite::current());

 private:
  friend class Persist;
  explicit PersistStream(Persist& persist) : persist_(&persist) {}

  struct Run {
    uint64_t begin;
    uint64_t end;
  };
  // Checks and counts what every store begins with. CHECKs that the range lies in the mapping.
  Result<void> Begin(MediaOffset at, uint64_t size_bytes);
  // The Error of a store that faulted.
  [[nodiscard]] tl::unexpected<Error> Faulted(MediaOffset at);
  void ObserveStore(MediaOffset to, const std::byte* from, uint64_t size_bytes,
                    StoreKind kind) const;
  // `from` null: zeros.
  Result<void> CopyOrZero(MediaOffset to, const std::byte* from, uint64_t size_bytes);
  // The ends of a copy, flushed, and its whole lines.
  Result<void> StoreWords(MediaOffset to, const std::byte* from, uint64_t size_bytes,
                          PersistSite site);
  Result<void> StoreLines(MediaOffset to, const std::byte* from, uint64_t size_bytes);
  void AddDirty(MediaOffset at, uint64_t size_bytes);
  Result<void> SyncDirtyRuns();

  Persist* persist_;
  absl::InlinedVector<Run, 8> dirty_;  // page granularity only
  PersistCounts counts_;
};

}  // namespace ingot
