// SPDX-License-Identifier: BSD-3-Clause
// The scan of inode pages; which fields are judged how is in inode_fields.cc.
#include "fs/check/inode_pass.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "fs/check/backing_pass.h"
#include "fs/check/file_pass.h"
#include "fs/check/group_pass.h"
#include "fs/check/make_room.h"
#include "fs/core/types.h"

namespace ingot::check {
namespace {

using Slots = std::array<media::Inode, media::kInodesPerPage>;

InodeNumber NumberAt(LogicalPage page, uint32_t slot) {
  return InodeNumber(page.value * media::kInodesPerPage + slot);
}

// A slot is free if the word that would make it valid is zero.
bool IsFree(const media::Inode& inode) { return inode.magic == 0 && inode.checksum == 0; }

void CountInode(Context& context, const media::Inode& inode) {
  CheckCounts& counts = context.counts;
  ++counts.inodes;
  if (S_ISDIR(inode.mode)) {
    ++counts.directories;
  } else if (S_ISREG(inode.mode)) {
    ++counts.files;
    if (inode.body_form == media::BodyForm::kBacked) ++counts.backed_files;
  } else if (S_ISLNK(inode.mode)) {
    ++counts.symlinks;
  } else {
    ++counts.special_files;
  }
}

void Remember(Context& context, const media::Inode& inode) {
  const InodeNumber number(inode.number);
  const bool orphan = (inode.flags & media::kInodeOrphan) != 0;
  MakeRoomForOne(context.inodes);
  InodeFacts& facts = context.inodes[number.value];
  facts.links = inode.links;
  facts.type = static_cast<uint8_t>(IFTODT(inode.mode));
  facts.orphan = orphan;
  facts.has_content = inode.body_form != media::BodyForm::kEmpty || inode.size_bytes != 0 ||
                      inode.xattr_bytes != 0 || inode.xattr_page != 0;
  if (orphan) ++context.counts.orphans;
  if ((inode.flags & media::kInodeToRecover) != 0) {
    ++context.groups[GroupOf(PageOf(number)).value].orphans;
  }
  if (!S_ISDIR(inode.mode)) return;
  MakeRoomForOne(context.directory_index);
  context.directory_index[number.value] = static_cast<uint32_t>(context.directories.size());
  DirectoryFacts& directory = context.directories.emplace_back();
  directory.number = number;
  directory.parent = InodeNumber(inode.parent);
}

Result<void> DropInode(Context& context, InodeNumber number, const char* why);

// The filesystem's own judgement of an inode that this check is done with: whatever it refuses and
// nothing here could set right has to go.
bool IsUsable(const media::Inode& inode) {
  media::Inode sealed = inode;
  SealInode(sealed);
  return BlockReader::ValidateInode(InodeNumber(inode.number), sealed).has_value();
}

Result<void> CheckInode(Context& context, media::Inode inode, bool changed) {
  changed |= FixInodeFields(context, inode);
  if (!S_ISDIR(inode.mode)) {
    changed |= TRY(ClaimBackingFile(context, inode));
    changed |= TRY(CheckFile(context, inode));
    changed |= FixLeftoversMark(context, inode);
    if (!IsUsable(inode)) return DropInode(context, InodeNumber(inode.number), "impossible body");
  }
  CountInode(context, inode);
  Remember(context, inode);
  TRY(context.CheckMemory());
  if (!changed || !context.repairing()) return {};
  ++context.fixed;
  return context.writer->WriteInode(inode);
}

// A slot that holds something which is no inode.
Result<void> DropInode(Context& context, InodeNumber number, const char* why) {
  const bool root = number == kRoot;
  context.Report(root ? FindingKind::kRootDamaged : FindingKind::kInodeDamaged, At(number),
                 fmt::format("inode {}: {}", number.value, why));
  if (!root) ++context.groups[GroupOf(PageOf(number)).value].free_slots;
  if (!context.repairing() || root) return {};
  ++context.fixed;
  return context.writer->ClearInode(number);
}

Result<void> CheckSlots(Context& context, LogicalPage page, const Slots& slots) {
  GroupFacts& group = context.groups[GroupOf(page).value];
  for (uint32_t slot = 0; slot < slots.size(); ++slot) {
    const InodeNumber number = NumberAt(page, slot);
    const media::Inode& inode = slots[slot];
    if (number.value == 0) {
      // No inode's place: never used, never free.
      if (IsFree(inode)) continue;
      TRY(DropInode(context, number, "the place of number 0 is in use"));
      --group.free_slots;
    } else if (IsFree(inode)) {
      if (number != kRoot) ++group.free_slots;
    } else if (const char* why = FatalInodeFault(context, number, inode); why == nullptr) {
      TRY(CheckInode(context, inode, false));
    } else if (IsVouchedFor(context, number, inode)) {
      context.Report(FindingKind::kInodeDamaged, At(number),
                     fmt::format("inode {}: {}; its blocks vouch for it", number.value, why));
      TRY(CheckInode(context, inode, true));
    } else {
      TRY(DropInode(context, number, why));
    }
  }
  return {};
}

Result<void> ScanGroup(Context& context, GroupIndex group) {
  const GroupFacts& facts = context.groups[group.value];
  PageBitmap bitmap{};
  // Without a believable entry what lies in the bitmap's place may be another pool's.
  const bool believed = facts.inodes_valid || facts.entry_valid;
  if (!believed || !ReadBitmap(context, group, media::kInodeBitmapPage, bitmap)) bitmap.fill(0);
  SetRun(bitmap, {media::kFirstInodePage, 1});
  const uint32_t pages = context.device.geometry().PagesIn(group);
  for (uint32_t page = NextSet(bitmap, 0); page < pages; page = NextSet(bitmap, page + 1)) {
    if (page == media::kAllocatedBitmapPage || page == media::kInodeBitmapPage) continue;
    TRY(ScanInodePage(context, FirstPageOf(group) + page));
  }
  return {};
}

// An empty root: its names are lost, what they named is found again.
Result<void> MakeRoot(Context& context) {
  if (!context.repairing()) return {};
  media::Inode root{};
  const Time now = CurrentTime();
  root.magic = media::kInodeMagic;
  root.number = media::kRootInode;
  root.mode = S_IFDIR | 0755;
  root.links = 2;
  root.parent = media::kRootInode;
  root.atime_seconds = root.mtime_seconds = root.ctime_seconds = root.birth_seconds = now.seconds;
  ++context.fixed;
  return context.writer->WriteInode(root);
}

}  // namespace

Result<bool> ScanInodePage(Context& context, LogicalPage page) {
  Slots slots;
  const bool first = IndexInGroup(page) == media::kFirstInodePage;
  if (!context.device.Read(OffsetOf(page), std::as_writable_bytes(std::span(slots)))) {
    context.Report(FindingKind::kInodeUnreadable, At(page),
                   fmt::format("page {}: eight inodes can't be read", page.value));
    // What only a doubtful bitmap calls inodes may be a file's data, whose error must stay one.
    if (context.repairing() && (first || context.groups[GroupOf(page).value].inodes_valid)) {
      ++context.fixed;
      TRY(context.writer->ZeroPage(page));
    }
    return false;
  }
  bool any_valid = false;
  bool all_free = true;
  for (uint32_t slot = 0; slot < slots.size(); ++slot) {
    if (IsFree(slots[slot])) continue;
    all_free = false;
    const InodeNumber number = NumberAt(page, slot);
    any_valid |= FatalInodeFault(context, number, slots[slot]) == nullptr ||
                 IsVouchedFor(context, number, slots[slot]);
  }
  // Where the bitmap is doubtful, a page of zeros may be anybody's.
  const bool maybe_empty = all_free && context.groups[GroupOf(page).value].inodes_valid;
  if (!first && !any_valid && !maybe_empty) {
    context.Report(FindingKind::kInodePage, At(page),
                   fmt::format("page {}: marked as inodes, but holds none", page.value));
    return false;
  }
  if (!first && !context.ClaimMetadata(page)) {
    context.Report(FindingKind::kPageShared, At(page),
                   fmt::format("page {}: marked as inodes, but is another block", page.value));
    return false;
  }
  context.inode_pages.Add(page);
  ++context.counts.inode_pages;
  TRY(CheckSlots(context, page, slots));
  return true;
}

Result<bool> AdoptInodePage(Context& context, InodeNumber inode) {
  const LogicalPage page = PageOf(inode);
  if (!context.device.geometry().Contains(page) || context.inode_pages.Contains(page)) return false;
  const GroupFacts& group = context.groups[GroupOf(page).value];
  const bool trusted = group.inodes_valid || (group.entry_valid && !group.initialised);
  const bool first = IndexInGroup(page) == media::kFirstInodePage;
  if (trusted || (!first && !context.MayHold(page, 1)) || context.used.Contains(page)) {
    return false;
  }
  const Result<media::Inode> copy = context.reader.ReadInodeUnchecked(inode);
  if (!copy || FatalInodeFault(context, inode, *copy) != nullptr) return false;
  return ScanInodePage(context, page);
}

Result<void> CheckInodes(Context& context) {
  const uint64_t count = context.groups.size();
  for (uint64_t i = 0; i < count; ++i) {
    // The root must be somewhere: group 0 is looked at whatever its entry says.
    if (context.groups[i].initialised || i == 0) TRY(ScanGroup(context, GroupIndex(i)));
    if (context.options.progress) {
      context.options.progress(
          {.pass = "inodes", .round = context.round, .done = i + 1, .total = count});
    }
  }
  const auto root = context.inodes.find(media::kRootInode);
  if (root != context.inodes.end()) return {};
  context.Report(FindingKind::kRootDamaged, At(kRoot), "inode 1: there is no root directory");
  return MakeRoot(context);
}

}  // namespace ingot::check
