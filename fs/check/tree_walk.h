// SPDX-License-Identifier: BSD-3-Clause
// Every record of an inode's tree in order, with each node proven on the way: identity, level,
// order and bounds of its keys. What can't be proven is reported and, in a repair, cut off.
//
// Works on copies. In a repair changed nodes are written in place, children first; the inode's copy
// is changed in DRAM and written by the caller. Depth is bounded by tree_height <= 8, and disjoint
// key ranges keep a node from being entered twice.
#pragma once

#include <cstdint>
#include <span>

#include <absl/functional/function_ref.h>

#include "fs/check/context.h"

namespace ingot::check {

inline constexpr uint64_t kNoKey = UINT64_MAX;

// Files and directories in blocks; and backed files whose old extents are still to be freed.
[[nodiscard]] inline bool HasTree(const media::Inode& inode) {
  return inode.body_form == media::BodyForm::kTree ||
         (inode.body_form == media::BodyForm::kBacked && inode.body_bytes != 0);
}

class TreeWalk {
 public:
  struct Options {
    bool claim = true;   // nodes become metadata
    bool report = true;  // findings
    bool fix = true;     // cut off what is bad; only in a repair
  };
  TreeWalk(Context& context, media::Inode& inode, const Options& options)
      : context_(context), inode_(inode), options_(options) {}

  // Calls `visit` with each leaf record; it may change the record, or answer false to have it
  // dropped. HasTree(inode), with a plausible tail. Errors: those of storing.
  using Visitor = absl::FunctionRef<Result<bool>(media::Record&)>;
  Result<void> Run(Visitor visit);

  [[nodiscard]] uint64_t node_pages() const { return node_pages_; }
  [[nodiscard]] bool damaged() const { return damaged_; }      // anything was reported or dropped
  [[nodiscard]] bool inode_changed() const { return inode_changed_; }  // the tail's records

 private:
  struct Range {
    uint64_t low;
    uint64_t high;  // not included
  };
  struct Outcome {
    uint32_t kept = 0;
    bool changed = false;
  };
  Result<Outcome> Records(std::span<media::Record> records, uint32_t level, Range range,
                          Visitor visit);
  // True if the node stays.
  Result<bool> Node(LogicalPage page, uint32_t level, Range range, Visitor visit);
  bool Bad(FindingKind kind, LogicalPage page, std::string_view what);
  void ReplaceTail(std::span<const media::Record> records, uint32_t kept);

  Context& context_;
  media::Inode& inode_;
  const Options options_;
  uint64_t node_pages_ = 0;
  bool damaged_ = false;
  bool inode_changed_ = false;
};

}  // namespace ingot::check
