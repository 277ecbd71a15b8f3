// SPDX-License-Identifier: BSD-3-Clause
// The recursion over nodes; see tree_walk.h.
#include "fs/check/tree_walk.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace ingot::check {

bool TreeWalk::Bad(FindingKind kind, LogicalPage page, std::string_view what) {
  damaged_ = true;
  if (options_.report) {
    const InodeNumber inode(inode_.number);
    context_.Report(
        kind, At(inode, page),
        fmt::format("inode {}: tree node at page {}: {}", inode.value, page.value, what));
  }
  return false;
}

Result<TreeWalk::Outcome> TreeWalk::Records(std::span<media::Record> records, uint32_t level,
                                            Range range, Visitor visit) {
  Outcome outcome;
  for (size_t i = 0; i < records.size(); ++i) {
    media::Record record = records[i];
    const LogicalPage place(record.value);
    // The first of an inner node answers for all from the node's lower bound on.
    if (level > 0 && outcome.kept == 0 && record.key != range.low) {
      Bad(FindingKind::kTreeRecord, place, "reached by a key that isn't its node's first");
      record.key = range.low;
    }
    const bool above =
        outcome.kept == 0 ? record.key >= range.low : record.key > records[outcome.kept - 1].key;
    bool keep = above && record.key < range.high;
    if (!keep) {
      Bad(FindingKind::kTreeRecord, place, fmt::format("key {:#x} out of order", record.key));
    } else if (level == 0) {
      keep = TRY(visit(record));
      damaged_ = damaged_ || !keep;
    } else {
      uint64_t high = range.high;
      if (i + 1 < records.size() && records[i + 1].key > record.key) {
        high = std::min(high, records[i + 1].key);
      }
      keep = TRY(Node(place, level - 1, {record.key, high}, visit));
    }
    if (!keep) {
      outcome.changed = true;
      continue;
    }
    outcome.changed = outcome.changed || record != records[i];
    records[outcome.kept++] = record;
  }
  return outcome;
}

Result<bool> TreeWalk::Node(LogicalPage page, uint32_t level, Range range, Visitor visit) {
  if (!context_.MayHold(page, 1)) return Bad(FindingKind::kTreeNode, page, "no such page");
  media::TreeNode node;
  const BlockIdentity identity{BlockKind::kTreeNode, InodeNumber(inode_.number), inode_.generation};
  if (const Result<void> read = context_.reader.Copy(page, identity, WritableBytesOf(node));
      !read) {
    return Bad(FindingKind::kTreeNode, page, Describe(read.error()));
  }
  const uint32_t count = node.header.count;
  if (node.header.level != level || count == 0 || count > media::kNodeRecords) {
    return Bad(FindingKind::kTreeNode, page,
               fmt::format("level {} with {} records", node.header.level, count));
  }
  if (options_.claim && !context_.ClaimMetadata(page)) {
    return Bad(FindingKind::kPageShared, page, "is another block as well");
  }
  ++node_pages_;
  const Outcome outcome = TRY(Records(std::span(node.records).first(count), level, range, visit));
  if (outcome.kept == 0) return false;
  if (outcome.changed && options_.fix && context_.repairing()) {
    std::fill(node.records.begin() + outcome.kept, node.records.begin() + count, media::Record{});
    node.header.count = static_cast<uint16_t>(outcome.kept);
    TRY(context_.writer->WriteBlock(page, WritableBytesOf(node)));
    ++context_.fixed;
  }
  return true;
}

void TreeWalk::ReplaceTail(std::span<const media::Record> records, uint32_t kept) {
  const size_t before = inode_.body_bytes;
  std::memcpy(inode_.tail.data(), records.data(), kept * sizeof(media::Record));
  inode_.body_bytes = static_cast<uint16_t>(kept * sizeof(media::Record));
  std::fill(inode_.tail.begin() + inode_.body_bytes,
            inode_.tail.begin() + static_cast<std::ptrdiff_t>(before), std::byte{});
  if (kept == 0) {
    if (inode_.body_form == media::BodyForm::kTree) inode_.body_form = media::BodyForm::kEmpty;
    inode_.tree_height = 0;
  }
  inode_changed_ = true;
}

Result<void> TreeWalk::Run(Visitor visit) {
  std::array<media::Record, media::kMaxRootRecords> records;
  const size_t count = std::min<size_t>(inode_.body_bytes / sizeof(media::Record), records.size());
  std::memcpy(records.data(), inode_.tail.data(), count * sizeof(media::Record));
  const Outcome outcome =
      TRY(Records(std::span(records).first(count), inode_.tree_height, {0, kNoKey}, visit));
  if (outcome.changed && options_.fix) ReplaceTail(records, outcome.kept);
  return {};
}

}  // namespace ingot::check
