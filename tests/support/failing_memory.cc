// SPDX-License-Identifier: BSD-3-Clause
// Plain and aligned operator new by malloc; the array and nothrow forms of the standard library
// call these.
#include "tests/support/failing_memory.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace ingot::tests {
namespace {

// No object with a constructor: allocations come before main and after its end.
thread_local uint64_t allocations_left = 0;  // 0: nobody counts
thread_local bool fails_from_there = false;
thread_local bool has_failed = false;
thread_local bool is_exempt = false;
std::atomic<uint64_t> each_fails{0};  // 0: none
std::atomic<uint64_t> allocations{0};

void* Allocate(size_t size_bytes, size_t alignment) {
  if (allocations_left != 0) {
    if (--allocations_left == 0) {
      has_failed = true;
      if (fails_from_there) allocations_left = 1;
      throw std::bad_alloc();
    }
  }
  if (const uint64_t each = each_fails.load(std::memory_order_relaxed); each != 0 && !is_exempt) {
    if (allocations.fetch_add(1, std::memory_order_relaxed) % each == 0) throw std::bad_alloc();
  }
  if (size_bytes == 0) size_bytes = 1;
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t)) {
    memory = std::malloc(size_bytes);
  } else if (posix_memalign(&memory, alignment, size_bytes) != 0) {
    memory = nullptr;
  }
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

FailingMemory::FailingMemory(uint64_t n, Failures failures) {
  has_failed = false;
  fails_from_there = failures == Failures::kAllFromThere;
  allocations_left = n;
}

FailingMemory::~FailingMemory() { allocations_left = 0; }

bool FailingMemory::HasFailed() { return has_failed; }

ScarceMemory::Exempt::Exempt() { is_exempt = true; }
ScarceMemory::Exempt::~Exempt() { is_exempt = false; }

ScarceMemory::ScarceMemory(uint64_t n) { each_fails.store(n); }
ScarceMemory::~ScarceMemory() { each_fails.store(0); }

}  // namespace ingot::tests

void* operator new(size_t size_bytes) { return ingot::tests::Allocate(size_bytes, 1); }
void* operator new(size_t size_bytes, std::align_val_t alignment) {
  return ingot::tests::Allocate(size_bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
