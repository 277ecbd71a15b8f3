// SPDX-License-Identifier: BSD-3-Clause
// Names: rename, with its three flags. One transaction, whatever goes over what.
//
// Only a directory that changes its parent changes the shape of the tree; such renames exclude each
// other by the rename mutex, so that no two of them make a circle. With it held, the chain of
// parents above an existing directory stands still: none of them is empty, and none moves.
#include <sys/stat.h>

#include <dirent.h>

#include <algorithm>
#include <array>

#include "fs/core/attributes.h"
#include "fs/core/names.h"
#include "fs/core/names_internal.h"

namespace ingot {

// What was seen without locks, or with the rename mutex only.
struct Names::RenamePlan {
  InodeNumber parent;
  std::string_view name;
  InodeNumber new_parent;
  std::string_view new_name;
  uint32_t flags;
  Directory::Found source;
  std::optional<Directory::Found> target;

  [[nodiscard]] bool exchange() const { return (flags & kRenameExchange) != 0; }
  // Does a directory change its parent?
  [[nodiscard]] bool ChangesTree() const {
    if (parent == new_parent) return false;
    return source.type == DT_DIR || (exchange() && target && target->type == DT_DIR);
  }
};

namespace {

bool IsSame(const Directory::Found& a, const Directory::Found& b) {
  return a.inode == b.inode && a.type == b.type;
}

Result<std::optional<Directory::Found>> FindIfAny(const Directory& directories,
                                                  const media::Inode& directory,
                                                  std::string_view name) {
  const Result<Directory::Found> found = directories.Find(directory, name);
  if (found) return *found;
  if (found.error_code() == ENOENT) return std::nullopt;
  return tl::unexpected<Error>(found.error());
}

Result<void> CheckFlags(uint32_t flags) {
  if ((flags & ~uint32_t{kRenameNoReplace | kRenameExchange | kRenameWhiteout}) != 0) {
    return Failure(EINVAL);
  }
  const bool exchange = (flags & kRenameExchange) != 0;
  if (exchange && (flags & (kRenameNoReplace | kRenameWhiteout)) != 0) return Failure(EINVAL);
  return {};
}

// Is `ancestor` the directory `from` or above it? Under the rename mutex.
Result<bool> IsAtOrAbove(Core& core, InodeNumber ancestor, InodeNumber from) {
  // A bound for damaged images only: no tree is that deep.
  constexpr uint32_t kMaxDepth = 1 << 24;
  for (uint32_t depth = 0; depth < kMaxDepth; ++depth) {
    if (from == ancestor) return true;
    if (from.value == media::kRootInode) return false;
    const SharedInodeLock lock(core.locks, from);
    const media::Inode directory = TRY(core.reader.ReadInode(from));
    TRY(names::CheckDirectory(directory));
    if (directory.links == 0) return Failure(ENOENT);
    from = InodeNumber(directory.parent);
  }
  return Failure(EUCLEAN, fmt::format("inode {}: its parents form a circle", from.value));
}

// EINVAL if it is. An ancestor can go only after `from` itself went: what was met in its place then
// is no news of damage.
Result<void> CheckNotAtOrAbove(Core& core, InodeNumber ancestor, InodeNumber from) {
  const Result<bool> above = IsAtOrAbove(core, ancestor, from);
  if (above && *above) return Failure(EINVAL);
  if (above) return {};
  const SharedInodeLock lock(core.locks, from);
  if (TRY(core.reader.ReadInode(from)).links == 0) return Failure(ENOENT);
  return tl::unexpected<Error>(above.error());
}

// What is locked was chosen by the entries' types.
Result<void> CheckEntryType(const Directory::Found& entry, const media::Inode& inode) {
  if (S_ISDIR(inode.mode) == (entry.type == DT_DIR)) return {};
  return Failure(EUCLEAN, fmt::format("inode {}: entry of another type", inode.number));
}

// A directory came under `parent`: its ".." counts there.
Result<void> CountSubdirectory(media::Inode& parent) {
  if (parent.links >= media::kMaxLinks) return Failure(EMLINK);
  ++parent.links;
  return {};
}

}  // namespace

Result<void> Names::Rename(InodeNumber parent, std::string_view name, InodeNumber new_parent,
                           std::string_view new_name, uint32_t flags, const Caller& caller) {
  TRY(core_.CheckWritable());
  TRY(CheckFlags(flags));
  TRY(names::CheckName(name));
  TRY(names::CheckName(new_name));
  if (names::IsDots(name)) return Failure(EBUSY);
  if (names::IsDots(new_name)) {
    return Failure((flags & kRenameNoReplace) != 0 ? EEXIST : EBUSY);
  }
  for (;;) {
    const RenamePlan plan = TRY(PlanRename(parent, name, new_parent, new_name, flags));
    // Whoever replaces a file expects the old or the new contents after a crash.
    if (plan.target && plan.source.type == DT_REG) TRY(core_.SyncBacked(plan.source.inode));
    if (plan.exchange() && plan.target->type == DT_REG) TRY(core_.SyncBacked(plan.target->inode));
    std::optional<MutexLock> tree_lock;
    if (plan.ChangesTree()) {
      tree_lock.emplace(core_.rename_mutex);
      TRY(CheckAncestors(plan));
    }
    if (TRY(TryRename(plan, caller))) return {};
  }
}

Result<Names::RenamePlan> Names::PlanRename(InodeNumber parent, std::string_view name,
                                            InodeNumber new_parent, std::string_view new_name,
                                            uint32_t flags) {
  RenamePlan plan{.parent = parent,
                  .name = name,
                  .new_parent = new_parent,
                  .new_name = new_name,
                  .flags = flags,
                  .source = TRY(names::FindUnlocked(core_, parent, name)),
                  .target = std::nullopt};
  const Result<Directory::Found> target = names::FindUnlocked(core_, new_parent, new_name);
  if (target) {
    plan.target = *target;
  } else if (target.error_code() != ENOENT || plan.exchange()) {
    return tl::unexpected<Error>(target.error());
  }
  return plan;
}

Result<void> Names::CheckAncestors(const RenamePlan& plan) {
  if (plan.source.type == DT_DIR) {
    TRY(CheckNotAtOrAbove(core_, plan.source.inode, plan.new_parent));
  }
  if (plan.exchange() && plan.target && plan.target->type == DT_DIR) {
    TRY(CheckNotAtOrAbove(core_, plan.target->inode, plan.parent));
  }
  return {};
}

// False: the names stand for other files by now; plan again.
Result<bool> Names::TryRename(const RenamePlan& plan, const Caller& caller) {
  LeftOver left_over;
  {
    absl::InlinedVector<InodeNumber, 4> numbers{plan.parent, plan.new_parent, plan.source.inode};
    if (plan.target) numbers.push_back(plan.target->inode);
    ExclusiveInodeLocks locks(core_.locks, numbers);
    Transaction transaction(*core_.allocator, core_.reader);
    media::Inode* directory = TRY(transaction.EditInode(plan.parent));
    media::Inode* new_directory = TRY(transaction.EditInode(plan.new_parent));
    TRY(names::CheckDirectory(*directory));
    TRY(names::CheckDirectory(*new_directory));
    const std::optional<Directory::Found> source =
        TRY(FindIfAny(core_.directories, *directory, plan.name));
    const std::optional<Directory::Found> target =
        TRY(FindIfAny(core_.directories, *new_directory, plan.new_name));
    if (!source || !IsSame(*source, plan.source)) return false;
    if (target.has_value() != plan.target.has_value()) return false;
    if (target && !IsSame(*target, *plan.target)) return false;

    if (target && (plan.flags & kRenameNoReplace) != 0) return Failure(EEXIST);
    if (target && target->inode == source->inode) return true;  // POSIX: nothing is done
    if (plan.exchange()) {
      TRY(Exchange(transaction, plan));
    } else {
      left_over = TRY(Move(transaction, locks, plan, caller));
    }
    TRY(transaction.Commit());
  }
  if (left_over.to_reclaim) ReclaimIfUnreferenced(plan.target->inode);
  return true;
}

// The source takes the new name, from whatever has it.
Result<Names::LeftOver> Names::Move(Transaction& transaction, ExclusiveInodeLocks& locks,
                                    const RenamePlan& plan, const Caller& caller) {
  const Time now = CurrentTime();
  media::Inode* directory = TRY(transaction.EditInode(plan.parent));
  media::Inode* new_directory = TRY(transaction.EditInode(plan.new_parent));
  media::Inode* source = TRY(transaction.EditInode(plan.source.inode));
  TRY(names::CheckMayRemove(*directory, *source));
  const bool is_directory = S_ISDIR(source->mode);
  const uint8_t type = names::EntryType(source->mode);
  TRY(CheckEntryType(plan.source, *source));

  media::Inode* target = nullptr;
  if (plan.target) {
    target = TRY(transaction.EditInode(plan.target->inode));
    TRY(names::CheckMayRemove(*new_directory, *target));
    if (is_directory && !S_ISDIR(target->mode)) return Failure(ENOTDIR);
    if (!is_directory && S_ISDIR(target->mode)) return Failure(EISDIR);
    if (is_directory && target->entry_count != 0) return Failure(ENOTEMPTY);
    TRY(core_.directories.Replace(transaction, *new_directory, plan.new_name, plan.source.inode,
                                  type));
    if (is_directory) TRY(names::UncountSubdirectory(*new_directory));
  } else {
    TRY(names::CheckMayAdd(*new_directory));
    TRY(core_.directories.Insert(transaction, *new_directory, plan.new_name, plan.source.inode,
                                 type));
  }

  if ((plan.flags & kRenameWhiteout) != 0) {
    NewNode node;
    node.mode = S_IFCHR;  // 0/0, nobody may do anything with it
    media::Inode* whiteout = TRY(core_.inodes.Allocate(transaction, locks, plan.parent));
    TRY(FillNew(transaction, *whiteout, *directory, node, caller));
    whiteout->links = 1;
    TRY(core_.directories.Replace(transaction, *directory, plan.name,
                                  InodeNumber(whiteout->number), DT_CHR));
  } else {
    TRY(core_.directories.Erase(transaction, *directory, plan.name));
  }
  if (is_directory) {
    TRY(names::UncountSubdirectory(*directory));
    TRY(CountSubdirectory(*new_directory));
    source->parent = plan.new_parent.value;
  }
  SetModified(*directory, now);
  SetModified(*new_directory, now);
  SetChanged(*source, now);
  // Last, for it takes what room the transaction has left.
  return target == nullptr ? LeftOver{} : DropName(transaction, *target);
}

Result<void> Names::Exchange(Transaction& transaction, const RenamePlan& plan) {
  const Time now = CurrentTime();
  media::Inode* directory = TRY(transaction.EditInode(plan.parent));
  media::Inode* new_directory = TRY(transaction.EditInode(plan.new_parent));
  media::Inode* source = TRY(transaction.EditInode(plan.source.inode));
  media::Inode* target = TRY(transaction.EditInode(plan.target->inode));
  TRY(names::CheckMayRemove(*directory, *source));
  TRY(names::CheckMayRemove(*new_directory, *target));
  TRY(CheckEntryType(plan.source, *source));
  TRY(CheckEntryType(*plan.target, *target));

  TRY(core_.directories.Replace(transaction, *directory, plan.name, plan.target->inode,
                                names::EntryType(target->mode)));
  TRY(core_.directories.Replace(transaction, *new_directory, plan.new_name, plan.source.inode,
                                names::EntryType(source->mode)));
  if (S_ISDIR(source->mode)) {
    TRY(names::UncountSubdirectory(*directory));
    source->parent = plan.new_parent.value;
  }
  if (S_ISDIR(target->mode)) {
    TRY(names::UncountSubdirectory(*new_directory));
    TRY(CountSubdirectory(*directory));
    target->parent = plan.parent.value;
  }
  if (S_ISDIR(source->mode)) TRY(CountSubdirectory(*new_directory));
  SetModified(*directory, now);
  SetModified(*new_directory, now);
  SetChanged(*source, now);
  SetChanged(*target, now);
  return {};
}

}  // namespace ingot
