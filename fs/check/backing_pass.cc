// SPDX-License-Identifier: BSD-3-Clause
// Whose backing file is which, and whether it is there.
#include "fs/check/backing_pass.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "fs/check/make_room.h"

namespace ingot::check {
namespace {

// Without contents from now on; the ledger or nobody has the number.
void LoseBackingFile(media::Inode& inode) {
  ForgetLeftovers(inode);
  inode.body_form = media::BodyForm::kEmpty;
  inode.backing_file = 0;
  inode.size_bytes = 0;
  inode.flags &= ~uint32_t{media::kInodeMayDemote};
}

Result<void> LoseStoredBackingFile(Context& context, InodeNumber number) {
  if (!context.repairing()) return {};
  media::Inode inode = TRY(context.reader.ReadInodeUnchecked(number));
  if (inode.body_form != media::BodyForm::kBacked) return {};
  const bool was_counted = (inode.flags & media::kInodeToRecover) != 0;
  LoseBackingFile(inode);
  const bool is_counted = (inode.flags & media::kInodeToRecover) != 0;
  if (was_counted && !is_counted) --context.groups[GroupOf(PageOf(number)).value].orphans;
  ++context.fixed;
  return context.writer->WriteInode(inode);
}

// Deleted while it was open: the next mount deletes its backing file, too.
bool IsDeleted(const Context& context, InodeNumber number) {
  const auto facts = context.inodes.find(number.value);
  return facts != context.inodes.end() && facts->second.orphan && facts->second.links == 0;
}

void ReportShared(Context& context, InodeNumber loser, uint64_t keeper, uint64_t file) {
  context.Report(FindingKind::kBackingFileShared, At(loser),
                 fmt::format("inode {}: its backing file {} belongs to inode {}: an empty file now",
                             loser.value, file, keeper));
}

bool IsOwned(const Context& context, uint64_t file) {
  const auto owner = context.backing_owners.find(file);
  return owner != context.backing_owners.end() && owner->second != 0;
}

// Null: it may be a file of the pool's. Whatever an inode names is that inode's, whatever it is.
Result<const char*> WhyStranger(const Context& context, uint64_t number) {
  if (!IsBackingNumber(number)) return "can't be the number of a backing file";
  if (IsOwned(context, number)) return nullptr;
  if (number >= context.backing_limit) return "was never handed out";
  const Result<struct stat> status = context.options.directory->Stat(number);
  if (status.error_code() == EUCLEAN) return "is no regular file";
  // (A mount that goes on has deleted it by now.)
  if (!status && status.error_code() != ENOENT) return tl::unexpected<Error>(status.error());
  return nullptr;
}

// What the host has, sorted; what can't be the pool's is told of.
Result<std::vector<uint64_t>> ListFiles(Context& context) {
  std::vector<uint64_t> files;
  if (context.options.directory == nullptr) return files;
  const BackingDirectory::Listing listing = TRY(context.options.directory->List());
  for (const std::string& name : listing.strangers) {
    context.Report(FindingKind::kBackingName, {},
                   fmt::format("backing/{}: is none of the pool's files; left alone", name));
  }
  for (const uint64_t number : listing.numbers) {
    const char* const why = TRY(WhyStranger(context, number));
    if (why == nullptr) {
      files.push_back(number);
    } else {
      context.Report(FindingKind::kBackingName, {},
                     fmt::format("backing/{}: {}; left alone", number, why));
    }
  }
  std::ranges::sort(files);
  return files;
}

// Null: it is there.
Result<const char*> WhyMissing(const BackingDirectory& directory, uint64_t number) {
  const Result<struct stat> status = directory.Stat(number);
  if (status) return nullptr;
  if (status.error_code() == ENOENT) return "is missing";
  if (status.error_code() == EUCLEAN) return "is no regular file";
  return tl::unexpected<Error>(status.error());
}

Result<void> FindMissing(Context& context) {
  if (context.options.directory == nullptr) return {};
  std::vector<std::pair<uint64_t, uint64_t>> owners;  // by inode
  for (const auto& [file, inode] : context.backing_owners) owners.emplace_back(inode, file);
  std::ranges::sort(owners);
  uint64_t done = 0;
  for (const auto& [inode, file] : owners) {
    context.Tell("backing files", ++done, owners.size());
    const char* why = TRY(WhyMissing(*context.options.directory, file));
    if (why == nullptr) continue;
    const InodeNumber number(inode);
    // Who is deleted already needs nothing that might come back.
    const bool is_left = context.repairing() && !context.options.empty_missing_files &&
                         !IsDeleted(context, number);
    const char* what = "";
    if (context.repairing()) what = is_left ? "; left, in case it comes back" : ", it is empty now";
    context.Report(FindingKind::kBackingFileMissing, At(number),
                   fmt::format("inode {}: backing/{} {}: its contents are lost{}", inode, file, why,
                               what));
    if (is_left) {
      ++context.left;
      continue;
    }
    context.backing_owners[file] = 0;
    TRY(LoseStoredBackingFile(context, number));
  }
  return {};
}

// Files that are neither an inode's nor listed.
Result<void> FindUnknown(Context& context, const std::vector<uint64_t>& files,
                         const std::vector<uint64_t>& listed) {
  for (const uint64_t number : files) {
    if (IsOwned(context, number) || std::ranges::binary_search(listed, number)) continue;
    const Result<struct stat> status = context.options.directory->Stat(number);
    // An inode that lost what was none: the next round tells of it. And what a mount that goes on
    // has deleted meanwhile.
    if (status.error_code() == EUCLEAN || status.error_code() == ENOENT) continue;
    if (!status) return tl::unexpected<Error>(status.error());
    const bool is_empty = status->st_size == 0;
    context.Report(FindingKind::kBackingFileUnknown, {},
                   is_empty ? fmt::format("backing/{}: empty, and nobody's", number)
                            : fmt::format("backing/{}: {} bytes, but no inode names it", number,
                                          status->st_size));
    (is_empty ? context.empty_files : context.unknown_files).push_back(number);
  }
  return {};
}

}  // namespace

void ForgetLeftovers(media::Inode& inode) {
  const size_t xattrs = std::min<size_t>(inode.xattr_bytes, media::kInodeTailSize);
  const size_t size_bytes = std::min<size_t>(inode.body_bytes, media::kInodeTailSize - xattrs);
  std::fill_n(inode.tail.begin(), size_bytes, std::byte{});
  inode.body_bytes = 0;
  inode.tree_height = 0;
}

Result<bool> ClaimBackingFile(Context& context, media::Inode& inode) {
  if (inode.body_form != media::BodyForm::kBacked) return false;
  MakeRoomForOne(context.backing_owners);
  const auto [owner, is_first] =
      context.backing_owners.try_emplace(inode.backing_file, inode.number);
  if (is_first) return false;
  const InodeNumber number(inode.number);
  const InodeNumber other(owner->second);
  const bool is_deleted = inode.links == 0 && (inode.flags & media::kInodeOrphan) != 0;
  if (!is_deleted && IsDeleted(context, other)) {
    ReportShared(context, other, inode.number, inode.backing_file);
    owner->second = inode.number;
    TRY(LoseStoredBackingFile(context, other));
    return false;
  }
  ReportShared(context, number, other.value, inode.backing_file);
  LoseBackingFile(inode);
  return true;
}

bool FixLeftoversMark(Context& context, media::Inode& inode) {
  const bool has_leftovers =
      inode.body_form == media::BodyForm::kBacked && inode.body_bytes != 0;
  if (!has_leftovers || (inode.flags & media::kInodeOrphan) != 0) return false;
  context.Report(FindingKind::kInodeOrphanFlag, At(InodeNumber(inode.number)),
                 fmt::format("inode {}: has extents that are still to be freed, but no mark of it",
                             inode.number));
  inode.flags |= media::kInodeOrphan;
  return true;
}

Result<void> CheckBackingFiles(Context& context) {
  if (!context.is_directory_pool) return {};
  uint64_t highest = 0;
  for (const auto& [file, inode] : context.backing_owners) {
    if (inode != 0) highest = std::max(highest, file);
  }
  context.backing_limit = std::min(std::max(highest, HighestHandedOut(context)) +
                                       kMaxForgottenNumbers,
                                   media::kMaxBackingNumber);
  const std::vector<uint64_t> files = TRY(ListFiles(context));
  TRY(FindMissing(context));
  if (!files.empty()) highest = std::max(highest, files.back());
  const std::vector<uint64_t> listed = TRY(CheckLedger(context, highest));
  return FindUnknown(context, files, listed);
}

}  // namespace ingot::check
