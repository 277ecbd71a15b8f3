// SPDX-License-Identifier: BSD-3-Clause
// Where the structs of a pool are, found by what they say of themselves, and their checksums.
#include <bit>
#include <cstring>

#include "fs/core/blocks.h"
#include "fs/core/xattr_blob.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/group_table.h"
#include "pmemdev/journal_record.h"
#include "pmemdev/superblock.h"
#include "tests/fuzz/sample_pool.h"

namespace ingot::tests {
namespace {

template <typename T>
T& At(std::byte* pool, MediaOffset at) {
  return *reinterpret_cast<T*>(pool + at.value);
}

uint32_t Size32(uint64_t size_bytes) {
  return static_cast<uint32_t>(size_bytes);
}

class Finder {
 public:
  Finder(const std::byte* pool, uint64_t size_bytes)
      : pool_(pool), size_bytes_(size_bytes), geometry_(Geometry::ForRegion(size_bytes).value()) {}

  std::vector<Site> All() {
    for (GroupIndex group(0); group.value < geometry_.group_count(); ++group) FindInGroup(group);
    for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
      Add(SiteKind::kSuperblock, Geometry::SuperblockCopy(copy, size_bytes_),
          sizeof(media::Superblock), copy);
    }
    for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
      Add(SiteKind::kLaneHeader, Geometry::Lane(lane), sizeof(media::LaneHeader), lane);
      Add(SiteKind::kLaneRecord, RecordPlace(lane), sizeof(media::LaneRecord) + 256, lane);
    }
    return std::move(sites_);
  }

 private:
  void Add(SiteKind kind, MediaOffset at, uint64_t size_bytes, uint64_t index) {
    sites_.push_back({kind, at, Size32(size_bytes), index});
  }

  void FindInGroup(GroupIndex group) {
    Add(SiteKind::kGroupEntry, Geometry::GroupEntryAt(group), sizeof(media::GroupEntry),
        group.value);
    for (uint32_t i = 0; i < geometry_.PagesIn(group); ++i) {
      FindInPage(FirstPageOf(group) + i, i);
    }
  }

  void FindInPage(LogicalPage page, uint32_t index_in_group) {
    const MediaOffset at = Geometry::ToMedia(page);
    if (index_in_group == media::kAllocatedBitmapPage) {
      return Add(SiteKind::kAllocatedBitmap, at, kPageSize, GroupOf(page).value);
    }
    if (index_in_group == media::kInodeBitmapPage) {
      return Add(SiteKind::kInodeBitmap, at, kPageSize, GroupOf(page).value);
    }
    media::BlockHeader header;
    std::memcpy(&header, pool_ + at.value, sizeof(header));
    if (header.page == page.value) {
      const uint32_t magic = header.magic;
      if (magic == media::kTreeNodeMagic) Add(SiteKind::kTreeNode, at, kPageSize, page.value);
      if (magic == media::kXattrMagic) Add(SiteKind::kXattrHead, at, kPageSize, page.value);
      if (magic == media::kDirectoryLeafMagic) {
        Add(SiteKind::kDirectoryLeaf, at, kPageSize, page.value);
      }
    }
    for (uint64_t slot = 0; slot < media::kInodesPerPage; ++slot) {
      const uint64_t number = page.value * media::kInodesPerPage + slot;
      const MediaOffset place = at + slot * media::kInodeSize;
      media::Inode inode;
      std::memcpy(&inode, pool_ + place.value, sizeof(inode));
      if (inode.magic == media::kInodeMagic && inode.number == number) {
        Add(SiteKind::kInode, place, sizeof(inode), number);
      }
    }
  }

  const std::byte* pool_;
  uint64_t size_bytes_;
  Geometry geometry_;
  std::vector<Site> sites_;
};

void SealGroupOf(std::byte* pool, GroupIndex group) {
  GroupTable::Seal(group, At<media::GroupEntry>(pool, Geometry::GroupEntryAt(group)));
}

// Of a blob that lies in the head itself.
void SealBlobInHead(std::byte* page) {
  auto& head = *reinterpret_cast<media::XattrHead*>(page);
  if (head.header.count != 0 || head.blob_bytes > media::kXattrInHeadBytes) return;
  head.blob_checksum = Crc32c(std::span(page + sizeof(head), head.blob_bytes));
}

void SealRecord(std::byte* pool, const Site& site) {
  auto& image = At<LaneImage>(pool, site.at);
  if (image.header.length_bytes > media::kLanePayloadSize) return;
  const auto& superblock = At<media::Superblock>(pool, MediaOffset(0));
  image.header.checksum = RecordChecksum(image, RecordSeed(superblock.uuid));
}

}  // namespace

std::vector<Site> FindSites(const std::byte* pool, uint64_t size_bytes) {
  return Finder(pool, size_bytes).All();
}

void SealSite(std::byte* pool, const Site& site) {
  const GroupIndex group(site.index);
  switch (site.kind) {
    case SiteKind::kInode: {
      auto& inode = At<media::Inode>(pool, site.at);
      inode.checksum = BlockChecksum(BytesOf(inode), offsetof(media::Inode, checksum), site.index);
      return;
    }
    case SiteKind::kXattrHead:
      SealBlobInHead(pool + site.at.value);
      [[fallthrough]];
    case SiteKind::kTreeNode:
    case SiteKind::kDirectoryLeaf:
      return SealBlock(LogicalPage(site.index), std::span(pool + site.at.value, kPageSize));
    case SiteKind::kGroupEntry:
      return SealGroupOf(pool, group);
    case SiteKind::kAllocatedBitmap:
    case SiteKind::kInodeBitmap: {
      auto& entry = At<media::GroupEntry>(pool, Geometry::GroupEntryAt(group));
      const uint32_t crc = Crc32c(std::span(pool + site.at.value, kPageSize));
      (site.kind == SiteKind::kInodeBitmap ? entry.inode_checksum : entry.allocated_checksum) = crc;
      return SealGroupOf(pool, group);
    }
    case SiteKind::kSuperblock:
      return Seal(At<media::Superblock>(pool, site.at));
    case SiteKind::kLaneHeader: {
      auto& header = At<media::LaneHeader>(pool, site.at);
      header.checksum =
          BlockChecksum(BytesOf(header), offsetof(media::LaneHeader, checksum), site.index);
      return;
    }
    case SiteKind::kLaneRecord:
      return SealRecord(pool, site);
    case SiteKind::kCount:
      return;
  }
}

}  // namespace ingot::tests
