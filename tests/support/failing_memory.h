// SPDX-License-Identifier: BSD-3-Clause
// Memory runs out at the n-th allocation of this thread.
//
// Whoever links this gets the global operator new of this library, which counts while a
// FailingMemory lives and throws std::bad_alloc when its turn has come. Other threads, and malloc,
// are left alone. One at a time on a thread.
#pragma once

#include <cstdint>

namespace ingot::tests {

class FailingMemory {
 public:
  enum class Failures { kOne, kAllFromThere };

  // n = 1: the next allocation.
  FailingMemory(uint64_t n, Failures failures);
  ~FailingMemory();
  FailingMemory(const FailingMemory&) = delete;

  // Of this thread, whether by the one that lives or by the last one that did.
  static bool HasFailed();
};

}  // namespace ingot::tests
