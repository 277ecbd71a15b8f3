// SPDX-License-Identifier: BSD-3-Clause
// Volatile claims on the space that growing files will need next, so that each file grows in one
// place.
//
// An entry says: this run of free pages is for these pages of that file. Claims are promises, not
// use: an entry that outlived its purpose wastes nothing but a place here. Bounded; the least
// recently used goes first. Thread-safe: shards with a mutex each, under which groups' locks may be
// taken (dropping or splitting a claim does); nobody calls from under a group's lock.
#pragma once

#include <array>
#include <cstdint>
#include <list>

#include <absl/container/inlined_vector.h>
#include <absl/hash/hash.h>

#include "fs/core/allocator.h"
#include "pmemdev/base/mutex.h"

namespace ingot {

class AppendReservations {
 public:
  static constexpr size_t kMaxEntries = 4096;

  // Up to `pages` for the file's pages from `page` on, if they are reserved; else an empty claim.
  [[nodiscard]] Claim Take(InodeNumber inode, FilePage page, uint64_t pages);
  // Keeps `claim` for the file's pages from `page` on. Without memory for that it is given back.
  void Put(InodeNumber inode, FilePage page, Claim claim);
  [[nodiscard]] bool Has(InodeNumber inode);
  // Gives back what is reserved for the file.
  void Drop(InodeNumber inode);
  // Gives back everything; true if there was anything. Before ENOSPC.
  bool DropAll();
  [[nodiscard]] size_t size() const;

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kBuckets = 64;

  struct Entry {
    InodeNumber inode;
    FilePage page;
    Claim claim;
  };
  using Entries = std::list<Entry>;  // most recently used first; nodes are reused by splicing
  using Bucket = absl::InlinedVector<Entries::iterator, 2>;
  struct alignas(kCacheLineSize) Shard {
    mutable Mutex mutex;
    Entries entries ABSL_GUARDED_BY(mutex);
    // By the inode's hash. (Not abseil's table: one that can't grow for want of memory is broken.)
    std::array<Bucket, kBuckets> buckets ABSL_GUARDED_BY(mutex);
  };

  [[nodiscard]] Shard& ShardOf(InodeNumber inode) {
    return shards_[absl::Hash<InodeNumber>()(inode) % kShards];
  }
  [[nodiscard]] static Bucket& BucketOf(Shard& shard, InodeNumber inode)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    return shard.buckets[absl::Hash<InodeNumber>()(inode) / kShards % kBuckets];
  }
  // Unlinks an entry and moves it to `dropped`, whose claims are then given back without the mutex.
  static void Unlink(Shard& shard, Entries::iterator entry, Entries& dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);

  std::array<Shard, kShards> shards_;
};

}  // namespace ingot
