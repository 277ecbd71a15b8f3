// SPDX-License-Identifier: BSD-3-Clause
// Judging one tree.
#include "tests/crash/oracle.h"

#include <algorithm>

#include <fmt/format.h>

namespace ingot::tests {
namespace {

const NodeState* FindInode(const TreeSnapshot& tree, InodeNumber inode) {
  for (const auto& [path, state] : tree) {
    if (state.attributes.inode == inode) return &state;
  }
  return nullptr;
}

char ByteAt(const std::string& bytes, uint64_t at) {
  return at < bytes.size() ? bytes[at] : '\0';
}

bool IsBetween(Time low, Time value, Time high) {
  return low <= value && value <= high;
}

}  // namespace

std::string Oracle::Judge(Volume& volume) const {
  const Result<TreeSnapshot> walked = SnapshotOf(volume);
  if (!walked) return "walking: " + Describe(walked.error());
  const TreeSnapshot& tree = *walked;
  const std::string old_difference = DifferenceOf(*before, tree);
  if (old_difference.empty()) return "";
  if (after == nullptr) return "what was acknowledged is not there: " + old_difference;
  const std::string new_difference = DifferenceOf(*after, tree);
  if (new_difference.empty()) return "";
  std::string torn_difference;
  if (torn.inode.value != 0) {
    torn_difference = JudgeTornFile(volume, tree);
    if (torn_difference.empty()) return "";
  }
  return fmt::format("neither the old tree: {}\nnor the new one: {}\n{}", old_difference,
                     new_difference, torn_difference);
}

std::string Oracle::JudgeTornFile(Volume& volume, const TreeSnapshot& tree) const {
  const NodeState* const is = FindInode(tree, torn.inode);
  const NodeState* const was = FindInode(*before, torn.inode);
  const NodeState* const wants = FindInode(*after, torn.inode);
  if (is == nullptr || was == nullptr || wants == nullptr) return "the changed file is missing";
  if (const std::string other = DifferenceOf(*before, tree, torn.inode); !other.empty()) {
    if (!DifferenceOf(*after, tree, torn.inode).empty()) return "beside the file: " + other;
  }
  const uint64_t low = std::min(torn.before.size(), torn.after.size());
  const uint64_t high = std::max(torn.before.size(), torn.after.size());
  const uint64_t size = is->attributes.size_bytes;
  const bool size_fits =
      size == low || size == high || (torn.in_steps && low < size && size < high);
  if (!size_fits) return fmt::format("size {} between {} and {}", size, low, high);
  if (!IsBetween(was->attributes.mtime, is->attributes.mtime, wants->attributes.mtime) ||
      !IsBetween(was->attributes.ctime, is->attributes.ctime, wants->attributes.ctime)) {
    return "times of neither before nor after";
  }
  const Result<std::string> contents = ContentsOf(volume, torn.inode);
  if (!contents) return "reading: " + Describe(contents.error());
  for (uint64_t at = 0; at < contents->size(); ++at) {
    const char byte = (*contents)[at];
    if (byte == ByteAt(torn.before, at)) continue;
    const bool in_range = torn.begin <= at && at < torn.end;
    if (!in_range || byte != ByteAt(torn.after, at)) {
      return fmt::format("byte {} is {:#x}, was {:#x}, becomes {:#x}", at, byte,
                         ByteAt(torn.before, at), ByteAt(torn.after, at));
    }
  }
  return "";
}

}  // namespace ingot::tests
