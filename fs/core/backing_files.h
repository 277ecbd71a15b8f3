// SPDX-License-Identifier: BSD-3-Clause
// The backing files of a directory pool: spares made ahead, files opened, files deleted.
//
// Owns directory and ledger. A file exists, durable, before an inode names it, and is deleted after
// no inode does: what a crash leaves in between is in the ledger, and goes with the next mount's
// first Upkeep (docs/backed-files.md). Thread-safe. Host calls are made without any lock but the
// one that serialises upkeep. What may wait or begin a transaction must not be called with one
// alive on this thread; inode locks may be held.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/core/allocator.h"
#include "fs/core/backing_directory.h"
#include "fs/core/backing_ledger.h"
#include "fs/core/transaction.h"

namespace ingot {

class BackingFiles {
 public:
  // Reads the ledger. Errors: BackingLedger::Open's.
  static Result<std::unique_ptr<BackingFiles>> Open(std::unique_ptr<BackingDirectory> directory,
                                                    Allocator& allocator, BlockReader& reader);
  ~BackingFiles();
  BackingFiles(const BackingFiles&) = delete;

  // An empty, durable file that the ledger lists. The destructor gives it back if file() was never
  // asked for, or else has it deleted, unless an inode got it. Move-only.
  class Spare {
   public:
    ~Spare();
    Spare(Spare&& other) noexcept = default;
    Spare& operator=(Spare&&) = delete;
    [[nodiscard]] uint64_t number() const { return file_->number(); }
    // To be written.
    [[nodiscard]] BackingFile& file() {
      is_touched_ = true;
      return *file_;
    }
    // A file is as old as its inode, not as the spare.
    Result<void> SetTimesToNow();
    // The inode's transaction takes the number out of the ledger.
    void HandTo(Transaction& transaction) const;
    // After that has committed.
    void Keep();

   private:
    friend class BackingFiles;
    Spare(BackingFiles& owner, std::shared_ptr<BackingFile> file)
        : owner_(&owner), file_(std::move(file)) {}
    BackingFiles* owner_;
    std::shared_ptr<BackingFile> file_;
    bool is_touched_ = false;
  };
  // Makes some if there is none, which costs the host an fsync. ENOSPC, EROFS, EOVERFLOW (no more
  // numbers) and what the host says; the caller can do without. May wait.
  Result<Spare> TakeSpare();

  // The file of an inode, under the inode's lock. EIO: it is missing, or is no regular file.
  Result<std::shared_ptr<BackingFile>> File(uint64_t number);
  // The same if it is open already, else null.
  std::shared_ptr<BackingFile> Known(uint64_t number);
  // If nobody but the caller has it: the next File() opens it anew. Under the inode's exclusive
  // lock.
  [[nodiscard]] bool LetGo(const std::shared_ptr<BackingFile>& file);
  // Size, blocks and times. EIO as above.
  Result<struct stat> Stat(uint64_t number);

  // In the transaction by which an inode loses its file: the number is listed. False, and nothing
  // done, if the ledger has no place; MakeRoom() then helps.
  [[nodiscard]] bool List(Transaction& transaction, uint64_t number);
  // Finishes deletions if the ledger is nearly full, or always if `space` is wanted. May wait.
  Result<void> MakeRoom(bool space);
  // What `call` returns, a Result; if that is ENOSPC, once more after deletions were finished.
  template <typename Call>
  auto WithRoom(Call&& call) -> decltype(call()) {
    auto result = call();
    if (result.error_code() != ENOSPC || !MakeRoom(/*space=*/true)) return result;
    return call();
  }

  // The file was cut to nothing: after its last close (Closed) the next Upkeep syncs it, because
  // whoever rewrites a file so expects old or new contents after a crash.
  void NoteEmptied(std::shared_ptr<BackingFile> file);
  void Closed(uint64_t number);
  // The file was cut at `size_bytes`. A host that uses 2 MiB pages by itself has split the one in
  // which it ends: the next Upkeep makes it one again. Best effort, and forgotten at unmount.
  void NoteCut(std::shared_ptr<BackingFile> file, uint64_t size_bytes);

  // The kernel's users write to the file past us from now on, so that it may not move under them:
  // not even once they have closed it, for the kernel may have its pages pinned (rule B9). Before
  // they can; their handle is counted already.
  void NoteTouched(uint64_t number);
  [[nodiscard]] bool IsUntouched(uint64_t number);
  // Nobody asks IsUntouched() any more in this mount; it says no.
  void EndDemotion();

  // Deletes what no inode has any more, makes that durable, frees the numbers, and fills the spares
  // up. Now and then, and soon after the waker was called. EROFS: nothing was done.
  Result<void> Upkeep();
  // Called, from any thread and with locks held, when there is something to delete. Must only wake.
  void set_waker(std::function<void()> waker) { ledger_->set_waker(std::move(waker)); }

  [[nodiscard]] const BackingLedger& ledger() const { return *ledger_; }
  [[nodiscard]] const BackingDirectory& directory() const { return *directory_; }

 private:
  BackingFiles(std::unique_ptr<BackingDirectory> directory, std::unique_ptr<BackingLedger> ledger,
               Allocator& allocator, BlockReader& reader);
  static constexpr uint32_t kSpares = 16;
  static constexpr size_t kMaxRecent = 64;
  static constexpr size_t kMaxCut = 128;
  static constexpr uint32_t kMaxAttempts = 20;

  std::shared_ptr<BackingFile> PopSpare();
  // These want upkeep_mutex_.
  Result<void> MakeSpares(uint32_t count);
  Result<void> CreateSpares(uint64_t first, uint32_t count);
  Result<void> FinishDeletions();
  void SyncClosed();
  void CollapseCut();
  Result<void> Synced(Result<void> result);
  void GiveBack(std::shared_ptr<BackingFile> file, bool is_touched);
  // EROFS: the volume or its device can't be written.
  [[nodiscard]] Result<void> CheckWritable() const;
  // Unlinks them; returns those that are gone. Others are listed as before.
  std::vector<uint64_t> Unlink(const std::vector<uint64_t>& numbers, Result<void>& first_failure);
  // The one that everybody uses: `file`, unless another thread was faster.
  std::shared_ptr<BackingFile> Remember(std::shared_ptr<BackingFile> file);
  void Forget(uint64_t number);

  const std::unique_ptr<BackingDirectory> directory_;
  const std::unique_ptr<BackingLedger> ledger_;
  Allocator& allocator_;
  BlockReader& reader_;

  std::mutex upkeep_mutex_;  // held over host calls and transactions on the ledger alone
  // A sync failed: what it lost is not known, and a later one says nothing of it. Names are neither
  // made nor forgotten any more in this mount.
  bool host_failed_ = false;
  std::mutex mutex_;  // guards the rest, shortly
  std::vector<std::shared_ptr<BackingFile>> spares_;
  // Every file that somebody holds, and the last few that anybody used.
  std::unordered_map<uint64_t, std::weak_ptr<BackingFile>> open_;
  std::deque<std::shared_ptr<BackingFile>> recent_;
  std::unordered_map<uint64_t, std::shared_ptr<BackingFile>> emptied_;
  std::vector<std::shared_ptr<BackingFile>> to_sync_;
  // A 2 MiB page that a truncation has split, and how often it could not be collapsed.
  struct Cut {
    std::shared_ptr<BackingFile> file;
    uint64_t offset = 0;
    uint32_t attempts = 0;
  };
  std::vector<Cut> cut_;
  bool may_demote_ = true;
  std::unordered_set<uint64_t> touched_;  // while may_demote_
};

}  // namespace ingot
