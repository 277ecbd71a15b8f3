// SPDX-License-Identifier: BSD-3-Clause
// A set of pages of the logical space: one bit each, in lazily populated anonymous memory.
//
// Costs 4 KiB for each group that something was put into; asking costs nothing more. Move-only; not
// thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "fs/core/page_bitmap.h"
#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"

namespace ingot::check {

class PageSet {
 public:
  // ENOMEM: no address space.
  static Result<PageSet> Create(uint64_t group_count);
  PageSet(PageSet&& other) noexcept;
  PageSet& operator=(PageSet&&) = delete;
  ~PageSet();

  [[nodiscard]] bool Contains(LogicalPage page) const {
    return TestBit(ViewOf(GroupOf(page)), IndexInGroup(page));
  }
  // True if it was not there yet.
  bool Add(LogicalPage page);
  // Any page of the run, which lies in one group?
  [[nodiscard]] bool Intersects(LogicalPage first, uint32_t count) const;
  void AddRun(LogicalPage first, uint32_t count);
  void Clear();

  [[nodiscard]] BitmapView ViewOf(GroupIndex group) const {
    return BitmapView(words_ + group.value * kBitmapWords, kBitmapWords);
  }
  [[nodiscard]] bool empty() const { return empty_; }

 private:
  PageSet(uint64_t* words, uint64_t size_bytes) : words_(words), size_bytes_(size_bytes) {}
  [[nodiscard]] PageBitmap& BitmapOf(GroupIndex group) {
    return *reinterpret_cast<PageBitmap*>(words_ + group.value * kBitmapWords);
  }

  uint64_t* words_;
  uint64_t size_bytes_;
  bool empty_ = true;
};

}  // namespace ingot::check
