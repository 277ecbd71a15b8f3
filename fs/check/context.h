// SPDX-License-Identifier: BSD-3-Clause
// What the passes of one round share: what was found to exist, who owns which page, what is to be
// mended.
//
// A round: groups are loaded, inodes scanned, directories walked, links compared, bitmaps compared.
// In a repair each pass mends in place what needs no space (and counts it in `fixed`); what needs a
// consistent allocator is planned, and done when a round fixed nothing. Nothing on media by itself.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "fs/check/check.h"
#include "fs/check/findings.h"
#include "fs/check/page_set.h"
#include "fs/check/repair_writer.h"
#include "fs/core/blocks.h"

namespace ingot::check {

inline constexpr InodeNumber kRoot{media::kRootInode};

// What is remembered of each inode: 16 bytes beside its number.
struct InodeFacts {
  uint32_t links = 0;  // as stored
  uint32_t found = 0;  // entries that name it
  uint8_t type = 0;    // DT_*
  bool orphan = false;
  bool has_content = false;  // worth keeping when it is lost
};

enum class Reach : uint8_t { kUnknown, kVisiting, kReachable, kUnreachable };

struct DirectoryFacts {
  InodeNumber number;
  InodeNumber parent;        // as stored
  InodeNumber found_parent;  // the directory that holds its entry; 0: none was found
  uint64_t found_key = 0;    // of that entry
  uint32_t subdirectories = 0;
  Reach reach = Reach::kUnknown;
};

struct GroupFacts {
  uint32_t free_slots = 0;
  uint32_t orphans = 0;  // inodes with one of media::kInodeToRecover
  bool entry_valid = false;      // checksum and ranges
  bool initialised = false;      // has bitmaps, by its entry or by their checksums
  bool allocated_valid = false;  // the allocation bitmap matches its checksum
  bool inodes_valid = false;     // the inode-page bitmap does
};

// An entry to be removed, by its directory and key.
using EntryPlace = std::pair<uint64_t, uint64_t>;

// A range of a file whose pages are somebody else's.
struct SharedRange {
  InodeNumber inode;
  FilePage first;
  uint64_t pages;
  friend auto operator<=>(const SharedRange&, const SharedRange&) = default;
};

[[nodiscard]] inline bool IsDirectoryPool(const Device& device) {
  return (device.superblock().features_incompatible & media::kFeatureDirectoryPool) != 0;
}

struct Context {
  Context(Device& device_in, const CheckOptions& options_in, Findings& findings_in, PageSet used_in,
          PageSet metadata_in, PageSet conflicts_in, PageSet inode_pages_in)
      : device(device_in),
        options(options_in),
        findings(findings_in),
        reader(device_in),
        is_directory_pool(IsDirectoryPool(device_in)),
        used(std::move(used_in)),
        metadata(std::move(metadata_in)),
        conflicts(std::move(conflicts_in)),
        inode_pages(std::move(inode_pages_in)) {}

  Device& device;
  const CheckOptions& options;
  Findings& findings;
  BlockReader reader;
  const bool is_directory_pool;
  RepairWriter* writer = nullptr;  // null in a report
  uint32_t round = 1;
  CheckCounts counts;

  PageSet used;         // somebody's
  PageSet metadata;     // of those: inode pages, nodes, leaves, xattr pages
  PageSet conflicts;    // somebody's twice
  PageSet inode_pages;  // pages that were scanned as such
  std::vector<GroupFacts> groups;
  absl::flat_hash_map<uint64_t, InodeFacts> inodes;
  std::vector<DirectoryFacts> directories;
  absl::flat_hash_map<uint64_t, uint32_t> directory_index;  // number -> place in `directories`

  // Backing file -> inode; 0: the inode had to give it up.
  absl::flat_hash_map<uint64_t, uint64_t> backing_owners;
  // Numbers from this on were never handed out.
  uint64_t backing_limit = media::kMaxBackingNumber;

  // The plan.
  uint64_t fixed = 0;                         // changes in place in this round
  uint64_t left = 0;                          // faults that are not to be mended
  std::set<EntryPlace> drop_entries;          // kept over rounds
  std::vector<InodeNumber> lost;
  std::vector<SharedRange> shared;
  std::vector<GroupIndex> wrong_groups;
  std::vector<uint64_t> unknown_files;  // backing files with contents, to be given an inode
  std::vector<uint64_t> empty_files;    // and without: the ledger's from then on

  [[nodiscard]] bool repairing() const { return writer != nullptr; }
  void Report(FindingKind kind, const Place& place, std::string text) {
    findings.Add(kind, place, std::move(text));
  }
  // Says how far a pass is: now and then, and at its end.
  void Tell(std::string_view pass, uint64_t done, uint64_t total) const;

  // Can the run be anything's data or metadata: inside the space, one group, no reserved page?
  [[nodiscard]] bool MayHold(LogicalPage first, uint64_t count) const;
  // Notes an owner; pages that had one already become conflicts.
  void ClaimData(LogicalPage first, uint32_t count);
  // False: the page is another metadata block's already.
  bool ClaimMetadata(LogicalPage page);

  [[nodiscard]] DirectoryFacts* FindDirectory(InodeNumber number);
  // ENOMEM when the tables outgrow the budget.
  [[nodiscard]] Result<void> CheckMemory() const;
};

// Places for findings.
[[nodiscard]] inline Place At(InodeNumber inode) { return {{}, inode, {}}; }
[[nodiscard]] inline Place At(InodeNumber inode, LogicalPage page) { return {{}, inode, page}; }
[[nodiscard]] inline Place At(LogicalPage page) { return {{}, {}, page}; }
[[nodiscard]] inline Place At(GroupIndex group) { return {group, {}, {}}; }

}  // namespace ingot::check
