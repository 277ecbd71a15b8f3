// SPDX-License-Identifier: BSD-3-Clause
// Nobody else writes to the file meanwhile: no handle of this mount is counted, and who comes waits
// for the inode's lock before he is given a way past the daemon; the host's lease says that no
// handle and no mapping is left of any mount. (Pages that an io_uring buffer pins are no exception:
// what was pinned to be written is written for the host, and no hole.)
#include "fs/core/piece_completion.h"

#include <chrono>
#include <thread>
#include <vector>

#include "fs/core/partial_pieces.h"
#include "pmemdev/base/log.h"

namespace ingot {

void PieceCompletion::Queue(const Waiting& waiting) noexcept {
  (void)NoThrow([&]() -> Result<void> {
    const std::lock_guard lock(mutex_);
    if (const auto known = waiting_.find(waiting.inode.value); known != waiting_.end()) {
      known->second.use |= waiting.use;
      return {};
    }
    if (queue_.size() >= kMaxQueued) return {};
    queue_.push_back(waiting.inode);
    waiting_.emplace(waiting.inode.value, waiting);
    return {};
  });
}

void PieceCompletion::NoteClosed(InodeNumber inode, MappedUse use) noexcept {
  if (is_useful_.load(std::memory_order_relaxed)) Queue({inode, use});
}

std::optional<PieceCompletion::Waiting> PieceCompletion::Next() {
  const std::lock_guard lock(mutex_);
  while (!queue_.empty()) {
    const InodeNumber inode = queue_.front();
    queue_.pop_front();
    // (Nothing: there was no memory for that.)
    if (const auto found = waiting_.extract(inode.value)) return found.mapped();
  }
  return std::nullopt;
}

bool PieceCompletion::IsIdle() {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && !job_;
}

bool PieceCompletion::Job::KnowsAllOf(const std::shared_ptr<BackingFile>& it) const {
  const bool is_same = !file.owner_before(it) && !it.owner_before(file);
  return is_same && changes == it->changes();
}

// (The number is nobody's by now, perhaps: the inode's page may have become a file's contents.)
Result<std::shared_ptr<BackingFile>> PieceCompletion::IdleFile(InodeNumber inode,
                                                               Progress& otherwise) const {
  otherwise = Progress::kDone;
  TRY(core_.inodes.CheckNumber(inode));
  if (core_.inodes.Opens(inode) != 0) return nullptr;
  const media::Inode record = TRY(core_.reader.ReadInode(inode));
  if (record.body_form != media::BodyForm::kBacked || record.links == 0) return nullptr;
  std::shared_ptr<BackingFile> file = TRY(core_.FileOf(record));
  if (where_ == Where::kMedium && !file->IsMappedFromMedium()) return nullptr;
  if (!file->IsOpenElsewhere()) return file;
  otherwise = Progress::kHeld;
  return nullptr;
}

Result<PieceCompletion::Progress> PieceCompletion::CompleteNext(Job& job) {
  std::shared_ptr<BackingFile> file;  // let go after the lock
  const ExclusiveInodeLocks lock(core_.locks, job.from.inode);
  Progress otherwise{};
  file = TRY(IdleFile(job.from.inode, otherwise));
  if (file == nullptr) return otherwise;
  if (file->is_whole()) return Progress::kDone;
  if (!job.KnowsAllOf(file)) job.offset = 0;
  job.file = file;
  const BackingDirectory& directory = core_.backing->directory();
  const auto size = static_cast<uint64_t>(TRY(file->Stat()).st_size);
  const PieceSearch search =
      TRY(FindPartialPiece(*file, job.offset, size, directory.allocates_huge_pages()));
  job.offset = search.searched_to;
  if (search.piece) {
    TRY(CompletePiece(*file, *search.piece));
    completed_.fetch_add(1, std::memory_order_relaxed);
    job.has_completed = true;
    job.offset += kHugePageSize;
  }
  job.changes = file->changes();
  if (search.piece || job.offset < size) return Progress::kGoesOn;
  const MappedUse use = job.from.use;
  const bool has_small_entries = use.was_mappable && (use.was_changed || job.has_completed);
  if (directory.has_dax_flag() && has_small_entries) return Progress::kWhole;
  file->NoteWhole();
  return Progress::kDone;
}

// Its last close, under the lock, makes the host forget it: who opens it next waits for that, but
// not for what is dirty to be written, too. (Who has it open past our locks, to sync it say, makes
// it stay as it is.)
Result<PieceCompletion::Progress> PieceCompletion::MakeHostForget(const Job& job) {
  if (const auto file = job.file.lock()) {
    if (const Result<void> synced = file->Sync(/*data_only=*/true); !synced) {
      log::Failed("event=backing_file_not_synced number={} error={}", file->number(),
                  ErrnoName(synced.error().code));
      return Progress::kDone;
    }
  }
  const ExclusiveInodeLocks lock(core_.locks, job.from.inode);
  Progress otherwise{};
  const std::shared_ptr<BackingFile> file = TRY(IdleFile(job.from.inode, otherwise));
  if (file == nullptr) return otherwise;
  if (!job.KnowsAllOf(file)) return Progress::kGoesOn;  // from its begin
  if (!core_.backing->LetGo(file)) return Progress::kHeld;
  TRY(file->MakeHostForget());
  return Progress::kDone;
}

Result<PieceCompletion::Progress> PieceCompletion::Step(Job& job) {
  const Progress progress = TRY(CompleteNext(job));
  return progress == Progress::kWhole ? MakeHostForget(job) : progress;
}

Result<bool> PieceCompletion::Work(const std::function<bool()>& may_go_on) {
  // Who waits for the lock of a file gets it in between.
  constexpr auto kPause = std::chrono::microseconds(100);
  std::vector<Waiting> held;
  bool may = true;
  for (uint32_t step = 0; step < kStepsAtOnce && is_useful_.load(); ++step) {
    may = may_go_on();
    if (!may) break;
    if (!job_) {
      const std::optional<Waiting> next = Next();
      if (!next) break;
      job_.emplace(Job{*next});
    }
    const Result<Progress> progress = NoThrow([&] { return Step(*job_); });
    if (progress && *progress == Progress::kGoesOn) {
      std::this_thread::sleep_for(kPause);
      continue;
    }
    const Waiting from = job_->from;
    job_.reset();
    const bool is_held = progress && *progress == Progress::kHeld;
    if (is_held && from.attempts + 1 < kMaxAttempts) {
      held.push_back({from.inode, from.use, from.attempts + 1});
    }
    if (progress || progress.error_code() == ESTALE) continue;
    if (progress.error_code() == EOPNOTSUPP) {
      is_useful_.store(false);
      break;
    }
    log::Info("event=pieces_not_completed inode={} error={} reason=\"{}\"", from.inode.value,
              ErrnoName(progress.error().code), progress.error().context);
  }
  const bool has_more = may && is_useful_.load() && !IsIdle();
  for (const Waiting& waiting : held) Queue(waiting);
  return has_more;
}

}  // namespace ingot
