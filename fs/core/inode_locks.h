// SPDX-License-Identifier: BSD-3-Clause
// Inode locks without a heap object per inode: 65,536 static 8-byte reader-writer locks (stripes),
// keyed by inode page, so that the eight inodes of a page share one. A pool of fewer pages has
// fewer.
//
// A lock covers the inode, its tree nodes, directory leaves, xattr blocks and data pages, and the
// descriptor of the inode page. Several inodes: their stripes are sorted and deduplicated, then
// locked in ascending order; what was looked up before must be validated again afterwards. Order of
// all locks: rename mutex, stripes, journal lane, groups (docs/locking.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <absl/container/inlined_vector.h>
#include "pmemdev/base/mutex.h"

#include "pmemdev/base/ids.h"

namespace ingot {

class InodeLocks {
 public:
  static constexpr uint32_t kMaxStripes = 65536;

  // For a volume of that many pages.
  explicit InodeLocks(uint64_t page_count);
  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] uint32_t StripeOf(InodeNumber inode) const;
  [[nodiscard]] Mutex& Stripe(uint32_t stripe) { return stripes_[stripe]; }

 private:
  uint32_t count_;  // a power of two
  std::unique_ptr<Mutex[]> stripes_;
};

// Holds one stripe shared. Movable, so that a reply can keep it.
class SharedInodeLock {
 public:
  SharedInodeLock() = default;
  SharedInodeLock(InodeLocks& locks, InodeNumber inode);
  ~SharedInodeLock();
  SharedInodeLock(SharedInodeLock&& other) noexcept;
  SharedInodeLock& operator=(SharedInodeLock&& other) noexcept;
  void Release();

 private:
  Mutex* mutex_ = nullptr;
};

// Holds the stripes of up to a handful of inodes exclusively.
class ExclusiveInodeLocks {
 public:
  ExclusiveInodeLocks(InodeLocks& locks, std::span<const InodeNumber> inodes);
  ExclusiveInodeLocks(InodeLocks& locks, InodeNumber inode)
      : ExclusiveInodeLocks(locks, std::span<const InodeNumber>(&inode, 1)) {}
  ~ExclusiveInodeLocks();
  ExclusiveInodeLocks(ExclusiveInodeLocks&&) = delete;

  [[nodiscard]] bool Covers(InodeNumber inode) const;
  // Adds the inode's stripe out of order, without waiting (hence no deadlock). False: somebody has
  // it.
  [[nodiscard]] bool TryAdd(InodeNumber inode);
  // Takes the last successful TryAdd back, if that added a stripe at all (`size()` grew).
  void DropLast(InodeNumber inode);
  [[nodiscard]] size_t size() const { return held_.size(); }

 private:
  InodeLocks& locks_;
  absl::InlinedVector<uint32_t, 6> held_;  // sorted but for those that TryAdd appended
};

}  // namespace ingot
