// SPDX-License-Identifier: BSD-3-Clause
// Which handles the kernel serves past the daemon, on the backing file itself (rules B4 and B5).
//
// The kernel wants all handles of an inode alike: with passthrough, and one backing id, or without.
// So those with it are counted here, and all in the core, from before the reply to OPEN is sent
// until RELEASE, or until the reply was refused. A table of inodes with such handles; what may be
// given up (an unused backing id) is kept no longer than they are. Thread-safe. After a restart of
// the daemon under a live mount it would have to be made anew from what the kernel still holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "fs/core/volume.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/mount_options.h"
#include "pmemdev/base/mutex.h"

namespace ingot {

// Why files are not mapped directly, for people; empty: they are, where they are backed.
struct PassthroughState {
  std::string why_not;
  uint64_t handles = 0;  // counted now
};

class Passthrough {
 public:
  Passthrough(Volume& volume, CacheMode cache) : volume_(volume), cache_(cache) {}
  ~Passthrough();
  Passthrough(const Passthrough&) = delete;

  // Once, before requests are served. `why_not` empty: the kernel offers it. `descriptor`: the
  // connection's, borrowed.
  void Start(int descriptor, std::string why_not);
  [[nodiscard]] bool is_possible() const { return why_not_.empty() && !refused_.load(); }
  [[nodiscard]] PassthroughState State() const;

  // Counts the handle and fills what the reply says. The kernel's own request, for libfuse. ESTALE;
  // EPERM: the file's flags forbid it; EIO: the backing file is missing. True: attributes that the
  // kernel remembers must be forgotten first.
  Result<bool> Open(fuse_req_t request, InodeNumber inode, fuse_file_info& file);
  // The same for a file just made, whose handle the core has counted already. Never an error: it
  // then goes through the daemon.
  void OpenNew(fuse_req_t request, const Attributes& made, fuse_file_info& file);
  // At RELEASE, and when the reply was refused. Gives the core's count back, too.
  void Close(InodeNumber inode, uint64_t handle) noexcept;

  // May somebody write to it past the daemon?
  [[nodiscard]] bool HasWriter(InodeNumber inode) const;
  // May stores through a mapping change size and times without the kernel's telling itself?
  [[nodiscard]] bool MayChangeUnseen(InodeNumber inode) const;
  // The kernel has no reference left, hence no mapping.
  void Forgotten(InodeNumber inode) noexcept;

 private:
  struct Entry {
    std::shared_ptr<BackingFile> file;
    int backing_id = 0;
    uint32_t handles = 0;
    uint32_t writers = 0;
  };

  // Adds a handle to the inode's entry, made if there is none. False: the kernel refused the file.
  Result<bool> Add(fuse_req_t request, InodeNumber inode, fuse_file_info& file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(InodeNumber inode, uint64_t handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // With passthrough (true), because the others are or because it is the first handle of one that
  // is to be so. The core has counted it.
  Result<bool> Decide(fuse_req_t request, const Attributes& attributes, fuse_file_info& file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False: it was so already.
  bool NoteMapped(InodeNumber inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ChooseWithout(const Attributes& attributes, fuse_file_info& file) const;

  Volume& volume_;
  const CacheMode cache_;
  int descriptor_ = -1;
  std::string why_not_ = "the mount is not ready";
  std::atomic<bool> refused_{false};  // the kernel did, in a way that it will always do

  mutable Mutex mutex_;
  std::unordered_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<uint64_t> mapped_ ABSL_GUARDED_BY(mutex_);  // opened read-write so
  std::atomic<size_t> mapped_count_{0};
};

}  // namespace ingot
