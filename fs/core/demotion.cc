// SPDX-License-Identifier: BSD-3-Clause
// Demotion: the contents of a short backed file move into extents, in one transaction; then its
// host file is deleted as any other. Only where nobody can have it open or mapped: at a mount,
// before the kernel has asked for the inode, and with the host saying that no handle or mapping of
// an earlier mount is left (rules B8 and B9; a fixed buffer of io_uring would escape both, which is
// why it is never done later). A crash leaves the one or the other, whole. docs/backed-files.md.
#include <algorithm>

#include "fs/core/attributes.h"
#include "fs/core/backed_data.h"
#include "fs/core/data_placement.h"
#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"
#include "fs/core/range_writer.h"

namespace ingot {
namespace {

constexpr uint64_t kHostBlock = 512;  // of stat(2)

uint64_t AllocatedBytes(const struct stat& status) {
  return static_cast<uint64_t>(status.st_blocks) * kHostBlock;
}

// Space that somebody has allocated behind the end is to stay.
bool IsPreallocated(const struct stat& status) {
  const auto size = static_cast<uint64_t>(status.st_size);
  return AllocatedBytes(status) > RoundUp(size, kHugePageSize);
}

Result<std::vector<std::byte>> ReadContents(const BackingFile& file, uint64_t size_bytes) {
  std::vector<std::byte> contents(size_bytes);
  if (TRY(file.Read(0, contents)) != size_bytes) return Failure(EAGAIN, "the file changed");
  return contents;
}

void TakeTimes(const Attributes& from, media::Inode& inode) {
  inode.atime_seconds = from.atime.seconds;
  inode.atime_nanoseconds = from.atime.nanoseconds;
  inode.mtime_seconds = from.mtime.seconds;
  inode.mtime_nanoseconds = from.mtime.nanoseconds;
  inode.ctime_seconds = from.ctime.seconds;
  inode.ctime_nanoseconds = from.ctime.nanoseconds;
}

}  // namespace

Result<bool> FileData::Demote(InodeNumber number) {
  if (core_.backing == nullptr) return false;
  TRY(core_.backing->MakeRoom(/*space=*/false));
  const ExclusiveInodeLocks lock(core_.locks, number);
  if (core_.inodes.IsReferenced(number)) return false;
  TRY(core_.inodes.CheckNumber(number));
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  constexpr uint32_t kMarks = media::kInodeToRecover;
  const bool is_ready = inode.body_form == media::BodyForm::kBacked && inode.links != 0 &&
                        (inode.flags & kMarks) == media::kInodeMayDemote;
  if (!is_ready) return false;
  const std::shared_ptr<BackingFile> file = TRY(core_.FileOf(inode));
  const bool is_long = static_cast<uint64_t>(TRY(file->Stat()).st_size) > kDirectFromBytes;
  if (is_long || (inode.flags & media::kInodeDax) != 0) {
    TRY(KeepBacked(number));
    return false;
  }
  if (core_.direct.load(std::memory_order_relaxed) == DirectMode::kAlways) return false;
  if (!core_.backing->IsUntouched(inode.backing_file) || file->IsOpenElsewhere()) return false;
  // Again: whoever held it until a moment ago may have written.
  const struct stat status = TRY(file->Stat());
  if (static_cast<uint64_t>(status.st_size) > kDirectFromBytes || IsPreallocated(status)) {
    return false;
  }
  placement_->reservations().Drop(number);
  const Result<void> moved = MoveToExtents(inode, *file, status);
  placement_->reservations().Drop(number);
  // Then it stays where it is, and the next mount tries again.
  if (IsShortage(moved.error_code()) || moved.error_code() == EOVERFLOW) return false;
  if (!moved) return tl::unexpected<Error>(moved.error());
  return true;
}

Result<void> FileData::KeepBacked(InodeNumber number) {
  Transaction transaction(*core_.allocator, core_.reader);
  TRY(transaction.UnmarkToRecover(*TRY(transaction.EditInode(number)), media::kInodeMayDemote));
  return transaction.Commit();
}

Result<void> FileData::MoveToExtents(const media::Inode& before, const BackingFile& file,
                                     const struct stat& status) {
  const InodeNumber number(before.number);
  const Attributes attributes = TRY(core_.AttributesOf(before));  // reading changes atime
  const std::vector<std::byte> contents =
      TRY(ReadContents(file, static_cast<uint64_t>(status.st_size)));
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode& inode = *TRY(transaction.EditInode(number));
  TRY(transaction.UnmarkToRecover(inode, media::kInodeMayDemote));
  inode.backing_file = 0;
  StoreInline(inode, {});
  if (contents.size() <= InlineRoom(inode)) {
    StoreInline(inode, contents);
  } else {
    const bool is_dense = AllocatedBytes(status) >= contents.size();
    TRY(StoreParts(transaction, inode, file, contents, is_dense));
    inode.size_bytes = contents.size();
  }
  TakeTimes(attributes, inode);
  if (!core_.backing->List(transaction, before.backing_file)) {
    return Failure(EAGAIN, "the ledger of backing files is full");
  }
  return transaction.Commit();
}

// Holes stay holes unless the host had allocated them: that may have been somebody's wish.
Result<void> FileData::StoreParts(Transaction& transaction, media::Inode& inode,
                                  const BackingFile& file, std::span<const std::byte> contents,
                                  bool is_dense) {
  const media::Inode empty = inode;
  RangeWriter writer(core_, *placement_, transaction, inode, empty);
  for (uint64_t offset = 0; offset < contents.size();) {
    backed::Part part{contents.size() - offset, false};
    if (!is_dense) part = TRY(backed::FirstPart(file, offset, contents.size()));
    if (!part.is_hole) {
      const uint64_t done = TRY(writer.Write(offset, contents.subspan(offset, part.size_bytes)));
      if (done < part.size_bytes) return Failure(EOVERFLOW, "too scattered for one transaction");
    }
    offset += part.size_bytes;
  }
  return {};
}

}  // namespace ingot
