// SPDX-License-Identifier: BSD-3-Clause
// A change of a group's bitmap page: DRAM copies of the lines that change, and what the page's
// checksum becomes.
//
// A line is a huge page's 512 bits, so a change looks at 64 bytes of the medium for each huge page
// it touches, instead of at all 4 KiB. The page was verified before, and the group's lock is held
// until the change is logged. Writes DRAM only.
#pragma once

#include <cstdint>
#include <span>

#include "fs/core/page_bitmap.h"
#include "pmemdev/device.h"

namespace ingot {

class BitmapEdit {
 public:
  // Of the page on media; nothing is loaded yet.
  BitmapEdit(const Device& device, LogicalPage page) : device_(device), page_(page) {}
  // Of a page that isn't on media yet: all of it is there.
  BitmapEdit(const Device& device, LogicalPage page, const PageBitmap& contents)
      : device_(device), page_(page), loaded_(~uint64_t{0}), is_new_(true), bitmap_(contents) {}

  // Copies the lines of the run's huge pages, those that aren't there yet. EIO.
  Result<void> Load(PageRun run);
  // Only what was loaded means anything.
  [[nodiscard]] PageBitmap& bitmap() { return bitmap_; }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(bitmap_));
  }
  // The page's checksum with the change, given the one without it. A page that didn't fit the old
  // one doesn't fit the new one.
  [[nodiscard]] uint32_t Checksum(uint32_t before) const;

 private:
  static constexpr uint32_t kLines = kPageSize / kCacheLineSize;
  static_assert(kLines == 64 && kCacheLineSize * 8 == kRunPages);
  using Line = std::span<const std::byte, kCacheLineSize>;
  static Line LineOf(const PageBitmap& bitmap, uint32_t line) {
    return std::as_bytes(std::span(bitmap)).subspan(line * kCacheLineSize).first<kCacheLineSize>();
  }

  const Device& device_;
  const LogicalPage page_;
  uint64_t loaded_ = 0;  // bit i: line i
  const bool is_new_ = false;
  PageBitmap bitmap_;
  PageBitmap before_;
};

}  // namespace ingot
