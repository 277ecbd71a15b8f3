// SPDX-License-Identifier: BSD-3-Clause
// Operations on one descriptor: reuse and the saturating counts of the kernel's references.
//
// Lock-free; volatile, nothing here survives a crash.
#include <algorithm>
#include <limits>

#include "pmemdev/base/check.h"
#include "pmemdev/page_array.h"

namespace ingot {
namespace {

template <typename T>
T Add(std::atomic<T>& counter, uint64_t count) {
  constexpr T kMax = std::numeric_limits<T>::max();
  T old = counter.load(std::memory_order_relaxed);
  T sum = 0;
  do {
    sum = count > static_cast<uint64_t>(kMax - old) ? kMax : static_cast<T>(old + count);
  } while (!counter.compare_exchange_weak(old, sum, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
  return sum;
}

template <typename T>
T Subtract(std::atomic<T>& counter, uint64_t count) {
  constexpr T kMax = std::numeric_limits<T>::max();
  T old = counter.load(std::memory_order_relaxed);
  T rest = 0;
  do {
    if (old == kMax) return kMax;
    rest = count > old ? T{0} : static_cast<T>(old - count);
  } while (!counter.compare_exchange_weak(old, rest, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
  return rest;
}

InodeReferences& ReferencesOf(PageDescriptor& descriptor, uint32_t slot) {
  CHECK(slot < descriptor.references.lookups.size(), "slot {}", slot);
  return descriptor.references;
}

// Arrays are aligned to their own size, on the device and in DRAM.
bool IsGroupHead(const PageDescriptor& descriptor) {
  return reinterpret_cast<uintptr_t>(&descriptor) % media::kPageArraySize ==
         media::kAllocatedBitmapPage * sizeof(PageDescriptor);
}

}  // namespace

void ResetDescriptor(PageDescriptor& descriptor, PageState state) {
  ClearMarks(descriptor);
  descriptor.write_count.store(0, std::memory_order_relaxed);
  descriptor.owner.store(0, std::memory_order_relaxed);
  if (!IsGroupHead(descriptor)) {
    descriptor.page.file_page.store(0, std::memory_order_relaxed);
    for (auto& word : descriptor.page.reserved) word.store(0, std::memory_order_relaxed);
  }
  // Last: who sees the new state sees no counts of the old one.
  descriptor.state.store(state, std::memory_order_release);
}

uint32_t AddLookups(PageDescriptor& descriptor, uint32_t slot, uint64_t count) {
  return Add(ReferencesOf(descriptor, slot).lookups[slot], count);
}

uint32_t ForgetLookups(PageDescriptor& descriptor, uint32_t slot, uint64_t count) {
  return Subtract(ReferencesOf(descriptor, slot).lookups[slot], count);
}

uint16_t AddOpen(PageDescriptor& descriptor, uint32_t slot) {
  return Add(ReferencesOf(descriptor, slot).opens[slot], 1);
}

uint16_t RemoveOpen(PageDescriptor& descriptor, uint32_t slot) {
  return Subtract(ReferencesOf(descriptor, slot).opens[slot], 1);
}

}  // namespace ingot
