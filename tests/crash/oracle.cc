// SPDX-License-Identifier: BSD-3-Clause
// Judging one tree.
#include "tests/crash/oracle.h"

#include <algorithm>

#include <fmt/format.h>
#include <sys/stat.h>

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

// Without group execution S_ISGID never gave anybody a group.
bool HasSetIds(uint32_t mode) {
  return (mode & S_ISUID) != 0 || (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
}

bool IsBetween(Time low, Time value, Time high) {
  return low <= value && value <= high;
}

}  // namespace

std::string Oracle::Judge(Volume& volume) const {
  const Result<TreeSnapshot> walked = SnapshotOf(volume);
  if (!walked) return "walking: " + Describe(walked.error());
  const TreeSnapshot& tree = *walked;
  if (std::string words = JudgePrivileges(tree); !words.empty()) return words;
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

// Even if that is what the operation leaves in the end.
std::string Oracle::JudgePrivileges(const TreeSnapshot& tree) const {
  if (!torn.takes_set_ids && !torn.takes_capability) return "";
  const NodeState* const is = FindInode(tree, torn.inode);
  const NodeState* const was = FindInode(*before, torn.inode);
  if (is == nullptr || was == nullptr) return "";  // the trees' comparison says so
  if (is->contents_hash == was->contents_hash &&
      is->attributes.size_bytes == was->attributes.size_bytes) {
    return "";
  }
  if (torn.takes_set_ids && HasSetIds(is->attributes.mode)) {
    return fmt::format("new contents with mode {:o}", is->attributes.mode);
  }
  return torn.takes_capability && is->has_capability ? "new contents with a capability" : "";
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
  return JudgeContents(*contents);
}

std::string Oracle::JudgeContents(const std::string& contents) const {
  if (torn.whole) {
    return contents == torn.before || contents == torn.after ? "" : "contents half changed";
  }
  for (uint64_t at = 0; at < contents.size(); ++at) {
    const char byte = contents[at];
    // Where the file had not been, a size that shows bytes shows the new ones.
    const bool may_be_old = at < torn.before.size();
    const bool in_range = torn.begin <= at && at < torn.end;
    if (may_be_old && byte == ByteAt(torn.before, at)) continue;
    if ((in_range || !may_be_old) && byte == ByteAt(torn.after, at)) continue;
    return fmt::format("byte {} is {:#x}, was {:#x}, becomes {:#x}", at, byte,
                       ByteAt(torn.before, at), ByteAt(torn.after, at));
  }
  for (const uint64_t page : torn.holes) {
    if (std::string words = JudgeHole(contents, page); !words.empty()) return words;
  }
  return "";
}

std::string Oracle::JudgeHole(const std::string& contents, uint64_t page) const {
  const uint64_t end = std::min<uint64_t>((page + 1) * kPageSize, contents.size());
  bool is_old = true;
  bool is_new = true;
  for (uint64_t at = page * kPageSize; at < end; ++at) {
    is_old = is_old && contents[at] == ByteAt(torn.before, at);
    is_new = is_new && contents[at] == ByteAt(torn.after, at);
  }
  return is_old || is_new ? "" : fmt::format("page {}, a hole before, is half written", page);
}

}  // namespace ingot::tests
