// SPDX-License-Identifier: BSD-3-Clause
// Distinct integer types for what must not be mixed, and the sizes that everything is built on.
//
// A MediaOffset counts bytes from the start of the region; a LogicalOffset counts bytes in the
// logical space, which is the region without labels, lanes, group tables and page arrays. Only
// pmemdev/geometry.h converts between the two. All are plain values; none owns anything.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace ingot {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kPageShift = 12;
inline constexpr uint64_t kHugePageSize = uint64_t{2} << 20;
inline constexpr uint64_t kPagesPerHugePage = kHugePageSize / kPageSize;        // 512
inline constexpr uint64_t kGroupDataSize = uint64_t{128} << 20;                 // 128 MiB
inline constexpr uint64_t kPagesPerGroup = kGroupDataSize / kPageSize;          // 32,768
inline constexpr uint64_t kHugePagesPerGroup = kGroupDataSize / kHugePageSize;  // 64
inline constexpr uint64_t kCacheLineSize = 64;
inline constexpr uint64_t kWordSize = 8;  // what a crash can't tear

// An integer with a meaning. Differences and counts are plain uint64_t.
template <typename Tag>
struct StrongIndex {
  uint64_t value = 0;

  constexpr StrongIndex() = default;
  constexpr explicit StrongIndex(uint64_t v) : value(v) {}

  friend constexpr auto operator<=>(StrongIndex, StrongIndex) = default;
  friend constexpr StrongIndex operator+(StrongIndex a, uint64_t n) {
    return StrongIndex(a.value + n);
  }
  friend constexpr StrongIndex operator-(StrongIndex a, uint64_t n) {
    return StrongIndex(a.value - n);
  }
  friend constexpr uint64_t operator-(StrongIndex a, StrongIndex b) { return a.value - b.value; }
  constexpr StrongIndex& operator++() {
    ++value;
    return *this;
  }
  constexpr StrongIndex& operator+=(uint64_t n) {
    value += n;
    return *this;
  }

  template <typename H>
  friend H AbslHashValue(H h, StrongIndex v) {
    return H::combine(std::move(h), v.value);
  }
};

using MediaOffset = StrongIndex<struct MediaOffsetTag>;      // bytes in the region
using LogicalOffset = StrongIndex<struct LogicalOffsetTag>;  // bytes in the logical space
using LogicalPage = StrongIndex<struct LogicalPageTag>;      // 4 KiB pages of the logical space
using GroupIndex = StrongIndex<struct GroupIndexTag>;        // groups, 0 is the first
using FilePage = StrongIndex<struct FilePageTag>;            // 4 KiB pages of a file
using InodeNumber = StrongIndex<struct InodeNumberTag>;      // logical address / 512; root is 1

constexpr LogicalOffset OffsetOf(LogicalPage page) {
  return LogicalOffset(page.value * kPageSize);
}
constexpr LogicalPage PageOf(LogicalOffset offset) {
  return LogicalPage(offset.value / kPageSize);
}
constexpr GroupIndex GroupOf(LogicalPage page) {
  return GroupIndex(page.value / kPagesPerGroup);
}
constexpr GroupIndex GroupOf(LogicalOffset at) {
  return GroupIndex(at.value / kGroupDataSize);
}
// The page's place inside its group, 0..32767.
constexpr uint32_t IndexInGroup(LogicalPage page) {
  return static_cast<uint32_t>(page.value % kPagesPerGroup);
}
constexpr LogicalPage FirstPageOf(GroupIndex group) {
  return LogicalPage(group.value * kPagesPerGroup);
}

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}
constexpr uint64_t RoundDown(uint64_t value, uint64_t unit) {
  return value / unit * unit;
}

}  // namespace ingot

template <typename Tag>
struct std::hash<ingot::StrongIndex<Tag>> {
  size_t operator()(ingot::StrongIndex<Tag> v) const noexcept {
    return std::hash<uint64_t>()(v.value);
  }
};
