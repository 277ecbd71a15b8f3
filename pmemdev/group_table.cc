// SPDX-License-Identifier: BSD-3-Clause
// Group entries read and written. An entry is copied to DRAM, validated, and the copy used.
#include "pmemdev/group_table.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <fmt/format.h>

#include "pmemdev/base/checksum.h"

namespace ingot {
namespace {

constexpr uint32_t kKnownFlags = media::kGroupUninitialised;
constexpr uint64_t kInodesPerPage = 8;  // 512-byte inodes

uint32_t ChecksumOf(GroupIndex group, const media::GroupEntry& entry) {
  return BlockChecksum(BytesOf(entry), offsetof(media::GroupEntry, checksum), group.value);
}

// The huge pages that a group of that many pages has, but the first: that is metadata's home and
// never wholly free.
uint64_t AllHugePages(uint32_t page_count) {
  const uint64_t count = page_count / kPagesPerHugePage;
  const uint64_t mask = count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  return mask & ~uint64_t{1};
}

// The reason why the counts can't be true, or null.
const char* WrongCounts(const media::GroupEntry& entry) {
  if (entry.free_pages > entry.page_count - media::kReservedPagesPerGroup) return "free_pages";
  if ((entry.free_huge_mask & ~AllHugePages(entry.page_count)) != 0) return "free_huge_mask";
  const auto whole = static_cast<uint64_t>(std::popcount(entry.free_huge_mask));
  if (whole * kPagesPerHugePage > entry.free_pages) return "free_huge_mask above free_pages";
  if (entry.free_inode_slots > entry.page_count * kInodesPerPage) return "free_inode_slots";
  if (entry.orphans > entry.page_count * kInodesPerPage) return "orphans";
  return nullptr;
}

}  // namespace

void GroupTable::Seal(GroupIndex group, media::GroupEntry& entry) {
  entry.checksum = ChecksumOf(group, entry);
}

Result<media::GroupEntry> GroupTable::ReadUnchecked(GroupIndex group) const {
  media::GroupEntry entry;
  TRY(mapping_.Read(Geometry::GroupEntryAt(group), WritableBytesOf(entry)));
  return entry;
}

Result<media::GroupEntry> GroupTable::Read(GroupIndex group) const {
  const media::GroupEntry entry = TRY(ReadUnchecked(group));
  TRY(Validate(group, entry));
  return entry;
}

Result<void> GroupTable::Validate(GroupIndex group, const media::GroupEntry& entry) const {
  const auto wrong = [group](const char* what) {
    return Failure(EUCLEAN, fmt::format("group {}: {}", group.value, what));
  };
  if (group.value >= geometry_.group_count()) return wrong("no such group");
  if (entry.checksum != ChecksumOf(group, entry)) return wrong("checksum");
  if (entry.uuid != uuid_) return wrong("uuid of another pool");
  if (entry.format_version != media::kFormatVersion) return wrong("format_version");
  if (entry.group_index != static_cast<uint32_t>(group.value)) return wrong("group_index");
  if (entry.page_count != geometry_.PagesIn(group)) return wrong("page_count");
  if ((entry.flags & ~kKnownFlags) != 0) return wrong("flags");
  if (const char* what = WrongCounts(entry)) return wrong(what);
  if ((entry.flags & media::kGroupUninitialised) != 0) {
    const media::GroupEntry fresh = Fresh(group);
    if (!std::ranges::equal(BytesOf(fresh), BytesOf(entry))) {
      return wrong("uninitialised, yet in use");
    }
  }
  return {};
}

media::GroupEntry GroupTable::Fresh(GroupIndex group) const {
  media::GroupEntry entry{};
  entry.page_count = geometry_.PagesIn(group);
  entry.free_huge_mask = AllHugePages(entry.page_count);
  entry.flags = media::kGroupUninitialised;
  entry.free_pages = entry.page_count - media::kReservedPagesPerGroup;
  entry.format_version = media::kFormatVersion;
  entry.group_index = static_cast<uint32_t>(group.value);
  entry.uuid = uuid_;
  Seal(group, entry);
  return entry;
}

Result<void> GroupTable::WriteFresh(Persist& persist, GroupIndex first, uint64_t count) const {
  constexpr uint64_t kBatch = 1024;  // 64 KiB a copy
  PersistStream stream = persist.NewStream();
  std::vector<media::GroupEntry> entries;
  entries.reserve(std::min(kBatch, count));
  GroupIndex group = first;
  while (group.value < first.value + count) {
    // Entries are contiguous inside one table only.
    const uint64_t in_table = media::kGroupsPerTable - group.value % media::kGroupsPerTable;
    const uint64_t batch = std::min({kBatch, in_table, first.value + count - group.value});
    entries.clear();
    for (uint64_t i = 0; i < batch; ++i) entries.push_back(Fresh(group + i));
    TRY(stream.CopyUnfenced(Geometry::GroupEntryAt(group), std::as_bytes(std::span(entries))));
    group += batch;
  }
  return stream.Fence();
}

}  // namespace ingot
