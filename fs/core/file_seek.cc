// SPDX-License-Identifier: BSD-3-Clause
// Where data and holes are. Unwritten space is a hole: it reads as zeros. Reads only.
#include <unistd.h>

#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"

namespace ingot {
namespace {

// The first offset >= `offset` whose part is (not) zeros; `size` if there is none.
Result<uint64_t> FindPart(const ExtentMap& extents, const media::Inode& inode, uint64_t offset,
                          bool zeros) {
  const uint64_t size = inode.size_bytes;
  if (inode.body_form == media::BodyForm::kInline) return zeros ? size : offset;
  while (offset < size) {
    const FilePage page = FilePageOf(offset);
    const std::optional<Extent> extent = TRY(extents.Find(inode, page));
    const bool is_zeros = !Holds(extent, page) || extent->unwritten;
    if (is_zeros == zeros) return offset;
    if (!extent) return size;
    offset = OffsetOf(Holds(extent, page) ? extent->end() : extent->file_page);
  }
  return size;
}

}  // namespace

Result<uint64_t> FileData::SeekData(InodeNumber number, uint64_t offset) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  TRY(CheckRegular(inode));
  if (inode.body_form == media::BodyForm::kBacked) {
    return TRY(core_.FileOf(inode))->Seek(offset, SEEK_DATA);
  }
  if (offset >= inode.size_bytes) return Failure(ENXIO);
  const uint64_t found = TRY(FindPart(core_.extents, inode, offset, false));
  if (found >= inode.size_bytes) return Failure(ENXIO);
  return found;
}

Result<uint64_t> FileData::SeekHole(InodeNumber number, uint64_t offset) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  TRY(CheckRegular(inode));
  if (inode.body_form == media::BodyForm::kBacked) {
    return TRY(core_.FileOf(inode))->Seek(offset, SEEK_HOLE);
  }
  if (offset >= inode.size_bytes) return Failure(ENXIO);
  return FindPart(core_.extents, inode, offset, true);
}

Result<std::vector<Extent>> FileData::Extents(InodeNumber number, FilePage page, size_t max) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  std::vector<Extent> extents;
  if (inode.body_form != media::BodyForm::kTree) return extents;
  while (extents.size() < max) {
    const std::optional<Extent> extent = TRY(core_.extents.Find(inode, page));
    if (!extent) break;
    extents.push_back(*extent);
    page = extent->end();
  }
  return extents;
}

}  // namespace ingot
