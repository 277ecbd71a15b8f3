// SPDX-License-Identifier: BSD-3-Clause
// FileData's construction and the parts that write, truncate, fallocate and copy share. Each of
// those has a file of its own: file_read.cc, file_write.cc, file_truncate.cc, file_fallocate.cc,
// file_seek.cc, file_copy.cc.
#include "fs/core/file_data.h"

#include <sys/stat.h>

#include "fs/core/attributes.h"
#include "fs/core/data_placement.h"
#include "fs/core/file_parts.h"
#include "fs/core/piece_completion.h"
#include "fs/core/xattrs.h"

namespace ingot {

FileData::FileData(Core& core)
    : core_(core),
      placement_(std::make_unique<DataPlacement>(core)),
      completion_(std::make_unique<PieceCompletion>(core)) {}

FileData::~FileData() = default;

void FileData::Closed(InodeNumber number) {
  placement_->Settle(number);
  if (core_.backing == nullptr) return;
  (void)NoThrow([&]() -> Result<void> {
    const SharedInodeLock lock(core_.locks, number);
    const media::Inode inode = TRY(core_.reader.ReadInodeHead(number));
    if (inode.body_form != media::BodyForm::kBacked) return {};
    core_.backing->Closed(inode.backing_file);
    const auto file = core_.backing->Known(inode.backing_file);
    completion_->NoteClosed(number, file == nullptr ? MappedUse{} : file->use());
    return {};
  });
}

void FileData::DropReservations() {
  placement_->reservations().DropAll();
}

Result<std::shared_ptr<BackingFile>> FileData::BackingFileOf(InodeNumber number) {
  const SharedInodeLock lock(core_.locks, number);
  // What is written to it goes by its number.
  const media::Inode inode = TRY(core_.reader.ReadInodeAnew(number));
  if (inode.body_form != media::BodyForm::kBacked) return Failure(EINVAL, "not a backed file");
  return core_.FileOf(inode);
}

// Always: stores through mappings make a file dirty unseen.
Result<void> FileData::Sync(InodeNumber number, bool data_only) {
  if (core_.backing == nullptr) return {};
  Result<std::shared_ptr<BackingFile>> file = BackingFileOf(number);
  if (file.error_code() == EINVAL) return {};
  return TRY(std::move(file))->Sync(data_only);
}

Result<media::Inode> FileData::OpenForChange(InodeNumber number, bool allow_append_only) {
  TRY(core_.CheckWritable());
  // Data goes in place by what it says.
  Result<media::Inode> inode = core_.reader.ReadInodeAnew(number);
  if (!inode) return inode;
  TRY(CheckRegular(*inode));
  if ((inode->flags & media::kInodeImmutable) != 0) return Failure(EPERM);
  if ((inode->flags & media::kInodeAppendOnly) != 0 && !allow_append_only) return Failure(EPERM);
  if ((inode->flags & media::kInodeOrphan) == 0) return inode;

  // A name and the mark, or written pages behind the end: a truncation that was not finished.
  bool pending = inode->links > 0;
  for (FilePage page = EndPageOf(inode->size_bytes); !pending;) {
    const std::optional<Extent> extent = TRY(core_.extents.Find(*inode, page));
    if (!extent) break;
    pending = !extent->unwritten;
    page = extent->end();
  }
  if (!pending) return inode;
  TRY(FinishTruncation(number));
  return core_.reader.ReadInode(number);
}

bool FileData::HasFileCapability(const media::Inode& inode) const {
  const bool has_xattrs = inode.xattr_bytes != 0 || inode.xattr_page != 0;
  // Attributes that can't be read give nobody a capability, and must not keep the data from change.
  return has_xattrs && xattrs_ != nullptr && xattrs_->Get(inode, kCapabilityName).has_value();
}

Result<void> FileData::KillPrivileges(Transaction& transaction, media::Inode& inode,
                                      const Change& change) {
  if (change.kill_privileges) ClearSetIds(inode);
  if (change.drop_capability) TRY(xattrs_->Remove(transaction, inode, kCapabilityName));
  return {};
}

Result<void> FileData::SpillInline(InodeNumber number) {
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  TRY(SpillInline(transaction, inode));
  return transaction.Commit();
}

Result<void> FileData::SpillInline(Transaction& transaction, media::Inode& inode) {
  if (inode.body_form != media::BodyForm::kInline) return {};
  const InodeNumber number(inode.number);
  Claim claim = TRY(core_.allocator->Take({.pages = 1, .goal = PageOf(number)}));
  const Extent extent{.file_page = FilePage(0), .start = claim.first(), .pages = 1};
  const MediaOffset at = Geometry::ToMedia(extent.start);
  TRY(transaction.Allocate(std::move(claim), number, ClaimPurpose::kData));
  const std::span<const std::byte> contents(inode.tail.data(), inode.body_bytes);
  TRY(transaction.stream().CopyUnfenced(at, contents));
  TRY(transaction.stream().ZeroUnfenced(at + contents.size(), kPageSize - contents.size()));
  const uint64_t size_bytes = inode.size_bytes;
  StoreInline(inode, {});
  inode.size_bytes = size_bytes;
  inode.page_count += 1;
  return core_.extents.Insert(transaction, inode, extent);
}

Result<void> FileData::WriteNew(Transaction& transaction, media::Inode& inode,
                                std::span<const std::byte> bytes) {
  if (bytes.size() <= InlineRoom(inode)) {
    StoreInline(inode, bytes);
    return {};
  }
  if (bytes.size() > kPageSize) return Failure(ENAMETOOLONG);
  const InodeNumber number(inode.number);
  Claim claim = TRY(core_.allocator->Take({.pages = 1, .goal = PageOf(number)}));
  const Extent extent{.file_page = FilePage(0), .start = claim.first(), .pages = 1};
  const MediaOffset at = Geometry::ToMedia(extent.start);
  TRY(transaction.Allocate(std::move(claim), number, ClaimPurpose::kData));
  TRY(transaction.stream().CopyUnfenced(at, bytes));
  if (bytes.size() < kPageSize) {
    TRY(transaction.stream().ZeroUnfenced(at + bytes.size(), kPageSize - bytes.size()));
  }
  inode.size_bytes = bytes.size();
  inode.page_count += 1;
  return core_.extents.Insert(transaction, inode, extent);
}

}  // namespace ingot
