// SPDX-License-Identifier: BSD-3-Clause
// Findings counted, deduplicated and kept up to a bound.
#include "fs/check/findings.h"

#include <numeric>
#include <tuple>
#include <utility>

#include <absl/hash/hash.h>

#include "fs/check/make_room.h"

namespace ingot::check {

std::string_view NameOf(FindingKind kind) {
  static constexpr std::array<std::string_view, kFindingKinds> kNames = {
      "superblock-copy",   "superblocks-lost",  "lane-header",         "lane-damaged",
      "group-entry",       "group-bitmap",      "group-counts",        "page-leaked",
      "page-unallocated",  "page-shared",       "inode-page-bit",      "inode-page",
      "data-unreadable",   "inode-damaged",     "inode-unreadable",    "inode-field",
      "inode-page-count",  "inode-entry-count", "inode-links",         "inode-orphan-flag",
      "inode-parent",      "inode-lost",        "root-damaged",        "tree-node",
      "tree-record",       "extent",            "extent-beyond-end",   "directory-leaf",
      "entry-damaged",     "entry-dangling",    "entry-duplicate",     "entry-type",
      "entry-second-parent", "directory-cycle", "xattr",           "ledger",
      "backing-file-shared", "backing-file-missing", "backing-file-unknown",
      "backing-directory", "backing-name",
  };
  static_assert(!kNames.back().empty());
  return kNames[static_cast<size_t>(kind)];
}

void Findings::Add(FindingKind kind, const Place& place, std::string text) {
  if (!IsNotice(kind)) ++in_round_;
  const auto value = [](const auto& index) {
    return index.has_value() ? index->value : ~uint64_t{0};
  };
  if (known_.size() < kMaxRemembered) {
    const uint64_t key = absl::HashOf(static_cast<uint8_t>(kind), value(place.group),
                                      value(place.inode), value(place.page), text);
    MakeRoomForOne(known_);
    if (!known_.insert(key).second) return;
  }
  ++counts_[static_cast<size_t>(kind)];
  if (kept_.size() < kMaxKept) kept_.push_back({kind, std::move(text), place, false});
}

uint64_t Findings::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}) - notices();
}

uint64_t Findings::notices() const {
  uint64_t count = 0;
  for (size_t kind = 0; kind < kFindingKinds; ++kind) {
    if (IsNotice(static_cast<FindingKind>(kind))) count += counts_[kind];
  }
  return count;
}

}  // namespace ingot::check
