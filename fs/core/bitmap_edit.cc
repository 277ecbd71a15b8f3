// SPDX-License-Identifier: BSD-3-Clause
// Loading lines of a bitmap page, and their share of its checksum. Touches media by guarded copies.
#include "fs/core/bitmap_edit.h"

#include <bit>
#include <cstring>

#include "pmemdev/base/checksum.h"

namespace ingot {

Result<void> BitmapEdit::Load(PageRun run) {
  const uint32_t last = (run.first + run.count - 1) / kRunPages;
  for (uint32_t line = run.first / kRunPages; line <= last; ++line) {
    const uint64_t bit = uint64_t{1} << line;
    if ((loaded_ & bit) != 0) continue;
    const uint64_t at = line * kCacheLineSize;
    const auto to = std::as_writable_bytes(std::span(bitmap_)).subspan(at, kCacheLineSize);
    TRY(device_.Read(OffsetOf(page_) + at, to));
    std::memcpy(std::as_writable_bytes(std::span(before_)).data() + at, to.data(), to.size());
    loaded_ |= bit;
  }
  return {};
}

uint32_t BitmapEdit::Checksum(uint32_t before) const {
  if (is_new_) return Crc32c(bytes());
  uint32_t checksum = before;
  for (uint64_t left = loaded_; left != 0; left &= left - 1) {
    const auto line = static_cast<uint32_t>(std::countr_zero(left));
    checksum = Crc32cOfChangedLine(checksum, line, LineOf(before_, line), LineOf(bitmap_, line));
  }
  return checksum;
}

}  // namespace ingot
