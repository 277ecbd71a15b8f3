// SPDX-License-Identifier: BSD-3-Clause
// /lost+found: a name, "#" and its number, for every inode that has contents and no name; and an
// inode for every backing file that has none.
//
// Through the filesystem's own transactions, one an inode: a crash leaves it lost or saved.
#include <dirent.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "fs/check/directory_pass.h"
#include "fs/core/attributes.h"
#include "fs/core/core.h"
#include "fs/core/file_data.h"
#include "fs/core/names.h"
#include "fs/core/orphans.h"
#include "fs/core/xattrs.h"

namespace ingot::check {
namespace {

constexpr std::string_view kName = "lost+found";
constexpr uint32_t kMaxNames = 1000;  // tried for one inode, where names are taken

// The filesystem's parts, without a Volume: that would own the device.
struct Filesystem {
  Filesystem(Device& device, std::unique_ptr<Allocator> allocator)
      : core(device, std::move(allocator), VolumeOptions{}),
        data(core),
        xattrs(core),
        orphans(core, data, xattrs),
        names(core, data, xattrs, orphans) {
    data.set_xattrs(&xattrs);
  }

  Core core;
  FileData data;
  Xattrs xattrs;
  Orphans orphans;
  Names names;
};

// Not by Names::Create: what is lost is saved in an immutable root too, and nothing of the root is
// inherited.
Result<InodeNumber> MakeFolder(Core& core, std::string_view name) {
  ExclusiveInodeLocks locks(core.locks, kRoot);
  Transaction transaction(*core.allocator, core.reader);
  media::Inode* root = TRY(transaction.EditInode(kRoot));
  media::Inode* folder = TRY(core.inodes.Allocate(transaction, locks, kRoot));
  const InodeNumber number(folder->number);
  const Time now = CurrentTime();
  folder->mode = S_IFDIR | 0700;
  folder->links = 2;
  folder->parent = kRoot.value;
  SetModified(*folder, now);
  folder->atime_seconds = folder->birth_seconds = now.seconds;
  folder->atime_nanoseconds = folder->birth_nanoseconds = now.nanoseconds;
  TRY(core.directories.Insert(transaction, *root, name, number, DT_DIR));
  ++root->links;
  SetModified(*root, now);
  TRY(transaction.Commit());
  return number;
}

Result<InodeNumber> FindOrMakeFolder(Filesystem& filesystem) {
  Names& names = filesystem.names;
  std::string name(kName);
  for (uint32_t attempt = 1; attempt < kMaxNames; ++attempt) {
    const Result<Attributes> found = names.Lookup(kRoot, name);
    if (found.error_code() == ENOENT) return MakeFolder(filesystem.core, name);
    if (!found) return tl::unexpected<Error>(found.error());
    names.Forget(found->inode, 1);
    if (S_ISDIR(found->mode)) return found->inode;
    name = fmt::format("{}.{}", kName, attempt);
  }
  return Failure(EEXIST, "no name is left for lost+found");
}

// "#" and the number, or what is free of its like.
Result<std::string> FindName(Core& core, Transaction& transaction, const media::Inode& directory,
                             InodeNumber number) {
  std::string name = fmt::format("#{}", number.value);
  for (uint32_t attempt = 1; attempt < kMaxNames; ++attempt) {
    const auto taken = core.directories.Find(transaction, directory, name);
    if (taken.error_code() == ENOENT) break;
    if (!taken) return tl::unexpected<Error>(taken.error());
    name = fmt::format("#{}.{}", number.value, attempt);
  }
  return name;
}

Result<void> Save(Filesystem& filesystem, InodeNumber folder, InodeNumber number) {
  Core& core = filesystem.core;
  const std::array numbers{folder, number};
  const ExclusiveInodeLocks locks(core.locks, numbers);
  Transaction transaction(*core.allocator, core.reader);
  media::Inode* directory = TRY(transaction.EditInode(folder));
  media::Inode* inode = TRY(transaction.EditInode(number));
  const bool is_directory = S_ISDIR(inode->mode);
  const auto type = static_cast<uint8_t>(IFTODT(inode->mode));
  const std::string name = TRY(FindName(core, transaction, *directory, number));
  TRY(core.directories.Insert(transaction, *directory, name, number, type));
  if (is_directory) {
    inode->parent = folder.value;
    ++directory->links;
  } else {
    inode->links = 1;
  }
  // Marked as deleted, yet not with no links: one of the two was damaged. It is kept.
  TRY(filesystem.orphans.Unmark(transaction, *inode));
  return transaction.Commit();
}

// A backing file that no inode names gets one; durable first, as all files of inodes are.
Result<void> SaveFile(Core& core, BackingDirectory& host, InodeNumber folder, uint64_t file) {
  TRY(TRY(host.OpenFile(file))->Sync(/*data_only=*/false));
  TRY(host.Sync());
  ExclusiveInodeLocks locks(core.locks, folder);
  Transaction transaction(*core.allocator, core.reader);
  media::Inode* directory = TRY(transaction.EditInode(folder));
  media::Inode* inode = TRY(core.inodes.Allocate(transaction, locks, folder));
  const InodeNumber number(inode->number);
  const Time now = CurrentTime();
  inode->mode = S_IFREG | 0600;
  inode->links = 1;
  inode->body_form = media::BodyForm::kBacked;
  inode->backing_file = file;
  SetModified(*inode, now);
  inode->atime_seconds = inode->birth_seconds = now.seconds;
  inode->atime_nanoseconds = inode->birth_nanoseconds = now.nanoseconds;
  const std::string name = TRY(FindName(core, transaction, *directory, number));
  TRY(core.directories.Insert(transaction, *directory, name, number, DT_REG));
  return transaction.Commit();
}

// A full pool: what is lost stays so, and the next run finds it again. Only what can't be stored at
// all ends the repair.
Result<void> Note(Context& context, const Result<void>& saved, FindingKind kind,
                  const Place& place, const std::string& what) {
  if (saved) {
    ++context.fixed;
    return {};
  }
  context.Report(kind, place, fmt::format("{}: can't be saved: {}", what, Describe(saved.error())));
  return context.device.writable() ? Result<void>() : saved;
}

}  // namespace

Result<void> SaveLost(Context& context) {
  Filesystem filesystem(context.device, TRY(Allocator::Open(context.device)));
  const Result<InodeNumber> folder = FindOrMakeFolder(filesystem);
  if (!folder) {
    context.Report(FindingKind::kInodeLost, At(kRoot),
                   fmt::format("lost+found can't be made: {}", Describe(folder.error())));
    return {};
  }
  for (const InodeNumber number : context.lost) {
    TRY(Note(context, Save(filesystem, *folder, number), FindingKind::kInodeLost, At(number),
             fmt::format("inode {}", number.value)));
  }
  for (const uint64_t file : context.unknown_files) {
    TRY(Note(context, SaveFile(filesystem.core, *context.options.directory, *folder, file),
             FindingKind::kBackingFileUnknown, {}, fmt::format("backing/{}", file)));
  }
  return {};
}

}  // namespace ingot::check
