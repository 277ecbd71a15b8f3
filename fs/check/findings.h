// SPDX-License-Identifier: BSD-3-Clause
// What a check found: kinds, findings, and their bounded collection.
//
// Kinds have stable names for JSON and tests. A damaged pool can hold millions of faults: all are
// counted, the first kMaxKept are kept with their text. Values; not thread-safe. Nothing on media.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include "pmemdev/base/ids.h"

namespace ingot::check {

enum class FindingKind : uint8_t {
  // the device layer
  kSuperblockCopy,   // a copy is damaged or differs from the winner
  kSuperblocksLost,  // none was left
  kLaneHeader,       // a lane's header is damaged
  kLaneDamaged,      // a lane can't be read, or its record names impossible places
  kGroupEntry,       // checksum or a range of a group's entry
  kGroupBitmap,      // a bitmap page doesn't match its checksum in the entry, or can't be read
  kGroupCounts,      // free pages, free huge pages, free slots or orphans are not what there is
  // pages
  kPageLeaked,       // allocated, but nobody's
  kPageUnallocated,  // somebody's, but free in the bitmap
  kPageShared,       // two owners
  kInodePageBit,     // the inode-page bitmap and the inode pages differ
  kInodePage,        // marked as an inode page, but nothing like one
  kDataUnreadable,   // poisoned file data
  // inodes
  kInodeDamaged,     // magic, checksum, number, or a field without which nothing can be believed
  kInodeUnreadable,  // poisoned
  kInodeField,       // a field that can be set right
  kInodePageCount,
  kInodeEntryCount,
  kInodeLinks,
  kInodeOrphanFlag,
  kInodeParent,
  kInodeLost,        // no name, and no orphan
  kRootDamaged,
  // blocks
  kTreeNode,         // a node that can't be believed
  kTreeRecord,       // a record out of order or out of its node's bounds
  kExtent,           // an extent outside the space, overlapping, or too far
  kExtentBeyondEnd,  // written data behind the end of the file
  kDirectoryLeaf,    // a leaf that can't be believed, or whose bookkeeping is wrong
  kEntryDamaged,     // an entry whose key, name or place is wrong
  kEntryDangling,    // names no inode
  kEntryDuplicate,   // the same name twice
  kEntryType,        // not its inode's type
  kEntrySecondParent,  // a second name of a directory
  kDirectoryCycle,
  kXattr,
  // directory pools
  kLedger,              // the ledger of backing files can't be believed, or says what can't be
  kBackingFileShared,   // one backing file in two inodes
  kBackingFileMissing,  // an inode's backing file isn't there, or is no regular file
  kBackingFileUnknown,  // a backing file that neither an inode nor the ledger names
  kBackingDirectory,    // backing/ or its mark is missing, or the mark is another pool's
  kBackingName,         // not one of ours in backing/: told of, and left alone
  kCount,
};
inline constexpr size_t kFindingKinds = static_cast<size_t>(FindingKind::kCount);

// "inode-links" for kInodeLinks.
[[nodiscard]] std::string_view NameOf(FindingKind kind);

// Told of, and no fault: no repair touches it.
[[nodiscard]] constexpr bool IsNotice(FindingKind kind) {
  return kind == FindingKind::kBackingName;
}

// Where it is; what doesn't apply is absent.
struct Place {
  std::optional<GroupIndex> group;
  std::optional<InodeNumber> inode;
  std::optional<LogicalPage> page;
};

struct Finding {
  FindingKind kind;
  std::string text;  // for people: "inode 17: links 3, found 2"
  Place place;
  bool repaired = false;
};

class Findings {
 public:
  static constexpr size_t kMaxKept = 10'000;
  static constexpr size_t kMaxRemembered = 1'000'000;

  // Later rounds of a repair see again what earlier ones left for later: the same kind at the same
  // place counts once.
  void Add(FindingKind kind, const Place& place, std::string text);
  // Faults of the round, old ones included.
  void BeginRound() { in_round_ = 0; }
  [[nodiscard]] uint64_t in_round() const { return in_round_; }

  // Faults, and notices.
  [[nodiscard]] uint64_t total() const;
  [[nodiscard]] uint64_t notices() const;
  [[nodiscard]] const std::array<uint64_t, kFindingKinds>& counts() const { return counts_; }
  [[nodiscard]] std::vector<Finding>& kept() { return kept_; }

 private:
  std::array<uint64_t, kFindingKinds> counts_{};
  std::vector<Finding> kept_;
  absl::flat_hash_set<uint64_t> known_;
  uint64_t in_round_ = 0;
};

}  // namespace ingot::check
