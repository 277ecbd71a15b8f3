// SPDX-License-Identifier: BSD-3-Clause
// The fields of an inode: those without which nothing can be believed, and those that can be set
// right. Owner, group, permissions, times, project and device numbers may have any value.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "fs/check/backing_pass.h"
#include "fs/check/inode_pass.h"
#include "fs/check/tree_walk.h"
#include "pmemdev/base/checksum.h"

namespace ingot::check {
namespace {

constexpr uint32_t kMaxNanoseconds = 999'999'999;
constexpr uint32_t kModeMask = S_IFMT | 07777;
constexpr uint8_t kMaxTreeHeight = 8;
constexpr uint64_t kMaxSymlinkSize = 4095;

constexpr uint32_t kKnownFlags =
    media::kInodeOrphan | media::kInodeImmutable | media::kInodeAppendOnly | media::kInodeNoAtime |
    media::kInodeNoDump | media::kInodeSync | media::kInodeDirSync | media::kInodeDax |
    media::kInodeAtomic | media::kInodeProjectInherit | media::kInodeMayDemote;

const char* FatalBodyFault(const Context& context, const media::Inode& inode) {
  const bool file_like = S_ISREG(inode.mode) || S_ISLNK(inode.mode);
  const bool is_backed = inode.body_form == media::BodyForm::kBacked;
  if (!is_backed && inode.body_bytes > media::kInodeTailSize) return "body_bytes";
  switch (inode.body_form) {
    case media::BodyForm::kEmpty:
      if (S_ISLNK(inode.mode)) return "symlink without a target";
      return nullptr;
    case media::BodyForm::kInline:
      if (S_ISLNK(inode.mode) && inode.body_bytes == 0) return "symlink without a target";
      return file_like ? nullptr : "inline data in a file that can have none";
    case media::BodyForm::kTree:
      if (!file_like && !S_ISDIR(inode.mode)) return "a tree in a file that can have none";
      if (inode.body_bytes == 0 || inode.body_bytes % media::kRecordSize != 0) return "body_bytes";
      return inode.tree_height <= kMaxTreeHeight ? nullptr : "tree_height";
    case media::BodyForm::kBacked:
      if (!context.is_directory_pool) return "a backing file in a pool that has none";
      if (!S_ISREG(inode.mode)) return "a backing file of what is no file";
      return IsBackingNumber(inode.backing_file) ? nullptr : "backing_file";
  }
  return "body_form";
}

// Notes each change of a field.
class Fixer {
 public:
  Fixer(Context& context, const media::Inode& inode) : context_(context), inode_(inode) {}

  template <typename T>
  void Set(const char* name, T& field, T value) {
    if (field == value) return;
    context_.Report(FindingKind::kInodeField, At(InodeNumber(inode_.number)),
                    fmt::format("inode {}: {} is {:#x} instead of {:#x}", inode_.number, name,
                                static_cast<uint64_t>(field), static_cast<uint64_t>(value)));
    field = value;
    changed_ = true;
  }
  [[nodiscard]] bool changed() const { return changed_; }

 private:
  Context& context_;
  const media::Inode& inode_;
  bool changed_ = false;
};

struct OwnBlock {
  LogicalPage page;
  BlockKind kind;
};

// The first block that names this inode as its owner, if it has any: a node, a leaf, or the head of
// its attributes.
std::optional<OwnBlock> FirstBlockOf(const media::Inode& inode) {
  const bool has_block = inode.tree_height > 0 || S_ISDIR(inode.mode);
  if (HasTree(inode) && has_block) {
    media::Record record;
    std::copy_n(inode.tail.begin(), sizeof(record), WritableBytesOf(record).begin());
    return OwnBlock{LogicalPage(record.value), inode.tree_height > 0 ? BlockKind::kTreeNode
                                                                     : BlockKind::kDirectoryLeaf};
  }
  if (inode.xattr_page == 0) return std::nullopt;
  return OwnBlock{LogicalPage(inode.xattr_page), BlockKind::kXattrHead};
}

// The generation that the inode's own blocks were written under, if it has any; else any will do.
uint32_t GenerationOf(const Context& context, const media::Inode& inode) {
  const std::optional<OwnBlock> block = FirstBlockOf(inode);
  media::BlockHeader header{};
  if (block && context.MayHold(block->page, 1) &&
      context.device.Read(OffsetOf(block->page), WritableBytesOf(header)) &&
      header.owner == inode.number && header.owner_generation != 0) {
    return header.owner_generation;
  }
  return static_cast<uint32_t>(inode.number * 2654435761U) | 1;
}

// What is left of the time before a promotion has nothing that anybody wants: in doubt it is
// forgotten, and its pages are nobody's.
void FixBackedBody(Fixer& fixer, media::Inode& inode) {
  fixer.Set("size_bytes", inode.size_bytes, uint64_t{0});
  const uint32_t used = inode.body_bytes + uint32_t{inode.xattr_bytes};
  const bool is_plausible = inode.body_bytes != 0 && inode.body_bytes % media::kRecordSize == 0 &&
                            used <= media::kInodeTailSize && inode.tree_height <= kMaxTreeHeight;
  if (is_plausible) return;
  fixer.Set("body_bytes", inode.body_bytes, uint16_t{0});
  fixer.Set("tree_height", inode.tree_height, uint8_t{0});
}

void FixBody(Fixer& fixer, media::Inode& inode) {
  if (inode.body_form == media::BodyForm::kBacked) return FixBackedBody(fixer, inode);
  const bool is_tree = inode.body_form == media::BodyForm::kTree;
  if (!is_tree) fixer.Set("tree_height", inode.tree_height, uint8_t{0});
  switch (inode.body_form) {
    case media::BodyForm::kInline:
      fixer.Set("size_bytes", inode.size_bytes, uint64_t{inode.body_bytes});
      break;
    case media::BodyForm::kEmpty:
      fixer.Set("body_bytes", inode.body_bytes, uint16_t{0});
      break;
    case media::BodyForm::kTree:
    case media::BodyForm::kBacked:
      break;
  }
  fixer.Set("backing_file", inode.backing_file, uint64_t{0});
  fixer.Set("flags", inode.flags, inode.flags & ~uint32_t{media::kInodeMayDemote});
}

void FixByType(Fixer& fixer, media::Inode& inode) {
  const bool is_device = S_ISBLK(inode.mode) || S_ISCHR(inode.mode);
  const bool has_size = S_ISREG(inode.mode) || S_ISLNK(inode.mode) || S_ISDIR(inode.mode);
  if (!is_device) fixer.Set("device", inode.device, uint64_t{0});
  if (!has_size) fixer.Set("size_bytes", inode.size_bytes, uint64_t{0});
  if (!S_ISDIR(inode.mode)) {
    fixer.Set("parent", inode.parent, uint64_t{0});
    fixer.Set("entry_count", inode.entry_count, uint64_t{0});
  }
  if (S_ISLNK(inode.mode) && inode.body_form == media::BodyForm::kTree && inode.size_bytes == 0) {
    fixer.Set("size_bytes", inode.size_bytes, kMaxSymlinkSize);
  }
  const uint64_t max_size = S_ISLNK(inode.mode) ? kMaxSymlinkSize : media::kMaxFileSize;
  if (inode.size_bytes > max_size) fixer.Set("size_bytes", inode.size_bytes, max_size);
}

}  // namespace

const char* FatalInodeFault(const Context& context, InodeNumber number,
                            const media::Inode& inode) {
  if (inode.magic != media::kInodeMagic) return "magic";
  const uint32_t crc =
      BlockChecksum(BytesOf(inode), offsetof(media::Inode, checksum), number.value);
  if (inode.checksum != crc) return "checksum";
  if (inode.number != number.value) return "number";
  if (number.value == 0) return "number";
  if (!IsKnownType(inode.mode)) return "type";
  if (number.value == media::kRootInode && !S_ISDIR(inode.mode)) return "not a directory";
  return FatalBodyFault(context, inode);
}

bool IsVouchedFor(const Context& context, InodeNumber number, const media::Inode& inode) {
  media::Inode sealed = inode;
  if (inode.magic != media::kInodeMagic || inode.number != number.value) return false;
  SealInode(sealed);
  if (FatalInodeFault(context, number, sealed) != nullptr) return false;
  // Nor for the number of a backing file, which might be anybody's.
  if (inode.body_form == media::BodyForm::kBacked) return false;
  const std::optional<OwnBlock> block = FirstBlockOf(inode);
  if (!block || !context.MayHold(block->page, 1)) return false;
  alignas(kCacheLineSize) std::array<std::byte, kPageSize> copy;
  return context.reader.Copy(block->page, {block->kind, number, inode.generation}, copy)
      .has_value();
}

bool FixInodeFields(Context& context, media::Inode& inode) {
  Fixer fixer(context, inode);
  const bool root = inode.number == media::kRootInode;
  if (root) {
    fixer.Set("generation", inode.generation, uint32_t{0});
    fixer.Set("parent", inode.parent, uint64_t{media::kRootInode});
    fixer.Set("flags", inode.flags, inode.flags & ~uint32_t{media::kInodeOrphan});
  } else if (inode.generation == 0) {
    fixer.Set("generation", inode.generation, GenerationOf(context, inode));
  }
  fixer.Set("mode", inode.mode, inode.mode & kModeMask);
  fixer.Set("links", inode.links, std::min(inode.links, media::kMaxLinks));
  fixer.Set("flags", inode.flags, inode.flags & kKnownFlags);
  for (auto* field : {&inode.atime_nanoseconds, &inode.mtime_nanoseconds, &inode.ctime_nanoseconds,
                      &inode.birth_nanoseconds}) {
    fixer.Set("nanoseconds", *field, std::min(*field, kMaxNanoseconds));
  }
  FixBody(fixer, inode);
  FixByType(fixer, inode);
  fixer.Set("reserved16", inode.reserved16, uint16_t{0});
  fixer.Set("reserved32", inode.reserved32, uint32_t{0});
  for (uint64_t& word : inode.reserved) fixer.Set("reserved", word, uint64_t{0});
  return fixer.changed();
}

}  // namespace ingot::check
