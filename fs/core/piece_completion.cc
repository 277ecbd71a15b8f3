// SPDX-License-Identifier: BSD-3-Clause
// Nobody else writes to the file meanwhile: no handle of this mount is counted, and who comes waits
// for the inode's lock before he is given a way past the daemon; the host's lease says that no
// handle and no mapping is left of any mount. (Pages that an io_uring buffer pins are no exception:
// what was pinned to be written is written for the host, and no hole.)
#include "fs/core/piece_completion.h"

#include <vector>

#include "fs/core/partial_pieces.h"
#include "pmemdev/base/log.h"

namespace ingot {

void PieceCompletion::Queue(const Waiting& waiting) noexcept {
  (void)NoThrow([&]() -> Result<void> {
    const std::lock_guard lock(mutex_);
    const bool is_new = queue_.size() < kMaxQueued && queued_.insert(waiting.inode.value).second;
    if (is_new) queue_.push_back(waiting);
    return {};
  });
}

void PieceCompletion::NoteClosed(InodeNumber inode) noexcept {
  if (is_useful_.load(std::memory_order_relaxed)) Queue({inode});
}

std::optional<PieceCompletion::Waiting> PieceCompletion::Next() {
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) return std::nullopt;
  const Waiting next = queue_.front();
  queue_.pop_front();
  queued_.erase(next.inode.value);
  return next;
}

Result<PieceCompletion::Progress> PieceCompletion::Step(Job& job) {
  const ExclusiveInodeLocks lock(core_.locks, job.from.inode);
  if (core_.inodes.Opens(job.from.inode) != 0) return Progress::kDone;  // until that is closed
  const media::Inode record = TRY(core_.reader.ReadInode(job.from.inode));
  if (record.body_form != media::BodyForm::kBacked || record.links == 0) return Progress::kDone;
  const std::shared_ptr<BackingFile> file = TRY(core_.FileOf(record));
  if (file->is_whole() || !file->IsMappedFromMedium()) return Progress::kDone;
  if (file->IsOpenElsewhere()) return Progress::kHeld;
  if (file != job.file || file->changes() != job.changes) {
    job.file = file;
    job.offset = 0;
  }
  const auto size = static_cast<uint64_t>(TRY(file->Stat()).st_size);
  const bool fills_holes = core_.backing->directory().AllocatesHugePages();
  const std::optional<uint64_t> piece = TRY(FindPartialPiece(*file, job.offset, size, fills_holes));
  if (piece) {
    TRY(CompletePiece(*file, *piece));
    completed_.fetch_add(1, std::memory_order_relaxed);
    job.offset = *piece + kHugePageSize;
  } else {
    file->NoteWhole();
  }
  job.changes = file->changes();
  return piece ? Progress::kCompletedOne : Progress::kDone;
}

Result<bool> PieceCompletion::Work(uint32_t max_pieces) {
  std::vector<Waiting> held;
  uint32_t pieces = 0;
  while (is_useful_.load(std::memory_order_relaxed) && pieces < max_pieces) {
    if (!job_) {
      const std::optional<Waiting> next = Next();
      if (!next) break;
      job_.emplace(Job{*next, nullptr, 0, 0});
    }
    const Result<Progress> progress = NoThrow([&] { return Step(*job_); });
    if (progress && *progress == Progress::kCompletedOne) {
      ++pieces;
      continue;
    }
    const Waiting from = job_->from;
    job_.reset();
    if (progress) {
      const bool again = *progress == Progress::kHeld && from.attempts + 1 < kMaxAttempts;
      if (again) held.push_back({from.inode, from.attempts + 1});
      continue;
    }
    if (progress.error_code() == EOPNOTSUPP) is_useful_.store(false);
    if (progress.error_code() == ESTALE) continue;
    log::Info("event=pieces_not_completed inode={} error={} reason=\"{}\"", from.inode.value,
              ErrnoName(progress.error().code), progress.error().context);
  }
  for (const Waiting& waiting : held) Queue(waiting);
  return job_.has_value();
}

}  // namespace ingot
