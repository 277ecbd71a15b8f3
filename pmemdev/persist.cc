// SPDX-License-Identifier: BSD-3-Clause
// What makes stores durable: fences, and on page granularity one msync per run of touched pages.
// The stores themselves are in persist_stream.cc.
#include "pmemdev/persist.h"

#include <sys/mman.h>

#include <algorithm>

#include <fmt/format.h>

#include "pmemdev/mapping_functions.h"

namespace ingot {

Persist::Persist(const Mapping& mapping)
    : mapping_(mapping),
      functions_(std::make_unique<MappingFunctions>(mapping)),
      observer_(mapping.observer()) {}

Persist::~Persist() = default;

PersistStream Persist::NewStream() { return PersistStream(*this); }

PersistCounts Persist::counts() const {
  PersistCounts counts;
  counts.stores = stores_.load(std::memory_order_relaxed);
  counts.flushes = flushes_.load(std::memory_order_relaxed);
  counts.fences = fences_.load(std::memory_order_relaxed);
  counts.msyncs = msyncs_.load(std::memory_order_relaxed);
  counts.bytes = bytes_.load(std::memory_order_relaxed);
  return counts;
}

bool Persist::TakeInjectedFailure() {
  uint64_t left = msyncs_until_failure_.load(std::memory_order_relaxed);
  while (left != 0) {
    if (msyncs_until_failure_.compare_exchange_weak(left, left - 1)) return left == 1;
  }
  return false;
}

void PersistStream::AddDirty(MediaOffset at, uint64_t size_bytes) {
  const Run run = {RoundDown(at.value, kPageSize), RoundUp(at.value + size_bytes, kPageSize)};
  if (!dirty_.empty() && run.begin <= dirty_.back().end && run.begin >= dirty_.back().begin) {
    dirty_.back().end = std::max(dirty_.back().end, run.end);
    return;
  }
  dirty_.push_back(run);
}

void PersistStream::ReserveFlushes(size_t count) {
  if (persist_->functions_->page_granular()) dirty_.reserve(dirty_.size() + count);
}

Result<void> PersistStream::Fence(PersistSite site) {
  if (persist_->failed()) return Failure(EROFS, "the region is read-only");
  if (persist_->observer_ != nullptr) persist_->observer_->OnFence(site);
  ++counts_.fences;
  if (persist_->functions_->page_granular()) return SyncDirtyRuns();
  persist_->functions_->Drain();
  return {};
}

Result<void> PersistStream::SyncDirtyRuns() {
  std::sort(dirty_.begin(), dirty_.end(),
            [](const Run& a, const Run& b) { return a.begin < b.begin; });
  for (size_t i = 0; i < dirty_.size();) {
    Run run = dirty_[i];
    for (++i; i < dirty_.size() && dirty_[i].begin <= run.end; ++i) {
      run.end = std::max(run.end, dirty_[i].end);
    }
    ++counts_.msyncs;
    if (persist_->observer_ != nullptr) {
      persist_->observer_->OnSync(MediaOffset(run.begin), run.end - run.begin);
    }
    std::byte* begin = persist_->mapping_.writable_base() + run.begin;
    const bool injected = persist_->TakeInjectedFailure();
    if (injected || msync(begin, run.end - run.begin, MS_SYNC) != 0) {
      // The kernel may have dropped the dirty pages: a second msync would succeed and mean nothing.
      persist_->Fail();
      dirty_.clear();
      return Failure(EIO, fmt::format("msync of {} bytes at {}: {}", run.end - run.begin, run.begin,
                                      injected ? "injected" : ErrnoName(errno)));
    }
  }
  dirty_.erase(dirty_.begin(), dirty_.end());  // clear() would give the memory back
  return {};
}

}  // namespace ingot
