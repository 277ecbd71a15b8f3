// SPDX-License-Identifier: BSD-3-Clause
// What the media say about space against what was found, and the rewriting of the former.
#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

#include "fs/check/group_pass.h"
#include "pmemdev/base/checksum.h"

namespace ingot::check {
namespace {

struct GroupTruth {
  PageBitmap allocated;
  PageBitmap inodes;
  media::GroupEntry entry;
  bool in_use = false;  // has bitmaps
};

bool IsEmpty(BitmapView bitmap) {
  return std::ranges::all_of(bitmap, [](uint64_t word) { return word == 0; });
}

uint64_t FreeHugeMask(const PageBitmap& allocated, uint32_t pages) {
  uint64_t mask = 0;
  for (uint32_t huge = 1; huge < pages / kPagesPerHugePage; ++huge) {
    const PageRun run{huge * static_cast<uint32_t>(kPagesPerHugePage), kPagesPerHugePage};
    if (AllClear(allocated, run)) mask |= uint64_t{1} << huge;
  }
  return mask;
}

// What the group should look like by all that was found.
GroupTruth TruthOf(const Context& context, GroupIndex group) {
  GroupTruth truth;
  const GroupFacts& facts = context.groups[group.value];
  truth.entry = context.device.group_table().Fresh(group);
  std::ranges::copy(context.used.ViewOf(group), truth.allocated.begin());
  std::ranges::copy(context.inode_pages.ViewOf(group), truth.inodes.begin());
  truth.in_use = facts.initialised || !IsEmpty(truth.allocated);
  if (!truth.in_use) return truth;

  const uint32_t pages = context.device.geometry().PagesIn(group);
  SetRun(truth.allocated, {0, media::kReservedPagesPerGroup});
  if (pages < kPagesPerGroup) {
    SetRun(truth.allocated, {pages, static_cast<uint32_t>(kPagesPerGroup) - pages});
  }
  SetRun(truth.inodes, {media::kFirstInodePage, 1});
  media::GroupEntry& entry = truth.entry;
  entry.flags &= ~uint32_t{media::kGroupUninitialised};
  entry.free_pages = CountClear(truth.allocated);
  entry.free_huge_mask = FreeHugeMask(truth.allocated, pages);
  entry.free_inode_slots = facts.free_slots;
  entry.orphans = facts.orphans;
  entry.allocated_checksum = Crc32c(std::as_bytes(std::span(truth.allocated)));
  entry.inode_checksum = Crc32c(std::as_bytes(std::span(truth.inodes)));
  GroupTable::Seal(group, entry);
  return truth;
}

// Reports the runs of pages that are in `more` and not in `less`; true if there are any.
bool ReportRuns(Context& context, GroupIndex group, FindingKind kind, BitmapView more,
                BitmapView less, const char* what) {
  uint32_t first = 0;
  uint32_t total = 0;
  for (uint32_t word = 0; word < kBitmapWords; ++word) {
    const uint64_t bits = more[word] & ~less[word];
    if (bits != 0 && total == 0) first = word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    total += static_cast<uint32_t>(std::popcount(bits));
  }
  if (total == 0) return false;
  Place place = At(group);
  place.page = FirstPageOf(group) + first;
  context.Report(kind, place,
                 fmt::format("group {}: {} pages {}, the first is page {}", group.value, total,
                             what, place.page->value));
  return true;
}

bool CompareBitmaps(Context& context, GroupIndex group, const GroupTruth& truth) {
  const GroupFacts& facts = context.groups[group.value];
  PageBitmap stored;
  bool differs = !facts.initialised || !facts.allocated_valid || !facts.inodes_valid;
  const bool had_bitmaps = facts.initialised;
  if (had_bitmaps && ReadBitmap(context, group, media::kAllocatedBitmapPage, stored)) {
    differs |= ReportRuns(context, group, FindingKind::kPageLeaked, stored, truth.allocated,
                          "allocated, but nobody's");
  } else {
    stored.fill(0);
    SetRun(stored, {0, media::kReservedPagesPerGroup});
  }
  differs |= ReportRuns(context, group, FindingKind::kPageUnallocated, truth.allocated, stored,
                        "in use, but free in the bitmap");
  if (!had_bitmaps || !ReadBitmap(context, group, media::kInodeBitmapPage, stored)) {
    stored.fill(0);
    SetRun(stored, {media::kFirstInodePage, 1});
  }
  differs |= ReportRuns(context, group, FindingKind::kInodePageBit, stored, truth.inodes,
                        "marked as inode pages, but are none");
  differs |= ReportRuns(context, group, FindingKind::kInodePageBit, truth.inodes, stored,
                        "with inodes, but not marked as inode pages");
  return differs;
}

bool CompareCounts(Context& context, GroupIndex group, const GroupTruth& truth) {
  if (!context.groups[group.value].entry_valid) return true;
  const Result<media::GroupEntry> stored = context.device.group_table().ReadUnchecked(group);
  if (!stored) return true;
  std::string wrong;
  const auto compare = [&wrong](const char* name, uint64_t is, uint64_t should) {
    if (is != should) wrong += fmt::format(", {} is {:#x} instead of {:#x}", name, is, should);
  };
  compare("free_pages", stored->free_pages, truth.entry.free_pages);
  compare("free_huge_mask", stored->free_huge_mask, truth.entry.free_huge_mask);
  compare("free_inode_slots", stored->free_inode_slots, truth.entry.free_inode_slots);
  compare("orphans", stored->orphans, truth.entry.orphans);
  if (!wrong.empty()) {
    context.Report(FindingKind::kGroupCounts, At(group),
                   fmt::format("group {}: {}", group.value, wrong.substr(2)));
  }
  return !wrong.empty() || stored->flags != truth.entry.flags;
}

Result<void> RewriteGroup(Context& context, GroupIndex group) {
  const GroupTruth truth = TruthOf(context, group);
  const MediaOffset data = Geometry::DataOf(group);
  std::vector<RepairWriter::Piece> pieces;
  alignas(kWordSize) const std::array<std::byte, kPageSize> zeros{};
  if (truth.in_use) {
    // The first inode page of a group that was never used is whatever lay there.
    if (!context.inode_pages.Contains(FirstPageOf(group))) pieces.push_back({data, zeros});
    pieces.push_back({data + media::kAllocatedBitmapPage * kPageSize,
                      std::as_bytes(std::span(truth.allocated))});
    pieces.push_back(
        {data + media::kInodeBitmapPage * kPageSize, std::as_bytes(std::span(truth.inodes))});
  }
  pieces.push_back({Geometry::GroupEntryAt(group), BytesOf(truth.entry)});
  return context.writer->Store(pieces);
}

}  // namespace

Result<void> CompareGroups(Context& context) {
  context.wrong_groups.clear();
  const uint64_t count = context.groups.size();
  for (uint64_t i = 0; i < count; ++i) {
    const GroupIndex group(i);
    context.Tell("bitmaps", i + 1, count);
    const GroupFacts& facts = context.groups[i];
    // A group that was never used, and still isn't.
    if (facts.entry_valid && !facts.initialised && IsEmpty(context.used.ViewOf(group))) continue;
    const GroupTruth truth = TruthOf(context, group);
    bool differs = !facts.entry_valid;
    if (truth.in_use) {
      differs |= CompareBitmaps(context, group, truth);
      differs |= CompareCounts(context, group, truth);
    }
    if (differs) context.wrong_groups.push_back(group);
  }
  return {};
}

Result<void> RewriteGroups(Context& context) {
  for (const GroupIndex group : context.wrong_groups) TRY(RewriteGroup(context, group));
  return {};
}

}  // namespace ingot::check
