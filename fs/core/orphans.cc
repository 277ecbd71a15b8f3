// SPDX-License-Identifier: BSD-3-Clause
// Marking, freeing and recovering inodes without names.
#include "fs/core/orphans.h"

#include <sys/stat.h>

#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

bool IsOrphan(const media::Inode& inode) { return (inode.flags & media::kInodeOrphan) != 0; }

FilePage PagesToKeep(const media::Inode& inode) {  // of a backed file: none
  return FilePage(RoundUp(inode.size_bytes, kPageSize) / kPageSize);
}

}  // namespace

Result<void> Orphans::Mark(Transaction& transaction, media::Inode& inode) {
  if (IsOrphan(inode)) return {};
  return transaction.MarkToRecover(inode, media::kInodeOrphan);
}

Result<void> Orphans::Unmark(Transaction& transaction, media::Inode& inode) {
  if (!IsOrphan(inode)) return {};
  // A promotion's old extents are still to be freed: with a name, that is what the mark says.
  if (inode.body_form == media::BodyForm::kBacked && inode.body_bytes != 0) return {};
  return transaction.UnmarkToRecover(inode, media::kInodeOrphan);
}

Result<bool> Orphans::FreeNow(Transaction& transaction, media::Inode& inode) {
  const InodeNumber number(inode.number);
  CHECK(inode.links == 0 && !core_.inodes.IsReferenced(number), "inode {}", number.value);
  // First: the inode's group takes its place among the few of a transaction.
  TRY(transaction.UnmarkToRecover(inode, media::kInodeMayDemote));
  const bool is_backed = inode.body_form == media::BodyForm::kBacked;
  const bool had_pages = inode.body_form == media::BodyForm::kTree || inode.body_bytes != 0;
  if (S_ISDIR(inode.mode)) {
    // An empty directory has no leaves; freeing others would lose what they name.
    if (had_pages) {
      return Failure(EUCLEAN, fmt::format("inode {}: removed directory has entries", number.value));
    }
  } else if (!TRY(data_.FreeBehind(transaction, inode, FilePage(0)))) {
    return false;
  }
  // Data and attributes together may lie in more groups than one transaction can change.
  if (had_pages && inode.xattr_page != 0) return false;
  TRY(xattrs_.FreeAll(transaction, inode));
  // (In a device pool its form is damage, and there is no file to be deleted.)
  if (is_backed && core_.backing != nullptr &&
      !core_.backing->List(transaction, inode.backing_file)) {
    return false;
  }
  TRY(Unmark(transaction, inode));
  TRY(core_.inodes.Free(transaction, number));
  return true;
}

Result<void> Orphans::Reclaim(InodeNumber number) {
  TRY(ReclaimWhile(number, [] { return true; }));
  return {};
}

Result<bool> Orphans::ReclaimWhile(InodeNumber number, const MayGoOn& may_go_on) {
  TRY(core_.CheckWritable());
  {
    // Nearly every forgotten inode has a name: no exclusive lock, no lane for those.
    const SharedInodeLock lock(core_.locks, number);
    if (!TRY(IsReclaimable(number))) return true;
  }
  // A transaction at a time, so that the others of the stripe get their turn.
  for (bool freed = false; !freed;) {
    if (!may_go_on()) return false;
    if (core_.backing != nullptr) TRY(core_.backing->MakeRoom(/*space=*/false));
    const ExclusiveInodeLocks lock(core_.locks, number);
    if (!TRY(IsReclaimable(number))) return true;
    Transaction transaction(*core_.allocator, core_.reader);
    freed = TRY(FreeNow(transaction, *TRY(transaction.EditInode(number))));
    TRY(transaction.Commit());
  }
  return true;
}

Result<bool> Orphans::IsReclaimable(InodeNumber number) const {
  // Others may have reclaimed it already, and its page may hold a file's data by now: bytes that
  // look like an orphan must not be believed there.
  Result<media::Inode> inode = Failure(ESTALE);
  if (const Result<void> known = core_.inodes.CheckNumber(number); known) {
    inode = core_.reader.ReadInodeHead(number);
  } else {
    inode = tl::unexpected<Error>(known.error());
  }
  if (inode.error_code() == ESTALE) return false;
  if (!inode) return tl::unexpected<Error>(inode.error());
  return IsOrphan(*inode) && inode->links == 0 && !core_.inodes.IsReferenced(number);
}

Result<bool> Orphans::CompleteTruncation(InodeNumber number, const MayGoOn& may_go_on) {
  for (;;) {
    if (!may_go_on()) return false;
    const ExclusiveInodeLocks lock(core_.locks, number);
    if (core_.inodes.CheckNumber(number).error_code() == ESTALE) return true;
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode* inode = TRY(transaction.EditInode(number));
    if (!IsOrphan(*inode) || inode->links == 0) return true;
    TRY(transaction.MarkToRecover(*inode, media::kInodeOrphan));
    const bool done = TRY(data_.FreeBehind(transaction, *inode, PagesToKeep(*inode)));
    if (done) TRY(Unmark(transaction, *inode));
    TRY(transaction.Commit());
    if (done) return true;
  }
}

// True: there was something to be done, and it was.
Result<bool> Orphans::RecoverInode(InodeNumber number, const MayGoOn& may_go_on) {
  const Result<media::Inode> inode = [&]() -> Result<media::Inode> {
    const SharedInodeLock lock(core_.locks, number);
    TRY(core_.inodes.CheckNumber(number));
    return core_.reader.ReadInode(number);
  }();
  if (inode.error_code() == ESTALE) return false;
  if (!inode) return tl::unexpected<Error>(inode.error());
  const bool is_orphan = IsOrphan(*inode);
  if (inode->links == 0) {
    return is_orphan && !core_.inodes.IsReferenced(number) && TRY(ReclaimWhile(number, may_go_on));
  }
  if (is_orphan && !TRY(CompleteTruncation(number, may_go_on))) return false;
  const bool may_demote = (inode->flags & media::kInodeMayDemote) != 0 && may_go_on();
  return (may_demote && TRY(data_.Demote(number))) || is_orphan;
}

Result<uint64_t> Orphans::RecoverPage(LogicalPage page, const MayGoOn& may_go_on) {
  uint64_t recovered = 0;
  for (uint32_t slot = 0; slot < media::kInodesPerPage; ++slot) {
    const InodeNumber number(page.value * media::kInodesPerPage + slot);
    if (number.value == 0) continue;
    const Result<bool> done = NoThrow([&] { return RecoverInode(number, may_go_on); });
    if (done) {
      recovered += *done ? 1 : 0;
      continue;
    }
    if (done.error_code() == EROFS) return tl::unexpected<Error>(done.error());
    // One damaged inode must not keep the others' space: fsck will find it.
    log::Warning("event=recover_orphan inode={} error={} reason=\"{}\"", number.value,
                 ErrnoName(done.error().code), done.error().context);
  }
  return recovered;
}

Result<uint64_t> Orphans::Recover(const MayGoOn& may_go_on) {
  TRY(core_.CheckWritable());
  const Geometry& geometry = core_.device.geometry();
  uint64_t recovered = 0;
  for (GroupIndex group(0); group.value < geometry.group_count(); ++group) {
    uint32_t next = 0;
    while (core_.allocator->Orphans(group) > 0 && may_go_on()) {
      const Result<uint32_t> page = core_.allocator->NextInodePage(group, next);
      if (!page) {
        log::Warning("event=recover_orphans group={} error={}", group.value,
                     Describe(page.error()));
        break;
      }
      if (*page >= geometry.PagesIn(group)) break;
      recovered += TRY(RecoverPage(FirstPageOf(group) + *page, may_go_on));
      next = *page + 1;
    }
  }
  // From now on files have been in use for a while.
  if (core_.backing != nullptr && may_go_on()) core_.backing->EndDemotion();
  return recovered;
}

}  // namespace ingot
