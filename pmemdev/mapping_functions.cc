// SPDX-License-Identifier: BSD-3-Clause
// libpmem2's function pointers and flags; the fence that eADR needs beside them.
#include "pmemdev/mapping_functions.h"

#include <libpmem2.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <atomic>
#endif

namespace ingot {
namespace {

constexpr unsigned kFlags = PMEM2_F_MEM_NODRAIN | PMEM2_F_MEM_NONTEMPORAL;

// Orders non-temporal stores before whatever follows.
void FenceNonTemporalStores() {
#if defined(__x86_64__)
  _mm_sfence();
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

MappingFunctions::MappingFunctions(const Mapping& mapping)
    : page_granular_(mapping.granularity() == Granularity::kPage),
      // With eADR caches are durable, but non-temporal stores go past them; libpmem2 doesn't
      // promise that its drain fences there.
      fence_after_drain_(mapping.granularity() == Granularity::kByte) {
  if (page_granular_) return;
  copy_ = pmem2_get_memcpy_fn(mapping.pmem2());
  set_ = pmem2_get_memset_fn(mapping.pmem2());
  flush_ = pmem2_get_flush_fn(mapping.pmem2());
  drain_ = pmem2_get_drain_fn(mapping.pmem2());
}

void MappingFunctions::CopyLines(std::byte* to, const std::byte* from, size_t size_bytes) const {
  copy_(to, from, size_bytes, kFlags);
}

void MappingFunctions::ZeroLines(std::byte* to, size_t size_bytes) const {
  set_(to, 0, size_bytes, kFlags);
}

void MappingFunctions::Drain() const {
  drain_();
  if (fence_after_drain_) FenceNonTemporalStores();
}

}  // namespace ingot
