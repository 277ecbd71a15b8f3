// SPDX-License-Identifier: BSD-3-Clause
// What a tree may be after a crash: as after the last operation that returned, or as after the one
// that was running; contents of a file that it was changing may be in between, byte by byte, inside
// its range. Whatever an operation does to a file's privileges it has done before any byte is new.
//
// Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/tree_snapshot.h"

namespace ingot::tests {

// The file whose contents an operation may leave half changed.
struct TornFile {
  InodeNumber inode{0};  // 0: none, the operation is all or nothing
  uint64_t begin = 0;    // bytes outside of the range are as before
  uint64_t end = 0;
  bool in_steps = false;  // the size may be in between, too
  bool whole = false;     // contents all as before or all as after, whatever else is in between
  // Contents that differ from those before have no set-id bits, no capability.
  bool takes_set_ids = false;
  bool takes_capability = false;
  // Pages that held nothing: what is written there shows whole, or not yet.
  std::vector<uint64_t> holes{};
  std::string before;
  std::string after;
};

struct Oracle {
  std::shared_ptr<const TreeSnapshot> before;
  std::shared_ptr<const TreeSnapshot> after;  // null: nothing is running
  TornFile torn;
  uint64_t digest = 0;  // of both trees: the same bytes need no second look under the same oracle

  // The same before anything of the running operation was done.
  [[nodiscard]] Oracle AtRest() const {
    return {.before = before, .after = nullptr, .torn = {}, .digest = digest + 1};
  }
  // "" if the volume's tree is one of those; else what is wrong.
  [[nodiscard]] std::string Judge(Volume& volume) const;

 private:
  [[nodiscard]] std::string JudgePrivileges(const TreeSnapshot& tree) const;
  [[nodiscard]] std::string JudgeTornFile(Volume& volume, const TreeSnapshot& tree) const;
  [[nodiscard]] std::string JudgeContents(const std::string& contents) const;
  [[nodiscard]] std::string JudgeHole(const std::string& contents, uint64_t page) const;
};

}  // namespace ingot::tests
