// SPDX-License-Identifier: BSD-3-Clause
// Volatile claims of growing files. Touches no media.
#include "fs/core/append_reservations.h"

#include <algorithm>

namespace ingot {

Claim AppendReservations::Take(InodeNumber inode, FilePage page, uint64_t pages) {
  Shard& shard = ShardOf(inode);
  Entries used_up;
  MutexLock lock(shard.mutex);
  for (const Entries::iterator entry : BucketOf(shard, inode)) {
    if (entry->inode != inode || entry->page != page) continue;
    if (pages >= entry->claim.count()) {
      Claim whole = std::move(entry->claim);
      Unlink(shard, entry, used_up);
      return whole;
    }
    Claim front = entry->claim.TakeFront(static_cast<uint32_t>(pages));
    entry->page += pages;
    shard.entries.splice(shard.entries.begin(), shard.entries, entry);
    return front;
  }
  return {};
}

void AppendReservations::Put(InodeNumber inode, FilePage page, Claim claim) {
  Shard& shard = ShardOf(inode);
  Entries dropped;
  (void)NoThrow([&]() -> Result<void> {
    Entries added;
    added.push_front({inode, page, std::move(claim)});
    MutexLock lock(shard.mutex);
    BucketOf(shard, inode).push_back(added.begin());
    shard.entries.splice(shard.entries.begin(), added);
    if (shard.entries.size() > kMaxEntries / kShards) {
      Unlink(shard, std::prev(shard.entries.end()), dropped);
    }
    return {};
  });
}

bool AppendReservations::Has(InodeNumber inode) {
  Shard& shard = ShardOf(inode);
  MutexLock lock(shard.mutex);
  for (const Entries::iterator entry : BucketOf(shard, inode)) {
    if (entry->inode == inode) return true;
  }
  return false;
}

void AppendReservations::Unlink(Shard& shard, Entries::iterator entry, Entries& dropped) {
  Bucket& bucket = BucketOf(shard, entry->inode);
  bucket.erase(std::find(bucket.begin(), bucket.end(), entry));
  dropped.splice(dropped.begin(), shard.entries, entry);
}

void AppendReservations::Drop(InodeNumber inode) {
  Shard& shard = ShardOf(inode);
  Entries dropped;
  {
    MutexLock lock(shard.mutex);
    Bucket& bucket = BucketOf(shard, inode);
    for (size_t i = bucket.size(); i-- > 0;) {
      const Entries::iterator entry = bucket[i];
      if (entry->inode == inode) Unlink(shard, entry, dropped);
    }
  }
}

bool AppendReservations::DropAll() {
  bool any = false;
  for (Shard& shard : shards_) {
    Entries dropped;
    {
      MutexLock lock(shard.mutex);
      dropped.swap(shard.entries);
      for (Bucket& bucket : shard.buckets) bucket.clear();
    }
    any = any || !dropped.empty();
  }
  return any;
}

size_t AppendReservations::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    size += shard.entries.size();
  }
  return size;
}

}  // namespace ingot
