// SPDX-License-Identifier: BSD-3-Clause
// Keeps backed files mapped by 2 MiB entries where the host notes for each block whether it was
// written (ext4, xfs): what write(2) left partly written in a piece of 2 MiB is completed with
// zeros, in the background, once nobody has the file open or mapped (docs/backed-files.md).
//
// And where the host can be made to forget a file, it then forgets which pieces it has mapped by
// small entries. Only on media that mappings show themselves (DAX); elsewhere nothing is won. A
// queue of files whose last handle was closed, in memory: what is in it at a crash or an unmount is
// found after the file's next use. NoteClosed() from any thread; Work() from one at a time, without
// locks or a transaction.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "fs/core/core.h"

namespace ingot {

class PieceCompletion {
 public:
  enum class Where : uint8_t {
    kMedium,      // where mappings show the medium itself
    kEverywhere,  // for tests without such a medium
  };
  explicit PieceCompletion(Core& core, Where where = Where::kMedium) : core_(core), where_(where) {}
  PieceCompletion(const PieceCompletion&) = delete;

  // The last handle of a backed file was closed, and so it was used. May forget it, where memory is
  // short or others are many.
  void NoteClosed(InodeNumber inode, MappedUse use) noexcept;

  // Takes some dozen steps: each takes the lock of one file exclusively, for 2 MiB of writing at
  // most, and asks `may_go_on` before. True: there is more to do at once. Who is held, by a mapping
  // that outlived its handle say, is tried again by a few later calls; an error leaves the file
  // alone until it is closed again.
  Result<bool> Work(const std::function<bool()>& may_go_on);
  // Pieces completed in this mount.
  [[nodiscard]] uint64_t completed() const { return completed_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kMaxQueued = 4096;
  static constexpr uint32_t kMaxAttempts = 8;
  static constexpr uint32_t kStepsAtOnce = 64;

  struct Waiting {
    InodeNumber inode;
    MappedUse use = {};
    uint32_t attempts = 0;  // at which somebody had it open still, or mapped
  };
  // The file under work. Pieces before `offset` are done, unless it changed since `changes`, or was
  // opened anew (it isn't kept open between steps: it may be deleted).
  struct Job {
    Waiting from;
    std::weak_ptr<BackingFile> file = {};
    uint64_t offset = 0;
    uint64_t changes = 0;
    bool has_completed = false;
    [[nodiscard]] bool KnowsAllOf(const std::shared_ptr<BackingFile>& it) const;
  };
  enum class Progress : uint8_t {
    kGoesOn,
    kWhole,  // nothing is left but that the host forgets small entries
    kDone,   // or somebody has it open, who brings it back
    kHeld,   // by a mapping that outlived its handle, or from an earlier mount
  };
  [[nodiscard]] std::optional<Waiting> Next();
  [[nodiscard]] bool IsIdle();
  void Queue(const Waiting& waiting) noexcept;
  Result<Progress> Step(Job& job);
  Result<Progress> CompleteNext(Job& job);
  Result<Progress> MakeHostForget(const Job& job);
  // Under the file's exclusive lock: the inode's file, if nobody can write to it. Else null, and
  // `otherwise` says what that means.
  Result<std::shared_ptr<BackingFile>> IdleFile(InodeNumber inode, Progress& otherwise) const;

  Core& core_;
  const Where where_;
  std::atomic<bool> is_useful_{true};  // false: the host doesn't tell
  std::atomic<uint64_t> completed_{0};
  std::optional<Job> job_;  // of Work()
  std::mutex mutex_;        // guards the rest, shortly
  std::deque<InodeNumber> queue_;
  std::unordered_map<uint64_t, Waiting> waiting_;  // who is in the queue
};

}  // namespace ingot
