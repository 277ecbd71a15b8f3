// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic of the layout. Pure; no state, no media, no locks.
#include "pmemdev/geometry.h"

#include <algorithm>

#include <fmt/format.h>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

constexpr uint64_t kFirstTable = media::kLabelSize + media::kLanesSize;
// A group table with all the groups it can describe.
constexpr uint64_t kSpanSize =
    media::kGroupTableSize + media::kGroupsPerTable * media::kGroupSize;
// The smallest group worth having: its page array and one huge page.
constexpr uint64_t kMinGroupSize = media::kPageArraySize + kHugePageSize;

constexpr uint64_t SpanAt(uint64_t span) { return kFirstTable + span * kSpanSize; }

constexpr uint64_t GroupAt(GroupIndex group) {
  return SpanAt(group.value / media::kGroupsPerTable) + media::kGroupTableSize +
         group.value % media::kGroupsPerTable * media::kGroupSize;
}

}  // namespace

Result<Geometry> Geometry::ForRegion(uint64_t region_size_bytes) {
  if (region_size_bytes < kMinRegionSize) {
    return Failure(ENOSPC, fmt::format("a pool of {} bytes: the smallest is {} MiB",
                                       region_size_bytes, kMinRegionSize >> 20));
  }
  if (region_size_bytes > kMaxRegionSize) {
    return Failure(EFBIG, fmt::format("a pool of {} bytes: the largest is 1 PiB",
                                      region_size_bytes));
  }
  Geometry geometry;
  geometry.region_size_bytes_ = RoundDown(region_size_bytes, kHugePageSize);
  const uint64_t usable = geometry.region_size_bytes_ - kFirstTable - media::kLabelSize;
  uint64_t full_groups = usable / kSpanSize * media::kGroupsPerTable;
  uint64_t short_group_pages = 0;
  const uint64_t last_span = usable % kSpanSize;
  if (last_span >= media::kGroupTableSize + kMinGroupSize) {
    const uint64_t for_groups = last_span - media::kGroupTableSize;
    full_groups += for_groups / media::kGroupSize;
    const uint64_t rest = for_groups % media::kGroupSize;
    if (rest >= kMinGroupSize) short_group_pages = (rest - media::kPageArraySize) / kPageSize;
  }
  geometry.group_count_ = full_groups + (short_group_pages != 0 ? 1 : 0);
  geometry.page_count_ = full_groups * kPagesPerGroup + short_group_pages;
  return geometry;
}

uint32_t Geometry::PagesIn(GroupIndex group) const {
  CHECK(group.value < group_count_, "group {} of {}", group.value, group_count_);
  return static_cast<uint32_t>(
      std::min(kPagesPerGroup, page_count_ - group.value * kPagesPerGroup));
}

MediaOffset Geometry::SuperblockCopy(uint32_t copy, uint64_t region_size_bytes) {
  CHECK(copy < media::kSuperblockCopies, "copy {}", copy);
  if (copy < 2) return MediaOffset(copy * media::kSuperblockCopySpacing);
  return MediaOffset(RoundDown(region_size_bytes, kHugePageSize) - media::kLabelSize);
}

MediaOffset Geometry::Lane(uint32_t lane) {
  CHECK(lane < media::kLaneCount, "lane {}", lane);
  return MediaOffset(media::kLabelSize + lane * media::kLaneSize);
}

MediaOffset Geometry::GroupEntryAt(GroupIndex group) {
  return MediaOffset(SpanAt(group.value / media::kGroupsPerTable) +
                     group.value % media::kGroupsPerTable * sizeof(media::GroupEntry));
}

MediaOffset Geometry::PageArrayOf(GroupIndex group) { return MediaOffset(GroupAt(group)); }

MediaOffset Geometry::DataOf(GroupIndex group) {
  return MediaOffset(GroupAt(group) + media::kPageArraySize);
}

MediaOffset Geometry::ToMedia(LogicalOffset at) {
  return DataOf(GroupOf(at)) + at.value % kGroupDataSize;
}

bool Geometry::ContainsWithinGroup(LogicalOffset at, uint64_t size_bytes) const {
  const uint64_t space = page_count_ * kPageSize;
  return at.value < space && size_bytes <= space - at.value &&
         size_bytes <= kGroupDataSize - at.value % kGroupDataSize;
}

bool Geometry::MayReplay(MediaOffset at, uint64_t size_bytes) const {
  if (at.value < kFirstTable || at.value >= region_size_bytes_ || size_bytes > kGroupDataSize) {
    return false;
  }
  const uint64_t span = (at.value - kFirstTable) / kSpanSize;
  const uint64_t in_span = (at.value - kFirstTable) % kSpanSize;
  const uint64_t first_group = span * media::kGroupsPerTable;
  if (in_span < media::kGroupTableSize) {
    if (first_group >= group_count_) return false;
    const uint64_t entries = std::min(media::kGroupsPerTable, group_count_ - first_group);
    return in_span + size_bytes <= entries * sizeof(media::GroupEntry);
  }
  const Result<LogicalPage> page = PageAt(at);
  if (!page.has_value()) return false;
  return ContainsWithinGroup(OffsetOf(*page) + at.value % kPageSize, size_bytes);
}

Result<LogicalPage> Geometry::PageAt(MediaOffset at) const {
  if (at.value < kFirstTable || at.value >= region_size_bytes_) return Failure(ENOENT);
  const uint64_t span = (at.value - kFirstTable) / kSpanSize;
  const uint64_t in_span = (at.value - kFirstTable) % kSpanSize;
  if (in_span < media::kGroupTableSize) return Failure(ENOENT);
  const uint64_t group_in_span = (in_span - media::kGroupTableSize) / media::kGroupSize;
  const uint64_t in_group = (in_span - media::kGroupTableSize) % media::kGroupSize;
  if (in_group < media::kPageArraySize) return Failure(ENOENT);
  const LogicalPage page =
      FirstPageOf(GroupIndex(span * media::kGroupsPerTable + group_in_span)) +
      (in_group - media::kPageArraySize) / kPageSize;
  if (!Contains(page)) return Failure(ENOENT);
  return page;
}

}  // namespace ingot
