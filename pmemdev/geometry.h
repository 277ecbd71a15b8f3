// SPDX-License-Identifier: BSD-3-Clause
// Where everything lies in a region, and the way between logical and media offsets.
//
//   label | lanes | { 2 MiB group table | up to 32,768 groups } ... | label
//   group: [2 MiB page array][128 MiB data]
//
// All parts are multiples of 2 MiB, so a huge page of the logical space is one of the medium. The
// last group may be short (a multiple of 2 MiB). A value: immutable, thread-safe, nothing on media.
#pragma once

#include <cstdint>

#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/format.h"

namespace ingot {

class Geometry {
 public:
  // The layout of a region of `region_size_bytes` (rounded down to 2 MiB).
  // ENOSPC: smaller than kMinRegionSize. EFBIG: larger than kMaxRegionSize.
  static Result<Geometry> ForRegion(uint64_t region_size_bytes);

  static constexpr uint64_t kMinRegionSize = uint64_t{16} << 20;
  static constexpr uint64_t kMaxRegionSize = uint64_t{1} << 50;  // 1 PiB

  [[nodiscard]] uint64_t region_size_bytes() const { return region_size_bytes_; }
  [[nodiscard]] uint64_t group_count() const { return group_count_; }
  [[nodiscard]] uint64_t page_count() const { return page_count_; }  // of the logical space
  [[nodiscard]] uint32_t PagesIn(GroupIndex group) const;

  [[nodiscard]] static MediaOffset SuperblockCopy(uint32_t copy, uint64_t region_size_bytes);
  [[nodiscard]] static MediaOffset Lane(uint32_t lane);
  [[nodiscard]] static MediaOffset GroupEntryAt(GroupIndex group);
  [[nodiscard]] static MediaOffset PageArrayOf(GroupIndex group);
  [[nodiscard]] static MediaOffset DataOf(GroupIndex group);

  // The medium's address of a logical one. Contiguous only up to the group's end.
  [[nodiscard]] static MediaOffset ToMedia(LogicalOffset at);
  [[nodiscard]] static MediaOffset ToMedia(LogicalPage page) { return ToMedia(OffsetOf(page)); }

  // True if [at, at + size) lies in the logical space and in one group.
  [[nodiscard]] bool ContainsWithinGroup(LogicalOffset at, uint64_t size_bytes) const;
  [[nodiscard]] bool Contains(LogicalPage page) const { return page.value < page_count_; }
  // True if a journal record may write there: group tables and group data, nothing else.
  [[nodiscard]] bool MayReplay(MediaOffset at, uint64_t size_bytes) const;

  // The page that a media offset belongs to; ENOENT where it is no group's data.
  [[nodiscard]] Result<LogicalPage> PageAt(MediaOffset at) const;

 private:
  uint64_t region_size_bytes_ = 0;
  uint64_t group_count_ = 0;
  uint64_t page_count_ = 0;
};

}  // namespace ingot
