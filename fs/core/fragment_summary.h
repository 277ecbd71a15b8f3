// SPDX-License-Identifier: BSD-3-Clause
// Which groups may have a run of so many free pages in broken huge pages: a bit a group for each of
// 1, 2, 4, 8 and 16 pages. So that the fragments of all groups are used before a whole huge page is
// broken, and groups that were searched in vain are not searched again until something changes.
//
// Hints that err to the side of "maybe", as GroupSummary's: set and cleared under the group's lock,
// read without.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "fs/core/group_summary.h"

namespace ingot {

class FragmentSummary {
 public:
  static constexpr uint32_t kLongestPages = 16;

  explicit FragmentSummary(uint64_t group_count)
      : classes_{GroupSummary(group_count), GroupSummary(group_count), GroupSummary(group_count),
                 GroupSummary(group_count), GroupSummary(group_count)} {}

  // Pages became free, or the rest of a huge page that was whole.
  void Set(GroupIndex group) {
    for (GroupSummary& summary : classes_) {
      if (!summary.Has(group)) summary.Set(group);
    }
  }
  // There is no run of `pages`.
  void ClearFrom(GroupIndex group, uint32_t pages) {
    for (size_t i = ClassOf(pages); i < classes_.size(); ++i) classes_[i].Clear(group);
  }
  // The first group at or behind `from` that may have a run of `pages`; group_count if there is
  // none. Between powers of two the next one is asked for.
  [[nodiscard]] GroupIndex Next(GroupIndex from, uint32_t pages) const {
    return classes_[ClassOf(pages)].Next(from);
  }

 private:
  static constexpr size_t ClassOf(uint32_t pages) {
    return static_cast<size_t>(std::bit_width(std::clamp(pages, 1u, kLongestPages) - 1));
  }
  std::array<GroupSummary, 5> classes_;
};

}  // namespace ingot
