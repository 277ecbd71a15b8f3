// SPDX-License-Identifier: BSD-3-Clause
// What the names amount to: links, parents, circles of directories, and inodes that nobody names.
#include <dirent.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "fs/check/directory_pass.h"
#include "fs/check/inode_pass.h"

namespace ingot::check {
namespace {

// Changes a stored inode in place; nothing if it can't be read any more.
template <typename Change>
Result<void> Mend(Context& context, InodeNumber number, Change&& change) {
  if (!context.repairing()) return {};
  Result<media::Inode> inode = context.reader.ReadInodeUnchecked(number);
  if (!inode || FatalInodeFault(context, number, *inode) != nullptr) return {};
  change(*inode);
  ++context.fixed;
  return context.writer->WriteInode(*inode);
}

// A circle: its lowest directory loses its name there, and is then found as lost.
void CutCircle(Context& context, const std::vector<DirectoryFacts*>& path, size_t from) {
  const auto lowest = std::min_element(
      path.begin() + static_cast<std::ptrdiff_t>(from), path.end(),
      [](const DirectoryFacts* a, const DirectoryFacts* b) { return a->number < b->number; });
  const DirectoryFacts& cut = **lowest;
  context.Report(FindingKind::kDirectoryCycle, At(cut.number),
                 fmt::format("directory {}: lies below itself, through directory {}",
                             cut.number.value, cut.found_parent.value));
  if (!context.repairing()) return;
  context.drop_entries.insert({cut.found_parent.value, cut.found_key});
  ++context.fixed;
}

// Follows parents from `start` until something known is met.
void FindReach(Context& context, DirectoryFacts& start) {
  std::vector<DirectoryFacts*> path;
  DirectoryFacts* at = &start;
  Reach reach = Reach::kUnreachable;
  while (true) {
    if (at == nullptr) break;
    if (at->number == kRoot) {
      reach = Reach::kReachable;
      break;
    }
    if (at->reach == Reach::kVisiting) {
      const auto found = std::find(path.begin(), path.end(), at);
      CutCircle(context, path, static_cast<size_t>(found - path.begin()));
      break;
    }
    if (at->reach != Reach::kUnknown) {
      reach = at->reach;
      break;
    }
    at->reach = Reach::kVisiting;
    path.push_back(at);
    at = at->found_parent.value == 0 ? nullptr : context.FindDirectory(at->found_parent);
  }
  for (DirectoryFacts* directory : path) directory->reach = reach;
}

Result<void> CheckParents(Context& context) {
  for (DirectoryFacts& directory : context.directories) {
    if (directory.number == kRoot) continue;
    if (directory.reach == Reach::kUnknown) FindReach(context, directory);
    const InodeNumber found = directory.found_parent;
    if (found.value == 0 || found == directory.parent) continue;
    context.Report(FindingKind::kInodeParent, At(directory.number),
                   fmt::format("directory {}: parent {}, found in {}", directory.number.value,
                               directory.parent.value, found.value));
    TRY(Mend(context, directory.number,
             [found](media::Inode& inode) { inode.parent = found.value; }));
  }
  return {};
}

// What nobody names: kept if there is anything in it.
Result<void> Lose(Context& context, InodeNumber number, const InodeFacts& facts) {
  context.Report(FindingKind::kInodeLost, At(number),
                 fmt::format("inode {}: {}, but no directory names it", number.value,
                             facts.has_content ? "has contents" : "is empty"));
  if (facts.has_content) {
    context.lost.push_back(number);
    return {};
  }
  if (!context.repairing()) return {};
  ++context.fixed;
  return context.writer->ClearInode(number);
}

uint32_t ExpectedLinks(Context& context, InodeNumber number, const InodeFacts& facts) {
  if (facts.type != DT_DIR) return facts.found;
  const DirectoryFacts* directory = context.FindDirectory(number);
  return 2 + (directory == nullptr ? 0 : directory->subdirectories);
}

Result<void> CheckInodeLinks(Context& context, InodeNumber number) {
  const InodeFacts facts = context.inodes[number.value];
  const bool named = facts.found > 0 || number == kRoot;
  if (!named) {
    // Deleted while open; its space comes back at the next mount. A directory must be empty for
    // that.
    const bool directory_in_use = facts.type == DT_DIR && facts.has_content;
    if (facts.orphan && facts.links == 0 && !directory_in_use) return {};
    return Lose(context, number, facts);
  }
  const uint32_t links = ExpectedLinks(context, number, facts);
  // With a name an orphan can only be a file whose truncation isn't complete.
  const bool wrong_flag = facts.orphan && (facts.type != DT_REG || facts.links == 0);
  if (links != facts.links) {
    context.Report(FindingKind::kInodeLinks, At(number),
                   fmt::format("inode {}: links {}, found {}", number.value, facts.links, links));
  }
  if (wrong_flag) {
    context.Report(FindingKind::kInodeOrphanFlag, At(number),
                   fmt::format("inode {}: marked as deleted, but has a name", number.value));
  }
  if (links == facts.links && !wrong_flag) return {};
  return Mend(context, number, [links, wrong_flag](media::Inode& inode) {
    inode.links = links;
    // With links, the mark of a backed file tells of extents that are still to be freed.
    const bool is_meant = inode.body_form == media::BodyForm::kBacked && inode.body_bytes != 0;
    if (wrong_flag && !is_meant) inode.flags &= ~uint32_t{media::kInodeOrphan};
  });
}

bool LooksRight(Context& context, uint64_t number, const InodeFacts& facts) {
  if (number == media::kRootInode || facts.type == DT_DIR || facts.orphan) {
    const bool named = number == media::kRootInode || facts.found > 0;
    return named && !facts.orphan &&
           facts.links == ExpectedLinks(context, InodeNumber(number), facts);
  }
  return facts.found > 0 && facts.found == facts.links;
}

}  // namespace

Result<void> CheckLinks(Context& context) {
  TRY(CheckParents(context));
  std::vector<InodeNumber> doubtful;
  uint64_t done = 0;
  for (const auto& [number, facts] : context.inodes) {
    if (!LooksRight(context, number, facts)) doubtful.push_back(InodeNumber(number));
    context.Tell("links", ++done, context.inodes.size());
  }
  std::ranges::sort(doubtful);
  context.lost.clear();
  for (const InodeNumber number : doubtful) TRY(CheckInodeLinks(context, number));
  return {};
}

}  // namespace ingot::check
