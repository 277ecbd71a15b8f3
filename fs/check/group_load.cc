// SPDX-License-Identifier: BSD-3-Clause
// What entries and bitmaps say, before anything is compared: superblocks, lane headers, group
// entries.
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "fs/check/group_pass.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/lane_header.h"

namespace ingot::check {
namespace {

// A bitmap is believed if it matches the checksum in the entry, even if the entry is damaged: a
// match by chance is one in four thousand million, and both were last written together.
bool Matches(const Context& context, GroupIndex group, uint32_t page, uint32_t checksum) {
  PageBitmap bitmap;
  return ReadBitmap(context, group, page, bitmap) &&
         Crc32c(std::as_bytes(std::span(bitmap))) == checksum;
}

void ReportBitmap(Context& context, GroupIndex group, uint32_t page, const char* which) {
  Place place = At(group);
  place.page = FirstPageOf(group) + page;
  context.Report(FindingKind::kGroupBitmap, place,
                 fmt::format("group {}: the {} bitmap doesn't match its checksum", group.value,
                             which));
}

void LoadGroup(Context& context, GroupIndex group) {
  GroupFacts& facts = context.groups[group.value];
  const GroupTable& table = context.device.group_table();
  const Result<media::GroupEntry> entry = table.ReadUnchecked(group);
  Result<void> valid;
  if (entry) {
    valid = table.Validate(group, *entry);
  } else {
    valid = tl::unexpected<Error>(entry.error());
  }
  facts.entry_valid = valid.has_value();
  if (!facts.entry_valid) {
    context.Report(FindingKind::kGroupEntry, At(group), Describe(valid.error()));
  } else if ((entry->flags & media::kGroupUninitialised) != 0) {
    return;
  }
  if (entry) {
    facts.allocated_valid =
        Matches(context, group, media::kAllocatedBitmapPage, entry->allocated_checksum);
    facts.inodes_valid = Matches(context, group, media::kInodeBitmapPage, entry->inode_checksum);
  }
  facts.initialised = facts.entry_valid || facts.allocated_valid || facts.inodes_valid;
  if (!facts.initialised) return;
  ++context.counts.groups_in_use;
  if (!facts.allocated_valid) {
    ReportBitmap(context, group, media::kAllocatedBitmapPage, "allocation");
  }
  if (!facts.inodes_valid) ReportBitmap(context, group, media::kInodeBitmapPage, "inode page");
}

void CheckSuperblockCopies(Context& context) {
  const Result<SuperblockScan> scan = ReadSuperblocks(context.device.mapping());
  if (!scan) return;  // the device was opened with it; what changed since is not ours to say
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    if (scan->same[copy]) continue;
    context.Report(FindingKind::kSuperblockCopy, {},
                   fmt::format("superblock copy {}: {}", copy,
                               scan->valid[copy] ? "differs from the newest" : "damaged"));
  }
}

}  // namespace

bool ReadBitmap(const Context& context, GroupIndex group, uint32_t page, PageBitmap& bitmap) {
  return context.device
      .Read(OffsetOf(FirstPageOf(group) + page), std::as_writable_bytes(std::span(bitmap)))
      .has_value();
}

Result<void> CheckLabels(Context& context) {
  CheckSuperblockCopies(context);
  if (context.repairing()) {
    const SuperblockScan scan = TRY(ReadSuperblocks(context.device.mapping()));
    if (std::ranges::find(scan.same, false) != scan.same.end()) {
      TRY(RestoreSuperblocks(context.device.persist(), scan));
      ++context.fixed;
    }
  }
  const media::Superblock& superblock = context.device.superblock();
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    const Result<media::LaneHeader> header = ReadLaneHeader(context.device.mapping(), lane);
    // All of it: when the superblocks are lost it must say what they said.
    const media::LaneHeader expected = MakeLaneHeader(superblock, lane);
    if (header && std::memcmp(&*header, &expected, sizeof(expected)) == 0) continue;
    context.Report(FindingKind::kLaneHeader, {},
                   fmt::format("journal lane {}: header: {}", lane,
                               header ? "says something else than the superblock"
                                      : Describe(header.error())));
    if (!context.repairing()) continue;
    // Lanes were replayed when the device was opened: no transaction is lost.
    TRY(Journal::FormatLane(context.device.persist(), superblock, lane));
    ++context.fixed;
  }
  return {};
}

Result<void> LoadGroups(Context& context) {
  const uint64_t count = context.device.geometry().group_count();
  context.groups.assign(count, {});
  context.counts.groups = count;
  for (uint64_t i = 0; i < count; ++i) {
    LoadGroup(context, GroupIndex(i));
    context.Tell("groups", i + 1, count);
  }
  return {};
}

}  // namespace ingot::check
