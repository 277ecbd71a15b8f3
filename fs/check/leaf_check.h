// SPDX-License-Identifier: BSD-3-Clause
// The leaves of one directory in order: which entries prove themselves, and what becomes of the
// rest.
//
// An entry is believed if its name is one, hashes to its key, lies in its leaf's bounds, and its
// inode exists; it may even be saved from a leaf whose checksum is wrong. In a repair a leaf with
// anything wrong is built anew in place from its good entries.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>


#include "fs/check/context.h"
#include "fs/core/directory_leaf.h"

namespace ingot::check {

class LeafCheck {
 public:
  LeafCheck(Context& context, const media::Inode& directory)
      : context_(context), directory_(directory), number_(directory.number) {}

  // The leaf at `page`, whose keys must lie in [low, high). False: it isn't one, or nothing of it
  // is left. Leaves come in the order of their keys. Errors: those of storing.
  Result<bool> Run(LogicalPage page, uint64_t low, uint64_t high);

  [[nodiscard]] uint64_t entries() const { return entries_; }
  [[nodiscard]] bool damaged() const { return damaged_; }

 private:
  struct Bounds {
    uint64_t low;
    uint64_t high;
  };
  enum class Verdict : uint8_t { kGood, kWrongType, kDrop };

  bool Load(LogicalPage page, media::DirectoryLeaf& leaf, bool& rewrite);
  void CheckBookkeeping(LogicalPage page, const media::DirectoryLeaf& leaf, Bounds bounds,
                        bool& rewrite);
  Verdict Judge(LogicalPage page, const media::DirectoryLeaf& leaf, uint32_t index, Bounds bounds,
                uint8_t& type);
  Verdict JudgeTarget(LogicalPage page, uint64_t key, std::string_view name, InodeNumber target,
                      uint8_t& type);
  bool IsDuplicate(uint64_t key, std::string_view name);
  bool BecomesParent(uint64_t key, DirectoryFacts& child);
  Result<void> Rebuild(LogicalPage page, const media::DirectoryLeaf& old,
                       const media::DirectoryLeaf& kept);
  Verdict Drop(FindingKind kind, LogicalPage page, std::string_view name, std::string_view what);
  void Bad(LogicalPage page, std::string_view what);

  Context& context_;
  const media::Inode& directory_;
  const InodeNumber number_;
  uint64_t previous_key_ = 0;
  uint64_t entries_ = 0;
  bool damaged_ = false;
  uint64_t hash_ = 0;  // whose names are in names_
  std::set<std::string> names_;
};

// A name for people: what isn't printable as \xNN.
[[nodiscard]] std::string Printable(std::string_view name);

}  // namespace ingot::check
