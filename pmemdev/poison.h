// SPDX-License-Identifier: BSD-3-Clause
// SIGBUS on a region becomes an error of one operation: guarded copies and guarded pure reads.
//
// A fault inside a guarded call whose address lies in a registered region unwinds that call by
// siglongjmp and is reported as false; any other SIGBUS keeps its default meaning. Only leaf code
// may run under a guard: no locks, no allocation, no destructors between the guard and the fault.
// The handler is installed once per process. Thread-safe.
#pragma once

#include <atomic>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "pmemdev/base/result.h"

namespace ingot {

// What a fault at an address in a region was; Mapping::ClassifyFault decides.
enum class FaultKind { kMediaError, kHostHole };

namespace poison {

// Faults in [begin, begin + size) are to be caught from now on. Installs the handler.
void RegisterRegion(const std::byte* begin, uint64_t size_bytes);
void UnregisterRegion(const std::byte* begin);

struct Guard {
  sigjmp_buf resume;
  Guard* outer = nullptr;
};
namespace internal {
inline thread_local constinit Guard* current_guard = nullptr;
}
// All three are of this thread.
inline Guard*& CurrentGuard() { return internal::current_guard; }
const std::byte* LastFaultAddress();
bool LastFaultWasMachineCheck();  // the hardware said so itself

// Copies `size` bytes, of which either side may lie in a region. False: a fault; the destination
// holds part of the bytes.
[[nodiscard]] bool Copy(std::byte* to, const std::byte* from, size_t size_bytes);

// Runs `leaf` and returns true, or returns false as soon as it faults in a region.
template <typename Leaf>
[[nodiscard]] bool Run(Leaf&& leaf) {
  Guard guard;
  guard.outer = CurrentGuard();
  if (sigsetjmp(guard.resume, 0) != 0) {
    CurrentGuard() = guard.outer;
    return false;
  }
  CurrentGuard() = &guard;
  // The leaf's loads and stores must stay between the two guard stores.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::forward<Leaf>(leaf)();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CurrentGuard() = guard.outer;
  return true;
}

}  // namespace poison
}  // namespace ingot
