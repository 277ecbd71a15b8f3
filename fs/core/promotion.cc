// SPDX-License-Identifier: BSD-3-Clause
// Promotion: a file's contents move from extents to a backing file. Contents first, durable; then
// one transaction; then the old extents, which the inode still names meanwhile. A crash leaves the
// one or the other, whole. docs/backed-files.md.
#include <algorithm>

#include "fs/core/data_placement.h"
#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

constexpr uint64_t kCopyBytes = 1 << 20;
// A write that crosses 1 MiB pays for copying that much. Larger files stayed in extents for want of
// space or because direct=never; they move when somebody asks for it (MakeDirect).
constexpr uint64_t kMaxBytesByTheWay = uint64_t{16} << 20;

struct timespec TimeSpecOf(int64_t seconds, uint32_t nanoseconds) {
  struct timespec time {};
  time.tv_sec = seconds;
  time.tv_nsec = nanoseconds;
  return time;
}

Result<void> WriteAll(BackingFile& file, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const uint64_t written = TRY(file.Write(offset, bytes));
    if (written == 0) return Failure(EIO, "a backing file takes no more bytes");
    offset += written;
    bytes = bytes.subspan(written);
  }
  return {};
}

// Data as data, holes as holes, preallocated space as such, behind the end too.
Result<void> CopyExtents(const Core& core, const media::Inode& inode, BackingFile& file) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kCopyBytes);
  FilePage page{};
  for (;;) {
    const std::optional<Extent> extent = TRY(core.extents.Find(inode, page));
    if (!extent) return {};
    page = extent->end();
    const uint64_t begin = OffsetOf(extent->file_page);
    if (extent->unwritten) {
      TRY(file.Allocate(begin, OffsetOf(page) - begin, /*grow=*/false));
      continue;
    }
    const uint64_t end = std::min(OffsetOf(page), inode.size_bytes);
    for (uint64_t offset = begin; offset < end;) {
      const std::span<std::byte> piece(buffer.get(), std::min(kCopyBytes, end - offset));
      TRY(ReadRange(core, inode, offset, piece));
      TRY(WriteAll(file, offset, piece));
      offset += piece.size();
    }
  }
}

Result<void> CopyContents(const Core& core, const media::Inode& inode, BackingFile& file) {
  if (inode.body_form == media::BodyForm::kInline) {
    TRY(WriteAll(file, 0, std::span(inode.tail).first(inode.body_bytes)));
  } else {
    TRY(CopyExtents(core, inode, file));
  }
  // Setting the size that it has splits a huge page on tmpfs (rule B10).
  if (static_cast<uint64_t>(TRY(file.Stat()).st_size) != inode.size_bytes) {
    TRY(file.Resize(inode.size_bytes));
  }
  return file.SetTimes(TimeSpecOf(inode.atime_seconds, inode.atime_nanoseconds),
                       TimeSpecOf(inode.mtime_seconds, inode.mtime_nanoseconds));
}

}  // namespace

bool FileData::WantsBacking(const media::Inode& inode, uint64_t size_bytes) const {
  if (core_.backing == nullptr || inode.body_form == media::BodyForm::kBacked) return false;
  if (core_.direct.load(std::memory_order_relaxed) == DirectMode::kNever) return false;
  if (IsAtomic(core_, inode) || inode.page_count * kPageSize > kMaxBytesByTheWay) return false;
  return std::max(size_bytes, inode.size_bytes) > kDirectFromBytes ||
         (inode.flags & media::kInodeDax) != 0;
}

bool FileData::TryPromote(InodeNumber number, const media::Inode& inode, uint64_t size_bytes) {
  if (!WantsBacking(inode, size_bytes)) return false;
  if (CurrentTime().seconds < no_promotion_until_.load(std::memory_order_relaxed)) return false;
  const Result<void> promoted = NoThrow([&] { return Promote(number); });
  if (promoted) return true;
  // A full host would be asked for each write, at the price of a copy.
  constexpr int64_t kPauseSeconds = 2;
  no_promotion_until_ = CurrentTime().seconds + kPauseSeconds;
  // (EAGAIN: an unnamed file in too many pieces, which is nobody's fault.)
  const bool is_normal = promoted.error().code == EAGAIN;
  log::Format(is_normal ? log::Level::kInfo : log::Level::kWarning,
             "event=not_promoted inode={} error={} reason=\"{}\"", number.value,
             ErrnoName(promoted.error().code), promoted.error().context);
  return false;
}

Result<bool> FileData::MakeDirect(InodeNumber number) {
  if (core_.backing == nullptr) return Failure(EOPNOTSUPP, "a device pool has no backing files");
  const ExclusiveInodeLocks lock(core_.locks, number);
  const media::Inode inode = TRY(OpenForChange(number, true));
  if (inode.body_form == media::BodyForm::kBacked) return false;
  if (IsAtomic(core_, inode)) return Failure(EINVAL, "atomic files are never backed");
  TRY(Promote(number));
  return true;
}

Result<void> FileData::Promote(InodeNumber number) {
  BackingFiles::Spare spare = TRY(core_.backing->TakeSpare());
  {
    const media::Inode before = TRY(core_.reader.ReadInode(number));
    // Without a name, what is left of its extents would be taken for a file that is to go.
    if (before.links == 0 && before.tree_height != 0) return Failure(EAGAIN, "too scattered");
    BackingFile& file = spare.file();
    TRY(core_.backing->WithRoom([&] { return CopyContents(core_, before, file); }));
    TRY(file.Sync(/*data_only=*/false));
  }
  placement_->reservations().Drop(number);
  bool is_done = false;
  {
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode& inode = *TRY(transaction.EditInode(number));
    TRY(transaction.MarkToRecover(inode, 0));  // its group first
    if (inode.body_form == media::BodyForm::kInline) StoreInline(inode, {});
    inode.body_form = media::BodyForm::kBacked;
    inode.backing_file = spare.number();
    inode.size_bytes = 0;
    is_done = TRY(FreeBehind(transaction, inode, FilePage(0)));
    if (!is_done && inode.links == 0) return Failure(EAGAIN, "too scattered");
    if (!is_done) TRY(transaction.MarkToRecover(inode, media::kInodeOrphan));
    spare.HandTo(transaction);
    TRY(transaction.Commit());
  }
  spare.Keep();
  if (is_done) return {};
  // A fact already; what can't be freed now is freed by the next change or mount.
  (void)NoThrow([&] { return FinishTruncation(number); });
  return {};
}

}  // namespace ingot
