// SPDX-License-Identifier: BSD-3-Clause
// One directory after the other: its tree gives the leaves, each leaf its entries.
#include "fs/check/directory_pass.h"

#include <vector>

#include <fmt/format.h>

#include "fs/check/file_pass.h"
#include "fs/check/inode_pass.h"
#include "fs/check/leaf_check.h"
#include "fs/check/tree_walk.h"

namespace ingot::check {
namespace {

class DirectoryCheck {
 public:
  DirectoryCheck(Context& context, media::Inode& inode)
      : context_(context), inode_(inode), number_(inode.number) {}

  // True if the inode's copy changed.
  Result<bool> Run() {
    const XattrOutcome xattrs = CheckXattrs(context_, inode_);
    bool changed = xattrs.changed;
    bool damaged = xattrs.changed;
    uint64_t pages = xattrs.pages;
    LeafCheck leaves(context_, inode_);
    if (inode_.body_form == media::BodyForm::kTree) {
      TreeWalk walk(context_, inode_, {});
      TRY(walk.Run([&](media::Record& record) -> Result<bool> { return Collect(record); }));
      changed |= walk.inode_changed();
      damaged |= walk.damaged();
      context_.counts.metadata_pages += walk.node_pages();
      TRY(CheckLeaves(leaves));
      pages += walk.node_pages() + kept_;
      if (kept_ != records_.size() || first_key_wrong_) {
        damaged = true;
        if (context_.repairing()) changed |= TRY(CutLeaves());
      }
      damaged |= leaves.damaged();
    }
    changed |= FixPageCount(context_, inode_, pages, damaged);
    changed |= FixCount("entry_count", inode_.entry_count, leaves.entries(), damaged);
    changed |= FixCount("size_bytes", inode_.size_bytes, kept_ * kPageSize, damaged);
    return changed;
  }

 private:
  struct LeafRecord {
    media::Record record;
    bool keep = true;
  };

  bool Collect(const media::Record& record) {
    const LogicalPage page(record.value);
    if (!context_.MayHold(page, 1)) {
      context_.Report(FindingKind::kDirectoryLeaf, At(number_, page),
                      fmt::format("directory {}: no such page for a leaf: {}", number_.value,
                                  page.value));
      return false;
    }
    records_.push_back({record});
    return true;
  }

  Result<void> CheckLeaves(LeafCheck& leaves) {
    for (size_t i = 0; i < records_.size(); ++i) {
      // The first leaf answers for all keys from 0 on.
      const uint64_t low = i == 0 ? 0 : records_[i].record.key;
      const uint64_t high = i + 1 < records_.size() ? records_[i + 1].record.key : kNoKey;
      records_[i].keep = TRY(leaves.Run(LogicalPage(records_[i].record.value), low, high));
      if (records_[i].keep) ++kept_;
    }
    if (records_.empty() || records_[0].record.key == 0) return {};
    first_key_wrong_ = true;
    context_.Report(FindingKind::kTreeRecord, At(number_),
                    fmt::format("directory {}: its first leaf's key isn't 0", number_.value));
    return {};
  }

  // Takes the leaves that don't stay out of the tree; the first that stays begins at 0.
  Result<bool> CutLeaves() {
    size_t next = 0;
    bool is_first = true;
    TreeWalk walk(context_, inode_, {.claim = false, .report = false});
    TRY(walk.Run([&](media::Record& record) -> Result<bool> {
      if (next == records_.size() || !records_[next++].keep) return false;
      if (std::exchange(is_first, false)) record.key = 0;
      return true;
    }));
    return walk.inode_changed();
  }

  bool FixCount(const char* name, uint64_t& field, uint64_t found, bool damaged) {
    if (field == found) return false;
    if (!damaged) {
      context_.Report(FindingKind::kInodeEntryCount, At(number_),
                      fmt::format("directory {}: {} {}, found {}", number_.value, name, field,
                                  found));
    }
    field = found;
    return true;
  }

  Context& context_;
  media::Inode& inode_;
  const InodeNumber number_;
  std::vector<LeafRecord> records_;
  uint64_t kept_ = 0;
  bool first_key_wrong_ = false;
};

}  // namespace

Result<void> CheckDirectories(Context& context) {
  // Grows while it runs, where a damaged group's inodes are found by their names only.
  for (size_t i = 0; i < context.directories.size(); ++i) {
    const InodeNumber number = context.directories[i].number;
    Result<media::Inode> inode = context.reader.ReadInodeUnchecked(number);
    if (!inode || FatalInodeFault(context, number, *inode) != nullptr) continue;
    DirectoryCheck check(context, *inode);
    if (TRY(check.Run()) && context.repairing()) {
      ++context.fixed;
      TRY(context.writer->WriteInode(*inode));
    }
    context.Tell("directories", i + 1, context.directories.size());
  }
  return {};
}

}  // namespace ingot::check
