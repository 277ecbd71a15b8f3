// SPDX-License-Identifier: BSD-3-Clause
// Shared parts of FileData: reads and stores that several operations need.
#include "fs/core/file_parts.h"

#include <sys/stat.h>

#include <array>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot {

Result<void> CheckRegular(const media::Inode& inode) {
  if (S_ISDIR(inode.mode)) return Failure(EISDIR);
  if (!S_ISREG(inode.mode)) return Failure(EINVAL);
  return {};
}

uint64_t InlineRoom(const media::Inode& inode) {
  return media::kInodeTailSize - inode.xattr_bytes;
}

bool IsAtomic(const Core& core, const media::Inode& inode) {
  return core.options.atomic || (inode.flags & media::kInodeAtomic) != 0;
}

void StoreInline(media::Inode& inode, std::span<const std::byte> bytes) {
  CHECK(bytes.size() <= InlineRoom(inode), "{} bytes inline", bytes.size());
  if (!bytes.empty()) std::memmove(inode.tail.data(), bytes.data(), bytes.size());
  std::fill_n(inode.tail.begin() + static_cast<std::ptrdiff_t>(bytes.size()),
              InlineRoom(inode) - bytes.size(), std::byte{0});
  inode.body_bytes = static_cast<uint16_t>(bytes.size());
  inode.body_form = bytes.empty() ? media::BodyForm::kEmpty : media::BodyForm::kInline;
  inode.tree_height = 0;
  inode.size_bytes = bytes.size();
}

Result<void> ReadRange(const Core& core, const media::Inode& inode, uint64_t offset,
                       std::span<std::byte> to) {
  if (inode.body_form == media::BodyForm::kInline) {
    CHECK(offset + to.size() <= inode.body_bytes, "inline read at {}", offset);
    std::memcpy(to.data(), inode.tail.data() + offset, to.size());
    return {};
  }
  const auto read_part = [&](const FilePart& part) -> Result<void> {
    const std::span<std::byte> target = to.subspan(part.offset - offset, part.size_bytes);
    if (!part.is_zeros) return core.device.Read(part.at, target);
    std::memset(target.data(), 0, target.size());
    return {};
  };
  return ForEachPart(core.extents, inode, offset, offset + to.size(), read_part);
}

Result<void> ZeroOldTail(const Core& core, Transaction& transaction, const media::Inode& inode,
                         uint64_t until) {
  const uint64_t size = inode.size_bytes;
  if (until <= size || size % kPageSize == 0) return {};
  if (inode.body_form != media::BodyForm::kTree) return {};
  const FilePage page = FilePageOf(size);
  const std::optional<Extent> extent = TRY(core.extents.Find(transaction, inode, page));
  if (!Holds(extent, page) || extent->unwritten) return {};
  const uint64_t end = std::min(until, OffsetOf(page + 1));
  return transaction.stream().ZeroUnfenced(Geometry::ToMedia(AddressIn(*extent, size)), end - size);
}

Result<FilePage> FreeRange(Core& core, Transaction& transaction, media::Inode& inode,
                           FilePage first, FilePage end) {
  // One extent at a time: HasRoom() vouches for one more group, and a piece lies in one.
  while (first < end) {
    const std::optional<Extent> extent = TRY(core.extents.Find(transaction, inode, first));
    if (!extent || extent->file_page >= end) return end;
    if (!transaction.HasRoom()) break;
    first = std::max(first, extent->file_page);
    const uint64_t pages = std::min(end, extent->end()) - first;
    const ExtentMap::Removed removed = TRY(core.extents.Remove(transaction, inode, first, pages));
    for (const Extent& piece : removed.pieces) {
      if (inode.page_count < piece.pages) {
        return Failure(EUCLEAN, fmt::format("inode {}: page count", inode.number));
      }
      TRY(transaction.Free(piece.start, piece.pages));
      inode.page_count -= piece.pages;
    }
    if (removed.done == 0) break;
    first += removed.done;
  }
  return first;
}

Result<void> CopyWithin(const Core& core, Transaction& transaction, LogicalOffset from,
                        LogicalOffset to, uint64_t size_bytes) {
  alignas(kCacheLineSize) std::array<std::byte, 4 * kPageSize> buffer;
  while (size_bytes > 0) {
    const uint64_t count = std::min<uint64_t>(size_bytes, buffer.size());
    const std::span<std::byte> piece(buffer.data(), count);
    TRY(core.device.Read(from, piece));
    TRY(transaction.stream().CopyUnfenced(Geometry::ToMedia(to), piece));
    from += count;
    to += count;
    size_bytes -= count;
  }
  return {};
}

}  // namespace ingot
