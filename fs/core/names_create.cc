// SPDX-License-Identifier: BSD-3-Clause
// Names: new files and new links. Each is one transaction; a crash leaves it done or not done.
#include <sys/stat.h>

#include <array>

#include "fs/core/attributes.h"
#include "fs/core/file_parts.h"
#include "fs/core/names.h"
#include "fs/core/names_internal.h"
#include "fs/core/posix_acl.h"

namespace ingot {
namespace {

constexpr size_t kMaxTargetLength = 4095;  // PATH_MAX without its zero byte

// What a new file takes over from its directory. ext4 and xfs pass NOATIME on as well; we don't:
// it would silently outlive the directory's purpose, and the mount option exists.
constexpr uint32_t kInheritedByDirectories = media::kInodeSync | media::kInodeDirSync |
                                             media::kInodeNoDump | media::kInodeDax |
                                             media::kInodeAtomic | media::kInodeProjectInherit;
constexpr uint32_t kInheritedByFiles =
    media::kInodeSync | media::kInodeNoDump | media::kInodeDax | media::kInodeAtomic;
constexpr uint32_t kInheritedByOthers = media::kInodeNoDump;

uint32_t InheritedFlags(uint32_t mode) {
  if (S_ISDIR(mode)) return kInheritedByDirectories;
  return S_ISREG(mode) ? kInheritedByFiles : kInheritedByOthers;
}

void SetAllTimes(media::Inode& inode, Time now) {
  SetModified(inode, now);
  inode.atime_seconds = now.seconds;
  inode.atime_nanoseconds = now.nanoseconds;
  inode.birth_seconds = now.seconds;
  inode.birth_nanoseconds = now.nanoseconds;
}

Result<void> CheckNode(const NewNode& node) {
  switch (node.mode & S_IFMT) {
    case S_IFLNK:
      if (node.symlink_target.empty()) return Failure(ENOENT);
      if (node.symlink_target.size() > kMaxTargetLength) return Failure(ENAMETOOLONG);
      return {};
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFBLK:
    case S_IFCHR:
      return {};
    default:
      return Failure(EINVAL);
  }
}

}  // namespace

Result<void> Names::FillNew(Transaction& transaction, media::Inode& inode,
                            const media::Inode& parent, const NewNode& node,
                            const Caller& caller) {
  inode.mode = node.mode;
  inode.uid = caller.uid;
  inode.gid = caller.gid;
  if ((parent.mode & S_ISGID) != 0) {
    inode.gid = parent.gid;
    if (S_ISDIR(inode.mode)) inode.mode |= S_ISGID;
  }
  inode.flags = parent.flags & InheritedFlags(inode.mode);
  if ((parent.flags & media::kInodeProjectInherit) != 0) inode.project = parent.project;
  if (S_ISDIR(inode.mode)) inode.parent = parent.number;
  if (S_ISBLK(inode.mode) || S_ISCHR(inode.mode)) inode.device = node.device;
  SetAllTimes(inode, CurrentTime());
  if (S_ISLNK(inode.mode)) {
    TRY(data_.WriteNew(transaction, inode, std::as_bytes(std::span(node.symlink_target))));
    return {};
  }
  return InheritAcl(transaction, inode, parent, node.umask);
}

// As posix_acl_create() of the kernel: with a default ACL of the parent the umask doesn't count.
Result<void> Names::InheritAcl(Transaction& transaction, media::Inode& inode,
                               const media::Inode& parent, uint32_t umask) {
  const Result<std::vector<std::byte>> value = xattrs_.Get(parent, kDefaultAclName);
  if (!value && value.error_code() != ENODATA) return tl::unexpected<Error>(value.error());
  std::optional<PosixAcl> acl;
  if (value) acl = TRY(PosixAcl::Parse(*value));
  if (!acl) {
    inode.mode &= ~(umask & uint32_t{ACCESSPERMS});
    return {};
  }
  inode.mode = acl->NarrowToCreate(inode.mode);
  const std::vector<std::byte> access = acl->Encode();
  absl::InlinedVector<XattrChange, 2> changes;
  if (!acl->IsEquivalentToMode()) {
    changes.push_back({kAccessAclName, std::span<const std::byte>(access)});
  }
  if (S_ISDIR(inode.mode)) {
    changes.push_back({kDefaultAclName, std::span<const std::byte>(*value)});
  }
  TRY(xattrs_.Change(transaction, inode, changes));
  return {};
}

// A backing file for the new inode, if it is to have one and there is one. Before any lock that
// others wait for: making spares takes the host's time.
std::optional<BackingFiles::Spare> Names::SpareFor(InodeNumber parent, std::string_view name,
                                                   const NewNode& node) {
  if (core_.backing == nullptr || !S_ISREG(node.mode)) return std::nullopt;
  const DirectMode direct = core_.direct.load(std::memory_order_relaxed);
  if (direct == DirectMode::kNever) return std::nullopt;
  bool wanted = direct == DirectMode::kAlways;
  wanted = wanted || (node.likely_mapped && !small_names_.Has(parent, name));
  {
    const SharedInodeLock lock(core_.locks, parent);
    const Result<media::Inode> directory = core_.reader.ReadInode(parent);
    if (!directory || IsAtomic(core_, *directory)) return std::nullopt;
    wanted = wanted || (directory->flags & media::kInodeDax) != 0;
  }
  if (!wanted) return std::nullopt;
  Result<BackingFiles::Spare> spare = core_.backing->TakeSpare();
  if (!spare) return std::nullopt;
  if (!spare->SetTimesToNow()) return std::nullopt;
  return std::move(*spare);
}

Result<void> Names::GiveSpare(Transaction& transaction, media::Inode& inode,
                              const std::optional<BackingFiles::Spare>& spare) {
  if (!spare) return {};
  inode.body_form = media::BodyForm::kBacked;
  inode.backing_file = spare->number();
  spare->HandTo(transaction);
  return transaction.MarkToRecover(inode, media::kInodeMayDemote);
}

Attributes Names::AttributesOfNew(const media::Inode& inode,
                                  std::optional<BackingFiles::Spare>& spare) {
  Attributes attributes = StoredAttributesOf(inode);
  attributes.is_backed = spare.has_value();
  if (spare) spare->Keep();
  return attributes;
}

Result<Attributes> Names::Create(InodeNumber parent, std::string_view name, const NewNode& node,
                                 const Caller& caller) {
  TRY(core_.CheckWritable());
  if (names::IsDots(name)) return Failure(EEXIST);
  TRY(names::CheckName(name));
  TRY(CheckNode(node));

  std::optional<BackingFiles::Spare> spare = SpareFor(parent, name, node);
  ExclusiveInodeLocks locks(core_.locks, parent);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* directory = TRY(transaction.EditInode(parent));
  if (const Result<void> may = names::CheckMayAdd(*directory); !may) {
    // What exists already is the first thing that open(O_CREAT) and mkdir tell.
    const bool exists = S_ISDIR(directory->mode) && core_.directories.Find(*directory, name);
    return Failure(exists ? EEXIST : may.error_code());
  }
  const bool is_directory = S_ISDIR(node.mode);
  if (is_directory && directory->links >= media::kMaxLinks) return Failure(EMLINK);

  media::Inode* inode = TRY(core_.inodes.Allocate(transaction, locks, parent));
  const InodeNumber number(inode->number);
  TRY(FillNew(transaction, *inode, *directory, node, caller));
  TRY(GiveSpare(transaction, *inode, spare));
  inode->links = is_directory ? 2 : 1;
  TRY(core_.directories.Insert(transaction, *directory, name, number,
                               names::EntryType(inode->mode)));
  if (is_directory) ++directory->links;
  SetModified(*directory, CurrentTime());
  TRY(transaction.Commit());

  core_.inodes.AddLookup(number);
  if (node.open) core_.inodes.AddOpen(number);
  return AttributesOfNew(*inode, spare);
}

Result<Attributes> Names::CreateUnnamed(InodeNumber parent, const NewNode& node,
                                        const Caller& caller) {
  TRY(core_.CheckWritable());
  if (!S_ISREG(node.mode)) return Failure(EINVAL);

  std::optional<BackingFiles::Spare> spare = SpareFor(parent, "", node);
  ExclusiveInodeLocks locks(core_.locks, parent);
  Transaction transaction(*core_.allocator, core_.reader);
  const media::Inode directory = TRY(core_.reader.ReadInodeAnew(parent));  // for what it hands down
  TRY(names::CheckMayAdd(directory));
  media::Inode* inode = TRY(core_.inodes.Allocate(transaction, locks, parent));
  const InodeNumber number(inode->number);
  TRY(FillNew(transaction, *inode, directory, node, caller));
  TRY(GiveSpare(transaction, *inode, spare));
  TRY(orphans_.Mark(transaction, *inode));
  TRY(transaction.Commit());

  // Still under the lock: nobody has seen it without a reference.
  core_.inodes.AddLookup(number);
  if (node.open) core_.inodes.AddOpen(number);
  return AttributesOfNew(*inode, spare);
}

Result<Attributes> Names::Link(InodeNumber number, InodeNumber new_parent,
                               std::string_view new_name) {
  TRY(core_.CheckWritable());
  if (names::IsDots(new_name)) return Failure(EEXIST);
  TRY(names::CheckName(new_name));
  TRY(core_.SyncBacked(number));

  const std::array numbers{number, new_parent};
  const ExclusiveInodeLocks locks(core_.locks, numbers);
  Transaction transaction(*core_.allocator, core_.reader);
  media::Inode* inode = TRY(transaction.EditInode(number));
  media::Inode* directory = TRY(transaction.EditInode(new_parent));
  TRY(names::CheckDirectory(*directory));
  if (core_.directories.Find(*directory, new_name)) return Failure(EEXIST);
  TRY(names::CheckMayAdd(*directory));
  constexpr uint32_t kFixed = media::kInodeImmutable | media::kInodeAppendOnly;
  if (S_ISDIR(inode->mode) || (inode->flags & kFixed) != 0) return Failure(EPERM);
  if (inode->links >= media::kMaxLinks) return Failure(EMLINK);
  if (inode->links == 0) {
    // An O_TMPFILE gets its name; that unlinked files get none is the kernel's business.
    if (!core_.inodes.IsReferenced(number)) return Failure(ENOENT);
    TRY(orphans_.Unmark(transaction, *inode));
  }
  const Time now = CurrentTime();
  ++inode->links;
  SetChanged(*inode, now);
  TRY(core_.directories.Insert(transaction, *directory, new_name, number,
                               names::EntryType(inode->mode)));
  SetModified(*directory, now);
  const Attributes attributes = TRY(core_.AttributesOf(*inode));
  TRY(transaction.Commit());
  core_.inodes.AddLookup(number);
  return attributes;
}

}  // namespace ingot
