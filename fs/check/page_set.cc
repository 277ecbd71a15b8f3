// SPDX-License-Identifier: BSD-3-Clause
// Anonymous memory as a sparse bitmap.
#include "fs/check/page_set.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "pmemdev/base/check.h"

namespace ingot::check {

Result<PageSet> PageSet::Create(uint64_t group_count) {
  const uint64_t size_bytes = std::max<uint64_t>(group_count, 1) * sizeof(PageBitmap);
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return FailureFromErrno("memory for a page set");
  // A huge page would populate 512 groups for the sake of one.
  (void)madvise(memory, size_bytes, MADV_NOHUGEPAGE);
  return PageSet(static_cast<uint64_t*>(memory), size_bytes);
}

PageSet::PageSet(PageSet&& other) noexcept
    : words_(std::exchange(other.words_, nullptr)),
      size_bytes_(other.size_bytes_),
      empty_(other.empty_) {}

PageSet::~PageSet() {
  if (words_ != nullptr) munmap(words_, size_bytes_);
}

bool PageSet::Add(LogicalPage page) {
  const uint32_t index = IndexInGroup(page);
  uint64_t& word = BitmapOf(GroupOf(page))[index / 64];
  const uint64_t bit = uint64_t{1} << (index % 64);
  const bool is_new = (word & bit) == 0;
  word |= bit;
  empty_ = false;
  return is_new;
}

bool PageSet::Intersects(LogicalPage first, uint32_t count) const {
  return !AllClear(ViewOf(GroupOf(first)), {IndexInGroup(first), count});
}

void PageSet::AddRun(LogicalPage first, uint32_t count) {
  SetRun(BitmapOf(GroupOf(first)), {IndexInGroup(first), count});
  empty_ = false;
}

void PageSet::Clear() {
  CHECK(madvise(words_, size_bytes_, MADV_DONTNEED) == 0, "errno {}", errno);
  empty_ = true;
}

}  // namespace ingot::check
