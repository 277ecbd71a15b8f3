// SPDX-License-Identifier: BSD-3-Clause
// Which handles the kernel serves past the daemon, on the backing file itself (rules B4 and B5).
//
// The kernel wants all handles of an inode alike: with passthrough, and one backing id, or without.
// So those with it are counted here, and all in the core, from before the reply to OPEN is sent
// until RELEASE, or until the reply was refused. A table of inodes with such handles; what may be
// given up (an unused backing id) is kept no longer than they are. Thread-safe. After a restart of
// the daemon under a live mount it would have to be made anew from what the kernel still holds.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/core/volume.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/mount_options.h"
#include "pmemdev/base/mutex.h"

namespace ingot {

class Passthrough {
 public:
  Passthrough(Volume& volume, CacheMode cache);
  ~Passthrough();
  Passthrough(const Passthrough&) = delete;

  // Once, before requests are served. `why_not` empty: the kernel offers it. `descriptor`: the
  // connection's, borrowed.
  void Start(int descriptor, std::string why_not);
  [[nodiscard]] bool is_possible() const { return why_not_.empty() && refused_.load() == 0; }
  // Why nothing is mapped directly, for people; empty: what is backed can be.
  [[nodiscard]] std::string WhyNot() const;
  [[nodiscard]] uint64_t handles() const { return handles_.load(); }

  // Counts the handle and fills what the reply says. ESTALE; EPERM: the file's flags forbid it;
  // EINVAL: O_DIRECT, and the host can't; EIO: the backing file is missing. True: attributes that
  // the kernel remembers must be forgotten first.
  Result<bool> Open(InodeNumber inode, fuse_file_info& file);
  // The same for a file just made, whose handle the core has counted already. Never an error: it
  // then goes through the daemon.
  void OpenNew(const Attributes& made, fuse_file_info& file);
  // At RELEASE, and when the reply was refused. Gives the core's count back, too.
  void Close(InodeNumber inode, uint64_t handle) noexcept;

  // A write came through the daemon on this handle. Of one that can't be mapped, that is the proof
  // that its open is over in the kernel, too: from now on it holds nobody back (rule B4).
  void NoteWritten(InodeNumber inode, uint64_t handle) noexcept;

  // Open without passthrough, so that later opens must be, too.
  [[nodiscard]] bool IsHeldBack(InodeNumber inode) const;
  // The files that are open with it.
  [[nodiscard]] std::vector<std::shared_ptr<BackingFile>> OpenFiles() const;
  // May somebody write to it past the daemon?
  [[nodiscard]] bool HasWriter(InodeNumber inode) const;
  // May stores through a mapping, or through a handle of a killed daemon's mount, change size and
  // times of a backed file without this mount's kernel knowing? Takes the inode's lock, shared.
  [[nodiscard]] bool MayChangeUnseen(InodeNumber inode) noexcept;
  // The kernel has no reference left, hence no mapping.
  void Forgotten(InodeNumber inode) noexcept;

 private:
  struct Entry {
    std::shared_ptr<BackingFile> file;
    uint32_t backing_id = 0;
    uint32_t handles = 0;
    uint32_t writers = 0;
  };
  // Inodes are spread over these, so that an open that waits for one of them holds up few others.
  struct Shard {
    mutable Mutex mutex;
    std::unordered_map<uint64_t, Entry> entries ABSL_GUARDED_BY(mutex);
    std::unordered_set<uint64_t> mapped ABSL_GUARDED_BY(mutex);  // opened read-write so
    // Write-only handles without passthrough that have written.
    std::unordered_map<uint64_t, std::vector<uint64_t>> writers ABSL_GUARDED_BY(mutex);
    // Nobody from before this mount has it open or mapped: it was asked once, which is enough.
    std::unordered_set<uint64_t> quiet ABSL_GUARDED_BY(mutex);
  };
  static constexpr size_t kMaxQuiet = 1024;  // a shard; beyond, all are asked anew
  static constexpr size_t kShards = 64;
  [[nodiscard]] Shard& ShardOf(InodeNumber inode) const { return shards_[inode.value % kShards]; }

  // Decides, under the shard's lock, for a handle that the core has counted: passthrough (true)
  // because the others have it, or because it is the only one of a file that may.
  Result<bool> Decide(Shard& shard, const Attributes& attributes, fuse_file_info& file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  // The inode's entry, made if there is none. Null: the kernel refused the file.
  Result<Entry*> EntryFor(Shard& shard, InodeNumber inode)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  // Asks the host once for each inode (rule B8).
  Result<bool> IsQuiet(Shard& shard, InodeNumber inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  // Returns the file: as long as somebody has it, how it was used is known.
  std::shared_ptr<BackingFile> Remove(Shard& shard, InodeNumber inode, uint64_t handle)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  // Fills the reply for a handle that goes through the daemon.
  void ChooseWithout(const Attributes& attributes, fuse_file_info& file);
  // How many handles hold nobody back.
  static size_t IgnoredHandles(const Shard& shard, InodeNumber inode)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  // The backing id of an open file; 0: refused.
  uint32_t Register(int fd);

  Volume& volume_;
  const CacheMode cache_;
  const bool host_takes_direct_io_;
  int descriptor_ = -1;
  std::string why_not_ = "the mount is not ready";
  std::atomic<int> refused_{0};  // the kernel did, with this error, and it will always do so
  std::atomic<uint64_t> handles_{0};
  std::atomic<uint64_t> next_serial_{1};
  // Handles that NoteWritten has noted, so that most writes of theirs need no lock.
  std::array<std::atomic<uint64_t>, 1024> noted_{};
  std::unique_ptr<Shard[]> shards_ = std::make_unique<Shard[]>(kShards);
};

}  // namespace ingot
