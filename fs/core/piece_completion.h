// SPDX-License-Identifier: BSD-3-Clause
// Keeps backed files mapped by 2 MiB entries where the host notes for each block whether it was
// written (ext4, xfs): what write(2) left partly written in a piece of 2 MiB is completed with
// zeros, in the background, once nobody has the file open or mapped (docs/backed-files.md).
//
// Only on media that mappings show themselves (DAX); elsewhere nothing is won. A queue of files
// whose last handle was closed, in memory: what is in it at a crash or an unmount is found after
// the file's next use. NoteClosed() from any thread; Work() from one at a time, without locks or a
// transaction.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "fs/core/core.h"

namespace ingot {

class PieceCompletion {
 public:
  explicit PieceCompletion(Core& core) : core_(core) {}
  PieceCompletion(const PieceCompletion&) = delete;

  // The last handle of a backed file was closed. May forget it, where memory is short or others are
  // many.
  void NoteClosed(InodeNumber inode) noexcept;

  // Completes up to `max_pieces`; takes the file's lock exclusively for each alone, 2 MiB of
  // writing long. True: there is more to do at once. Who is held, by a mapping that outlived its
  // handle say, is tried again by later calls, some times; an error leaves the file alone until it
  // is closed again.
  Result<bool> Work(uint32_t max_pieces);
  // Pieces completed in this mount.
  [[nodiscard]] uint64_t completed() const { return completed_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kMaxQueued = 4096;
  static constexpr uint32_t kMaxAttempts = 8;

  struct Waiting {
    InodeNumber inode;
    uint32_t attempts = 0;  // at which somebody had it open still, or mapped
  };
  // The file under work. Pieces before `offset` are done, unless it changed since `changes`.
  struct Job {
    Waiting from;
    std::shared_ptr<BackingFile> file;
    uint64_t offset = 0;
    uint64_t changes = 0;
  };
  enum class Progress : uint8_t { kCompletedOne, kDone, kHeld };
  [[nodiscard]] std::optional<Waiting> Next();
  void Queue(const Waiting& waiting) noexcept;
  Result<Progress> Step(Job& job);

  Core& core_;
  std::atomic<bool> is_useful_{true};  // false: the host doesn't tell
  std::atomic<uint64_t> completed_{0};
  std::optional<Job> job_;  // of Work()
  std::mutex mutex_;        // guards the rest, shortly
  std::deque<Waiting> queue_;
  std::unordered_set<uint64_t> queued_;
};

}  // namespace ingot
