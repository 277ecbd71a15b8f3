// SPDX-License-Identifier: BSD-3-Clause
// Memory runs out at the n-th allocation of this thread, or again and again for all others.
//
// Whoever links this gets the global operator new of this library, which counts while one of these
// lives and throws std::bad_alloc when its turn has come. malloc is left alone. One FailingMemory
// at a time on a thread, one ScarceMemory at a time.
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

// As long as it lives each n-th allocation fails on all threads but those that are exempt, as the
// one that made it is.
class ScarceMemory {
 public:
  class Exempt {
   public:
    Exempt();
    ~Exempt();
    Exempt(const Exempt&) = delete;
  };

  explicit ScarceMemory(uint64_t n);
  ~ScarceMemory();
  ScarceMemory(const ScarceMemory&) = delete;

 private:
  Exempt exempt_;
};

}  // namespace ingot::tests
