// SPDX-License-Identifier: BSD-3-Clause
// Volatile claims of growing files. Touches no media.
#include "fs/core/append_reservations.h"

#include <algorithm>

namespace ingot {

Claim AppendReservations::Take(InodeNumber inode, FilePage page, uint64_t pages) {
  Shard& shard = ShardOf(inode);
  Entries used_up;
  MutexLock lock(shard.mutex);
  const auto found = shard.by_inode.find(inode);
  if (found == shard.by_inode.end()) return {};
  for (const Entries::iterator entry : found->second) {
    if (entry->page != page) continue;
    if (pages >= entry->claim.count()) {
      Claim whole = std::move(entry->claim);
      Unlink(shard, entry, used_up);
      return whole;
    }
    entry->page += pages;
    shard.entries.splice(shard.entries.begin(), shard.entries, entry);
    return entry->claim.TakeFront(static_cast<uint32_t>(pages));
  }
  return {};
}

void AppendReservations::Put(InodeNumber inode, FilePage page, Claim claim) {
  Shard& shard = ShardOf(inode);
  Entries dropped;
  {
    MutexLock lock(shard.mutex);
    shard.entries.push_front({inode, page, std::move(claim)});
    shard.by_inode[inode].push_back(shard.entries.begin());
    if (shard.entries.size() > kMaxEntries / kShards) {
      Unlink(shard, std::prev(shard.entries.end()), dropped);
    }
  }
}

void AppendReservations::Unlink(Shard& shard, Entries::iterator entry, Entries& dropped) {
  const auto found = shard.by_inode.find(entry->inode);
  auto& of_inode = found->second;
  of_inode.erase(std::find(of_inode.begin(), of_inode.end(), entry));
  if (of_inode.empty()) shard.by_inode.erase(found);
  dropped.splice(dropped.begin(), shard.entries, entry);
}

void AppendReservations::Drop(InodeNumber inode) {
  Shard& shard = ShardOf(inode);
  Entries dropped;
  {
    MutexLock lock(shard.mutex);
    for (auto found = shard.by_inode.find(inode); found != shard.by_inode.end();
         found = shard.by_inode.find(inode)) {
      Unlink(shard, found->second.back(), dropped);
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
      shard.by_inode.clear();
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
