// SPDX-License-Identifier: BSD-3-Clause
// Reading damaged pools. Each check says what it found and goes on with whatever is still
// plausible.
#include "fs/admin/raw_pool.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "fs/core/blocks.h"
#include "fs/core/directory_leaf.h"
#include "fs/core/pool_path.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/superblock.h"

namespace ingot::admin {
namespace {

constexpr uint32_t kMaxHeight = 8;             // as fs/core/tree_node.h
constexpr uint64_t kMaxNodes = uint64_t{1} << 20;  // of one traversal: 4 GiB of nodes

}  // namespace

Result<RawPool> RawPool::Open(const std::string& path) {
  MappingOptions options;
  options.read_only = true;
  options.take_lock = false;
  RawPool pool;
  pool.mapping_ = TRY(Mapping::Open(TRY(ResolvePool(path)).region, options));
  TRY(pool.ReadSuperblock());
  return pool;
}

Result<void> RawPool::ReadSuperblock() {
  uint64_t region_size = mapping_->size_bytes();
  const Result<SuperblockScan> scan = ReadSuperblocksUnchecked(*mapping_);
  if (scan.has_value()) {
    superblock_ = scan->best;
    if (const auto checked = ReadSuperblocks(*mapping_); !checked.has_value()) {
      Note("superblock: " + Describe(checked.error()));
    }
    for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
      if (!scan->same[copy]) {
        Note(fmt::format("superblock: copy {} {}", copy,
                         scan->valid[copy] ? "differs from the newest" : "is damaged"));
      }
    }
    if (superblock_.region_size_bytes <= mapping_->size_bytes()) {
      region_size = superblock_.region_size_bytes;
    }
  } else {
    if (scan.error_code() == EINVAL) return tl::unexpected<Error>(scan.error());
    Note("superblock: " + Describe(scan.error()));
    const Result<media::Superblock> again = RecreateSuperblock(*mapping_);
    if (again.has_value()) {
      superblock_ = *again;
    } else {
      Note(Describe(again.error()));
    }
  }
  Result<Geometry> geometry = Geometry::ForRegion(region_size);
  if (!geometry.has_value()) geometry = Geometry::ForRegion(mapping_->size_bytes());
  geometry_ = TRY(std::move(geometry));
  return {};
}

void RawPool::Note(std::string problem) {
  if (problems_.size() < kMaxProblems) problems_.push_back(std::move(problem));
}

Result<void> RawPool::ReadPage(LogicalPage page, std::span<std::byte> to) const {
  if (!geometry_.Contains(page)) {
    return Failure(EUCLEAN, fmt::format("page {} lies outside the pool", page.value));
  }
  return mapping_->Read(Geometry::ToMedia(page), to);
}

Result<media::Inode> RawPool::ReadInode(InodeNumber number) {
  const LogicalPage page = PageOf(number);
  if (!geometry_.Contains(page)) {
    return Failure(ENOENT, fmt::format("inode {} lies outside the pool", number.value));
  }
  media::Inode inode;
  TRY(mapping_->Read(Geometry::ToMedia(AddressOf(number)), WritableBytesOf(inode)));
  if (const auto valid = BlockReader::ValidateInode(number, inode); !valid.has_value()) {
    Note(inode.magic == 0 ? fmt::format("inode {}: the slot is free", number.value)
                          : valid.error().context);
  }
  return inode;
}

bool RawPool::ReadBlock(const media::Inode& inode, LogicalPage page, uint32_t magic,
                        std::span<std::byte> to) {
  const auto note = [&](std::string_view what) {
    Note(fmt::format("inode {}: block at page {}: {}", inode.number, page.value, what));
  };
  if (const auto read = ReadPage(page, to); !read.has_value()) {
    note(Describe(read.error()));
    return false;
  }
  media::BlockHeader header;
  std::memcpy(&header, to.data(), sizeof(header));
  if (header.magic != magic) {
    note("magic");
    return false;
  }
  if (header.checksum != BlockChecksum(to, offsetof(media::BlockHeader, checksum), page.value)) {
    note("checksum");
  }
  if (header.page != page.value) note("place");
  if (header.owner != inode.number || header.owner_generation != inode.generation) note("owner");
  return true;
}

void RawPool::VisitNode(const media::Inode& inode, LogicalPage page, uint32_t level,
                        const VisitRecord& visit) {
  if (nodes_left_ == 0) return;
  --nodes_left_;
  auto node = std::make_unique<media::TreeNode>();
  if (!ReadBlock(inode, page, media::kTreeNodeMagic, WritableBytesOf(*node))) return;
  if (node->header.level != level || node->header.count > media::kNodeRecords) {
    Note(fmt::format("inode {}: node at page {}: level or count", inode.number, page.value));
    if (node->header.level != level) return;
  }
  const uint32_t count = std::min<uint32_t>(node->header.count, media::kNodeRecords);
  for (uint32_t i = 0; i < count; ++i) {
    if (level == 0) {
      visit(node->records[i]);
    } else {
      VisitNode(inode, LogicalPage(node->records[i].value), level - 1, visit);
    }
  }
}

void RawPool::ForEachRecord(const media::Inode& inode, const VisitRecord& visit) {
  if (inode.body_form != media::BodyForm::kTree) return;
  uint32_t count = inode.body_bytes / media::kRecordSize;
  if (inode.body_bytes % media::kRecordSize != 0 || count > media::kMaxRootRecords ||
      inode.tree_height > kMaxHeight) {
    Note(fmt::format("inode {}: tree: height or count", inode.number));
    if (inode.tree_height > kMaxHeight) return;
    count = std::min(count, media::kMaxRootRecords);
  }
  nodes_left_ = kMaxNodes;
  for (uint32_t i = 0; i < count; ++i) {
    media::Record record;
    std::memcpy(&record, inode.tail.data() + i * media::kRecordSize, sizeof(record));
    if (inode.tree_height == 0) {
      visit(record);
    } else {
      VisitNode(inode, LogicalPage(record.value), inode.tree_height - 1u, visit);
    }
  }
}

std::vector<RawPool::Entry> RawPool::ReadDirectory(const media::Inode& directory) {
  std::vector<Entry> entries;
  auto leaf = std::make_unique<media::DirectoryLeaf>();
  ForEachRecord(directory, [&](const media::Record& record) {
    const LogicalPage page(record.value);
    if (!ReadBlock(directory, page, media::kDirectoryLeafMagic, WritableBytesOf(*leaf))) return;
    if (const char* wrong = directory_leaf::Check(*leaf, record.key)) {
      Note(fmt::format("inode {}: leaf at page {}: {}", directory.number, page.value, wrong));
    }
    const uint32_t count = std::min<uint32_t>(leaf->header.count, directory_leaf::kMaxEntries);
    for (uint32_t i = 0; i < count; ++i) {
      const media::DirectorySlot& slot = leaf->slots[i];
      const uint32_t place = directory_leaf::PlaceOf(slot);
      const auto bytes = BytesOf(*leaf);
      const uint64_t length = std::to_integer<uint64_t>(bytes[place]);
      Entry entry{slot.key, directory_leaf::InodeOf(slot), directory_leaf::TypeOf(slot), {}};
      if (place < media::kLeafHeaderSize || length == 0 || place + 1 + length > kPageSize) {
        Note(fmt::format("inode {}: leaf at page {}: entry {} has no name", directory.number,
                         page.value, i));
      } else {
        entry.name.assign(reinterpret_cast<const char*>(bytes.data()) + place + 1, length);
      }
      entries.push_back(std::move(entry));
    }
  });
  return entries;
}

Result<InodeNumber> RawPool::Resolve(std::string_view path) {
  InodeNumber at(media::kRootInode);
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty() || name == ".") continue;
    const media::Inode inode = TRY(ReadInode(at));
    if (!S_ISDIR(inode.mode)) return Failure(ENOTDIR);
    if (name == "..") {
      at = InodeNumber(inode.parent);
      continue;
    }
    const std::vector<Entry> entries = ReadDirectory(inode);
    const auto found = std::ranges::find(entries, name, &Entry::name);
    if (found == entries.end()) return Failure(ENOENT);
    at = found->inode;
  }
  return at;
}

}  // namespace ingot::admin
