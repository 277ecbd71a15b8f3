// SPDX-License-Identifier: BSD-3-Clause
// What the file_*.cc share: small questions about an inode, and the walk over a range of a file.
//
// Internal to FileData and its helpers. Callers hold the inode lock; nothing here takes locks. What
// is stored goes through the caller's transaction.
#pragma once

#include <algorithm>
#include <limits>

#include "fs/core/core.h"

namespace ingot {

inline constexpr FilePage kNoFilePage{std::numeric_limits<uint64_t>::max() / kPageSize};

[[nodiscard]] constexpr FilePage FilePageOf(uint64_t offset) {
  return FilePage(offset / kPageSize);
}
[[nodiscard]] constexpr uint64_t OffsetOf(FilePage page) {
  return page.value * kPageSize;
}
// The page behind the last one that holds a byte below `end`.
[[nodiscard]] constexpr FilePage EndPageOf(uint64_t end) {
  return FilePage(end / kPageSize + (end % kPageSize != 0 ? 1 : 0));
}

// Where byte `offset` of the file lies; the extent holds it.
[[nodiscard]] inline LogicalOffset AddressIn(const Extent& extent, uint64_t offset) {
  return OffsetOf(extent.start) + (offset - OffsetOf(extent.file_page));
}
[[nodiscard]] inline bool Holds(const std::optional<Extent>& extent, FilePage page) {
  return extent && extent->file_page <= page;
}

// Space or memory ran out: what was done of a write or copy until then is its result.
[[nodiscard]] constexpr bool IsShortage(int code) {
  return code == ENOSPC || code == ENOMEM;
}

// EISDIR for directories, EINVAL for others that are not regular.
Result<void> CheckRegular(const media::Inode& inode);
// How many bytes of contents the tail can hold.
[[nodiscard]] uint64_t InlineRoom(const media::Inode& inode);
[[nodiscard]] bool IsAtomic(const Core& core, const media::Inode& inode);
// Makes `bytes` the inline contents, or the inode empty.
void StoreInline(media::Inode& inode, std::span<const std::byte> bytes);

// One contiguous part of a file's range.
struct FilePart {
  uint64_t offset = 0;  // in the file
  uint64_t size_bytes = 0;
  LogicalOffset at;      // not for zeros
  bool is_zeros = true;  // a hole or unwritten
};

// The first part of [offset, end), which isn't empty. Not for inline contents.
inline Result<FilePart> FirstPart(const ExtentMap& extents, const media::Inode& inode,
                                  uint64_t offset, uint64_t end) {
  const FilePage page = FilePageOf(offset);
  const std::optional<Extent> extent = TRY(extents.Find(inode, page));
  FilePart part;
  part.offset = offset;
  part.size_bytes = end - offset;
  if (Holds(extent, page)) {
    part.size_bytes = std::min(end, OffsetOf(extent->end())) - offset;
    part.is_zeros = extent->unwritten;
    if (!part.is_zeros) part.at = AddressIn(*extent, offset);
  } else if (extent) {
    part.size_bytes = std::min(end, OffsetOf(extent->file_page)) - offset;
  }
  return part;
}

// How many of `size_bytes` at `at`, in one group, come before a page that is known to be bad.
[[nodiscard]] inline uint64_t BytesBeforeBadPage(const Device& device, LogicalOffset at,
                                                 uint64_t size_bytes) {
  if (!device.bad_pages().any()) [[likely]] return size_bytes;
  const uint64_t head = at.value % kPageSize;
  const uint64_t pages = RoundUp(head + size_bytes, kPageSize) / kPageSize;
  const uint64_t good = device.bad_pages().GoodFrom(PageOf(at), pages);
  return good == 0 ? 0 : std::min(good * kPageSize - head, size_bytes);
}

// Calls `visit(const FilePart&) -> Result<void>` for [offset, end), in order. Not for inline
// contents.
template <typename Visit>
Result<void> ForEachPart(const ExtentMap& extents, const media::Inode& inode, uint64_t offset,
                         uint64_t end, Visit&& visit) {
  while (offset < end) {
    const FilePart part = TRY(FirstPart(extents, inode, offset, end));
    TRY(visit(part));
    offset += part.size_bytes;
  }
  return {};
}

// Guarded read of [offset, offset + to.size()), inside the file, whatever its form. EIO: poisoned.
Result<void> ReadRange(const Core& core, const media::Inode& inode, uint64_t offset,
                       std::span<std::byte> to);

// Zeroes what the last page holds behind the end of the file, up to `until`: before a greater size
// shows it. In place even where data is copy-on-write, for nobody can see those bytes.
Result<void> ZeroOldTail(const Core& core, Transaction& transaction, const media::Inode& inode,
                         uint64_t until);

// Frees the data pages of [first, end) as far as the transaction has room; returns where it
// stopped.
Result<FilePage> FreeRange(Core& core, Transaction& transaction, media::Inode& inode,
                           FilePage first, FilePage end);

// Copies medium bytes that a claim holds exclusively. EIO: the source is poisoned.
Result<void> CopyWithin(const Core& core, Transaction& transaction, LogicalOffset from,
                        LogicalOffset to, uint64_t size_bytes);

}  // namespace ingot
