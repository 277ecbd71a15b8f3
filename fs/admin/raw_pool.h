// SPDX-License-Identifier: BSD-3-Clause
// A pool read without trust, for dump: nothing is refused, what is wrong is noted and stepped over.
//
// Maps read-only and without the lock, so that a pool in use can be looked at; what is being
// changed meanwhile may then look damaged. Pending journal transactions are not applied. Not
// thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/core/extent_map.h"
#include "fs/format.h"
#include "pmemdev/device.h"

namespace ingot::admin {

class RawPool {
 public:
  // A pool, or a directory pool's region by itself: copies are looked at, too. EINVAL: nothing of
  // it is an ingot pool. ENOENT, EACCES ... of opening it. With all superblocks
  // lost the geometry is taken from the other witnesses or, failing that, from the file's size.
  static Result<RawPool> Open(const std::string& path);

  [[nodiscard]] const Mapping& mapping() const { return *mapping_; }
  [[nodiscard]] const media::Superblock& superblock() const { return superblock_; }
  [[nodiscard]] const Geometry& geometry() const { return geometry_; }

  // What was found wrong so far, for people; at most kMaxProblems.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  void Note(std::string problem);

  // EUCLEAN: outside the pool. EIO: poisoned.
  Result<void> ReadPage(LogicalPage page, std::span<std::byte> to) const;
  // The slot's bytes; what is wrong with them is noted. EUCLEAN, EIO as above.
  Result<media::Inode> ReadInode(InodeNumber number);

  // Calls `visit` with the leaf records of the inode's tree, in key order as far as it is intact.
  // Damaged nodes are noted and left out, or used as far as they are plausible. Bounded whatever
  // the bytes are.
  using VisitRecord = std::function<void(const media::Record&)>;
  void ForEachRecord(const media::Inode& inode, const VisitRecord& visit);

  // An entry of a directory.
  struct Entry {
    uint64_t key = 0;
    InodeNumber inode;
    uint8_t type = 0;
    std::string name;
  };
  std::vector<Entry> ReadDirectory(const media::Inode& directory);
  // Walks "a/b/c" from the root by comparing names, so that damaged hashes don't hide any. ENOENT,
  // ENOTDIR.
  Result<InodeNumber> Resolve(std::string_view path);

 private:
  static constexpr size_t kMaxProblems = 1000;

  RawPool() = default;
  Result<void> ReadSuperblock();
  // Reads a block and notes what its header gets wrong. False: it can't be used at all.
  bool ReadBlock(const media::Inode& inode, LogicalPage page, uint32_t magic,
                 std::span<std::byte> to);
  void VisitNode(const media::Inode& inode, LogicalPage page, uint32_t level,
                 const VisitRecord& visit);

  std::unique_ptr<Mapping> mapping_;
  media::Superblock superblock_{};
  Geometry geometry_;
  std::vector<std::string> problems_;
  uint64_t nodes_left_ = 0;  // of the traversal under way
};

}  // namespace ingot::admin
