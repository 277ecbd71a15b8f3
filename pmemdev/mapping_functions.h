// SPDX-License-Identifier: BSD-3-Clause
// libpmem2's functions for one mapping, chosen by granularity and CPU. Internal to Persist.
//
// On page granularity there are none: stores are plain and msync is Persist's own business, because
// libpmem2's would be called for each copy. Immutable, hence thread-safe.
#pragma once

#include <cstddef>

#include "pmemdev/mapping.h"

namespace ingot {

class MappingFunctions {
 public:
  explicit MappingFunctions(const Mapping& mapping);

  [[nodiscard]] bool page_granular() const { return page_granular_; }

  // The rest is for other granularities only. Non-temporal, not drained; whole cache lines.
  void CopyLines(std::byte* to, const std::byte* from, size_t size_bytes) const;
  void ZeroLines(std::byte* to, size_t size_bytes) const;
  void Flush(const std::byte* at, size_t size_bytes) const { flush_(at, size_bytes); }
  void Drain() const;

 private:
  bool page_granular_;
  bool fence_after_drain_;
  void* (*copy_)(void* to, const void* from, size_t size_bytes, unsigned flags) = nullptr;
  void* (*set_)(void* to, int value, size_t size_bytes, unsigned flags) = nullptr;
  void (*flush_)(const void* at, size_t size_bytes) = nullptr;
  void (*drain_)() = nullptr;
};

}  // namespace ingot
