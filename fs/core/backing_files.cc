// SPDX-License-Identifier: BSD-3-Clause
// Every step that a crash may follow is durable before the next one relies on it: see the table in
// docs/backed-files.md.
#include "fs/core/backing_files.h"

#include <sys/stat.h>

#include <algorithm>

#include "fs/core/huge_pages.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

// A file that an inode names must be there: that it isn't is the pool's fault, not the caller's.
tl::unexpected<Error> Unusable(uint64_t number, const Error& error) {
  const int code = error.code;
  const bool is_missing =
      code == ENOENT || code == EUCLEAN || code == ELOOP || code == EISDIR || code == ENXIO;
  if (!is_missing) return tl::unexpected<Error>(error);
  log::Failed("event=backing_file_unusable number={} error={} reason=\"{}\"", number,
              ErrnoName(code), error.context);
  return Failure(EIO, fmt::format("backing file {} is missing or unusable", number));
}

}  // namespace

BackingFiles::BackingFiles(std::unique_ptr<BackingDirectory> directory,
                           std::unique_ptr<BackingLedger> ledger, Allocator& allocator,
                           BlockReader& reader)
    : directory_(std::move(directory)),
      ledger_(std::move(ledger)),
      allocator_(allocator),
      reader_(reader) {}

BackingFiles::~BackingFiles() = default;

Result<std::unique_ptr<BackingFiles>> BackingFiles::Open(
    std::unique_ptr<BackingDirectory> directory, Allocator& allocator, BlockReader& reader) {
  std::unique_ptr<BackingLedger> ledger = TRY(BackingLedger::Open(reader));
  return std::unique_ptr<BackingFiles>(
      new BackingFiles(std::move(directory), std::move(ledger), allocator, reader));
}

// --- spares ------------------------------------------------------------------------------------

BackingFiles::Spare::~Spare() {
  if (file_ != nullptr) owner_->GiveBack(std::move(file_), is_touched_);
}

void BackingFiles::Spare::HandTo(Transaction& transaction) const {
  transaction.UnlistBackingFile(*owner_->ledger_, file_->number());
}

Result<void> BackingFiles::Spare::SetTimesToNow() {
  struct timespec now {};
  now.tv_nsec = UTIME_NOW;
  return file_->SetTimes(now, now);
}

void BackingFiles::Spare::Keep() {
  // Without memory for that it is opened again.
  (void)NoThrow([this]() -> Result<void> {
    owner_->Remember(file_);
    return {};
  });
  file_.reset();
}

// Only what was never written may be another inode's: cutting it to nothing isn't durable, and
// after a crash somebody would read what was in it. (Where a commit's outcome is not known the
// device is read-only, and nothing is deleted any more: the next mount knows whose the file is.)
void BackingFiles::GiveBack(std::shared_ptr<BackingFile> file, bool is_touched) {
  const uint64_t number = file->number();
  const bool is_back = !is_touched && CheckWritable() && NoThrow([&]() -> Result<void> {
                                                           const std::lock_guard lock(mutex_);
                                                           spares_.push_back(std::move(file));
                                                           return {};
                                                         }).has_value();
  if (!is_back) ledger_->Abandon(number);
}

Result<void> BackingFiles::CheckWritable() const {
  const Device& device = allocator_.device();
  if (directory_->read_only() || device.mapping().read_only() || !device.writable()) {
    return Failure(EROFS);
  }
  return {};
}

std::shared_ptr<BackingFile> BackingFiles::PopSpare() {
  const std::lock_guard lock(mutex_);
  if (spares_.empty()) return nullptr;
  std::shared_ptr<BackingFile> file = std::move(spares_.back());
  spares_.pop_back();
  return file;
}

Result<void> BackingFiles::Synced(Result<void> result) {
  if (!result) host_failed_ = true;
  return result;
}

Result<void> BackingFiles::MakeSpares(uint32_t count) {
  TRY(CheckWritable());
  if (host_failed_) return Failure(EIO, "a sync of the backing directory failed before");
  BackingLedger::Places places = ledger_->Reserve(count);
  if (!places) return Failure(ENOSPC, "the ledger of backing files is full");
  // A region from a copy may have forgotten numbers whose files are somebody's.
  uint64_t first = ledger_->next_number();
  for (uint64_t number = first; number < first + count; ++number) {
    if (first + count > media::kMaxBackingNumber) {
      return Failure(EOVERFLOW, fmt::format("the numbers of backing files are used up, the next is "
                                            "{}. Hint: copy the files to a new pool",
                                            first));
    }
    const Result<struct stat> status = directory_->Stat(number);
    if (status.error_code() == ENOENT) continue;
    if (!status && status.error_code() != EUCLEAN) return tl::unexpected<Error>(status.error());
    log::Warning("event=backing_file_unknown number={}", number);
    first = number + 1;
  }
  {
    Transaction transaction(allocator_, reader_);
    transaction.HandOutBackingFiles(*ledger_, first, count, std::move(places));
    TRY(transaction.Commit());
  }
  const Result<void> result = NoThrow([&] { return CreateSpares(first, count); });
  if (result) return result;
  for (uint64_t number = first; number < first + count; ++number) ledger_->Abandon(number);
  return result;
}

Result<void> BackingFiles::CreateSpares(uint64_t first, uint32_t count) {
  std::vector<std::shared_ptr<BackingFile>> made;
  for (uint64_t number = first; number < first + count; ++number) {
    made.push_back(TRY(directory_->Create(number)));
    TRY(Synced(made.back()->Sync(/*data_only=*/false)));
  }
  TRY(Synced(directory_->Sync()));
  const std::lock_guard lock(mutex_);
  spares_.insert(spares_.end(), made.begin(), made.end());
  return {};
}

Result<BackingFiles::Spare> BackingFiles::TakeSpare() {
  if (auto file = PopSpare()) return Spare(*this, std::move(file));
  const std::lock_guard lock(upkeep_mutex_);
  if (auto file = PopSpare()) return Spare(*this, std::move(file));
  // Deleted files wait in the ledger; the caller can't.
  if (!ledger_->has_room()) TRY(FinishDeletions());
  TRY(MakeSpares(kSpares));
  if (auto file = PopSpare()) return Spare(*this, std::move(file));
  return Failure(EAGAIN, "others took all spare backing files");
}

// --- files of inodes ---------------------------------------------------------------------------

std::shared_ptr<BackingFile> BackingFiles::Known(uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(number);
  return found == open_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<BackingFile> BackingFiles::Remember(std::shared_ptr<BackingFile> file) {
  std::shared_ptr<BackingFile> oldest;  // let go after the mutex
  const std::lock_guard lock(mutex_);
  std::weak_ptr<BackingFile>& entry = open_[file->number()];
  if (auto other = entry.lock()) return other;
  recent_.push_back(file);
  entry = file;
  if (recent_.size() > kMaxRecent) {
    oldest = std::move(recent_.front());
    recent_.pop_front();
    if (oldest.use_count() == 1) open_.erase(oldest->number());
  }
  return file;
}

void BackingFiles::Forget(uint64_t number) {
  std::shared_ptr<BackingFile> gone;  // let go after the mutex
  const std::lock_guard lock(mutex_);
  open_.erase(number);
  emptied_.erase(number);
  std::erase_if(cut_, [number](const Cut& cut) { return cut.file->number() == number; });
  const auto found = std::ranges::find(recent_, number, [](const auto& f) { return f->number(); });
  if (found == recent_.end()) return;
  gone = std::move(*found);
  recent_.erase(found);
}

bool BackingFiles::LetGo(const std::shared_ptr<BackingFile>& file) {
  const std::lock_guard lock(mutex_);
  const auto kept = std::ranges::find(recent_, file);
  const int64_t known_users = kept == recent_.end() ? 1 : 2;
  if (file.use_count() != known_users) return false;
  if (kept != recent_.end()) recent_.erase(kept);
  open_.erase(file->number());
  return true;
}

Result<std::shared_ptr<BackingFile>> BackingFiles::File(uint64_t number) {
  if (auto known = Known(number)) return known;
  Result<std::unique_ptr<BackingFile>> opened = directory_->OpenFile(number);
  // Another thread was faster, and is trying a lease on it just now.
  if (opened.error_code() == EAGAIN) {
    if (auto known = Known(number)) return known;
  }
  if (!opened) return Unusable(number, opened.error());
  return Remember(std::move(*opened));
}

Result<struct stat> BackingFiles::Stat(uint64_t number) {
  if (const auto known = Known(number)) return known->Stat();
  Result<struct stat> status = directory_->Stat(number);
  if (!status) return Unusable(number, status.error());
  return status;
}

void BackingFiles::NoteEmptied(std::shared_ptr<BackingFile> file) {
  const std::lock_guard lock(mutex_);
  emptied_[file->number()] = std::move(file);
}

void BackingFiles::Closed(uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = emptied_.find(number);
  if (found == emptied_.end()) return;
  to_sync_.push_back(found->second);
  emptied_.erase(found);
}

void BackingFiles::NoteCut(std::shared_ptr<BackingFile> file, uint64_t size_bytes) {
  if (size_bytes % kHugePageSize == 0) return;
  const Result<struct stat> status = file->Stat();
  // (tmpfs says so of its huge pages.)
  const bool has_huge = status && static_cast<uint64_t>(status->st_blksize) >= kHugePageSize;
  if (!has_huge) return;
  const uint64_t offset = RoundDown(size_bytes, kHugePageSize);
  (void)NoThrow([&]() -> Result<void> {
    const std::lock_guard lock(mutex_);
    const bool is_known = std::ranges::any_of(
        cut_, [&](const Cut& cut) { return cut.file == file && cut.offset == offset; });
    if (!is_known && cut_.size() < kMaxCut) cut_.push_back({std::move(file), offset});
    return {};
  });
}

void BackingFiles::CollapseCut() {
  std::vector<Cut> cuts;
  {
    const std::lock_guard lock(mutex_);
    cuts.swap(cut_);
  }
  for (Cut& cut : cuts) {
    const Result<struct stat> status = cut.file->Stat();
    if (!status || status->st_nlink == 0) continue;  // deleted since then
    const int code = CollapseHugePage(*cut.file, cut.offset).error_code();
    if (code == 0) continue;
    // Somebody has it pinned, or memory is short: for a while. EINVAL: it was cut further.
    const bool may_pass = code == EAGAIN || code == EBUSY || code == ENOMEM;
    if (may_pass && ++cut.attempts < kMaxAttempts) {
      const std::lock_guard lock(mutex_);
      (void)NoThrow([&]() -> Result<void> {
        if (cut_.size() < kMaxCut) cut_.push_back(std::move(cut));
        return {};
      });
      continue;
    }
    log::Info("event=huge_page_split number={} offset={} error={}", cut.file->number(), cut.offset,
              ErrnoName(code));
  }
}

void BackingFiles::NoteTouched(uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (!may_demote_) return;
  const Result<void> noted = NoThrow([&]() -> Result<void> {
    touched_.insert(number);
    return {};
  });
  may_demote_ = noted.has_value();
}

bool BackingFiles::IsUntouched(uint64_t number) {
  const std::lock_guard lock(mutex_);
  return may_demote_ && !touched_.contains(number);
}

void BackingFiles::EndDemotion() {
  std::unordered_set<uint64_t> gone;  // let go after the mutex
  const std::lock_guard lock(mutex_);
  may_demote_ = false;
  gone.swap(touched_);
}

void BackingFiles::SyncClosed() {
  std::vector<std::shared_ptr<BackingFile>> files;
  {
    const std::lock_guard lock(mutex_);
    files.swap(to_sync_);
    std::erase_if(open_, [](const auto& each) { return each.second.expired(); });
  }
  for (const auto& file : files) {
    if (const Result<void> synced = file->SyncIfDirty(); !synced) {
      log::Failed("event=backing_file_not_synced number={} error={}", file->number(),
                  ErrnoName(synced.error().code));
    }
  }
}

// --- deletion ----------------------------------------------------------------------------------

bool BackingFiles::List(Transaction& transaction, uint64_t number) {
  BackingLedger::Places place = ledger_->Reserve(1);
  if (!place) return false;
  transaction.ListBackingFile(*ledger_, number, std::move(place));
  return true;
}

Result<void> BackingFiles::MakeRoom(bool space) {
  if (!space && ledger_->has_room()) return {};
  const std::lock_guard lock(upkeep_mutex_);
  return FinishDeletions();
}

std::vector<uint64_t> BackingFiles::Unlink(const std::vector<uint64_t>& numbers,
                                           Result<void>& first_failure) {
  std::vector<uint64_t> gone;
  for (const uint64_t number : numbers) {
    Forget(number);
    const Result<void> unlinked = directory_->Unlink(number);
    if (unlinked) {
      gone.push_back(number);
      continue;
    }
    log::Warning("event=backing_file_not_deleted number={} error={} reason=\"{}\"", number,
                 ErrnoName(unlinked.error().code), unlinked.error().context);
    if (first_failure) first_failure = unlinked;
  }
  return gone;
}

Result<void> BackingFiles::FinishDeletions() {
  TRY(CheckWritable());
  const std::vector<uint64_t> numbers = ledger_->TakeAbandoned();
  if (numbers.empty()) return {};
  // Once more: one of them may be a spare whose commit has just ended in the middle, and then the
  // device was read-only before its number came here.
  if (const Result<void> may = CheckWritable(); !may) {
    for (const uint64_t number : numbers) ledger_->Abandon(number, /*wake=*/false);
    return may;
  }
  std::vector<uint64_t> gone;
  Result<void> unlink_failure;
  // Their space is wanted in any case; their numbers stay listed if the host can't be trusted.
  const Result<void> result = NoThrow([&]() -> Result<void> {
    std::vector<uint64_t> unlinked = Unlink(numbers, unlink_failure);
    if (host_failed_) return Failure(EIO, "a sync of the backing directory failed before");
    TRY(Synced(directory_->Sync()));
    Transaction transaction(allocator_, reader_);
    for (const uint64_t number : unlinked) transaction.UnlistBackingFile(*ledger_, number);
    TRY(transaction.Commit());
    gone.swap(unlinked);
    return {};
  });
  // Still listed: with the next ones, or by the next mount; not at once.
  for (const uint64_t number : numbers) {
    if (std::ranges::find(gone, number) == gone.end()) ledger_->Abandon(number, /*wake=*/false);
  }
  return result ? unlink_failure : result;
}

Result<void> BackingFiles::Upkeep() {
  TRY(CheckWritable());
  SyncClosed();
  {
    const std::lock_guard lock(upkeep_mutex_);
    const Result<void> deleted = FinishDeletions();
    size_t present = 0;
    {
      const std::lock_guard lock_spares(mutex_);
      present = spares_.size();
    }
    if (present < kSpares / 2) TRY(MakeSpares(kSpares - static_cast<uint32_t>(present)));
    if (!deleted) return deleted;
  }
  CollapseCut();
  return {};
}

}  // namespace ingot
