// SPDX-License-Identifier: BSD-3-Clause
// Extents as records of a tree: encoding, checks, merging and cutting. No media of its own.
#include "fs/core/extent_map.h"

#include <algorithm>
#include <array>

#include <absl/container/inlined_vector.h>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

constexpr uint32_t kStartBits = 48;
constexpr uint64_t kStartMask = (uint64_t{1} << kStartBits) - 1;
constexpr uint64_t kLengthMask = media::kMaxExtentPages - 1;
constexpr uint64_t kUnwrittenBit = uint64_t{1} << 63;
constexpr uint64_t kMaxFilePages = media::kMaxFileSize / kPageSize;
// What one more removal may add to a transaction's groups: that of the piece, and those of two
// nodes.
constexpr size_t kGroupsPerRemoval = 3;

// `behind` goes on where `before` ends, in both spaces.
bool RunsOn(const Extent& before, const Extent& behind) {
  return before.end() == behind.file_page && before.start + before.pages == behind.start &&
         before.unwritten == behind.unwritten && GroupOf(before.start) == GroupOf(behind.start);
}

// The part of `extent` in [first, end); it isn't empty.
Extent Clip(const Extent& extent, FilePage first, FilePage end) {
  const FilePage from = std::max(extent.file_page, first);
  const FilePage to = std::min(extent.end(), end);
  Extent piece = extent;
  piece.file_page = from;
  piece.start = extent.start + (from - extent.file_page);
  piece.pages = static_cast<uint32_t>(to - from);
  return piece;
}

using GroupSet = absl::InlinedVector<GroupIndex, Allocator::kMaxGroupsPerTransaction>;

void AddGroup(GroupSet& groups, GroupIndex group) {
  if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
}

}  // namespace

Extent Extent::Decode(const media::Record& record) {
  Extent extent;
  extent.file_page = FilePage(record.key);
  extent.start = LogicalPage(record.value & kStartMask);
  extent.pages = static_cast<uint32_t>(record.value >> kStartBits & kLengthMask) + 1;
  extent.unwritten = (record.value & kUnwrittenBit) != 0;
  return extent;
}

media::Record Extent::Encode() const {
  CHECK(pages >= 1 && pages <= media::kMaxExtentPages && start.value <= kStartMask,
        "{} pages from {}", pages, start.value);
  return {file_page.value,
          start.value | uint64_t{pages - 1} << kStartBits | (unwritten ? kUnwrittenBit : 0)};
}

Result<std::optional<Extent>> ExtentMap::Checked(const media::Inode& inode,
                                                 const std::optional<media::Record>& record) const {
  if (!record) return std::nullopt;
  const Extent extent = Extent::Decode(*record);
  const Geometry& geometry = reader_.device().geometry();
  if (record->key >= kMaxFilePages || extent.pages > kMaxFilePages - record->key ||
      !geometry.Contains(extent.start) ||
      !geometry.ContainsWithinGroup(OffsetOf(extent.start), extent.pages * kPageSize))
      [[unlikely]] {
    return Failure(EUCLEAN, fmt::format("inode {}: extent at page {}", inode.number, record->key));
  }
  return extent;
}

Result<ExtentMap::Neighbours> ExtentMap::Around(Transaction* transaction, const media::Inode& inode,
                                                FilePage page) const {
  std::array<media::Record, 2> records;
  const size_t count = transaction == nullptr ? TRY(tree_.Read(inode, page.value, records))
                           : TRY(tree_.Read(*transaction, inode, page.value, records));
                           Neighbours found;
                           if (count == 0) return found;
                           found.before = TRY(Checked(inode, records[0]));
                           if (found.before->file_page > page) {  // nothing is before it
                             found.behind = found.before;
                             found.before.reset();
                           } else if (count > 1) {
                             found.behind = TRY(Checked(inode, records[1]));
                           }
                           // Whatever the nodes say: what is behind is behind.
                           if ((found.behind && found.behind->file_page <= page) ||
                               (found.before && found.behind &&
                                found.before->end() > found.behind->file_page)) {
                             return Failure(
                                 EUCLEAN, fmt::format("inode {}: extents overlap at page {}",
                                                      inode.number, found.behind->file_page.value));
                           }
                           return found;
}

Result<std::optional<Extent>> ExtentMap::FindIn(Transaction* transaction, const media::Inode& inode,
                                                FilePage page) const {
  const Neighbours around = TRY(Around(transaction, inode, page));
  return around.before && around.before->end() > page ? around.before : around.behind;
}

Result<std::optional<Extent>> ExtentMap::Find(const media::Inode& inode, FilePage page) const {
  return FindIn(nullptr, inode, page);
}

Result<std::optional<Extent>> ExtentMap::Find(Transaction& transaction, const media::Inode& inode,
                                              FilePage page) const {
  return FindIn(&transaction, inode, page);
}

Result<std::optional<Extent>> ExtentMap::Last(const media::Inode& inode) const {
  return Checked(inode, TRY(tree_.FindAtOrBefore(inode, UINT64_MAX)));
}

Result<void> ExtentMap::Insert(Transaction& transaction, media::Inode& inode, const Extent& extent,
                               bool from_reserve) {
  CHECK(GroupOf(extent.start) == GroupOf(extent.start + (extent.pages - 1)),
        "{} pages from {} cross a group", extent.pages, extent.start.value);
  const Neighbours around = TRY(Around(&transaction, inode, extent.file_page));
  if ((around.before && around.before->end() > extent.file_page) ||
      (around.behind && around.behind->file_page < extent.end())) {
    return Failure(EUCLEAN, fmt::format("inode {}: page {} is mapped already", inode.number,
                                        extent.file_page.value));
  }
  Extent merged = extent;
  const bool joins_behind = around.behind && RunsOn(extent, *around.behind);
  if (joins_behind) merged.pages += around.behind->pages;
  if (around.before && RunsOn(*around.before, extent)) {
    merged.file_page = around.before->file_page;
    merged.start = around.before->start;
    merged.pages += around.before->pages;
    if (joins_behind) {
      TRY(tree_.Erase(transaction, inode, around.behind->file_page.value));
    }
    return tree_.Update(transaction, inode, merged.file_page.value, merged.Encode());
  }
  if (joins_behind) {
    return tree_.Update(transaction, inode, around.behind->file_page.value, merged.Encode());
  }
  return tree_.Insert(transaction, inode, merged.Encode(), from_reserve);
}

Result<void> ExtentMap::CutOut(Transaction& transaction, media::Inode& inode, const Extent& extent,
                               const Extent& piece) {
  const uint64_t key = extent.file_page.value;
  const bool keeps_front = extent.file_page < piece.file_page;
  const bool keeps_back = piece.end() < extent.end();
  if (!keeps_front && !keeps_back) return tree_.Erase(transaction, inode, key);
  if (keeps_front) {
    const Extent front = Clip(extent, extent.file_page, piece.file_page);
    TRY(tree_.Update(transaction, inode, key, front.Encode()));
  }
  if (!keeps_back) return {};
  const media::Record back = Clip(extent, piece.end(), extent.end()).Encode();
  if (keeps_front) return tree_.Insert(transaction, inode, back, true);
  return tree_.Update(transaction, inode, key, back);
}

Result<ExtentMap::Removed> ExtentMap::Remove(Transaction& transaction, media::Inode& inode,
                                             FilePage first, uint64_t pages) {
  const FilePage end = first + std::min(pages, UINT64_MAX - first.value);
  Removed removed;
  GroupSet groups;
  FilePage at = first;
  while (at < end) {
    const std::optional<Extent> extent = TRY(FindIn(&transaction, inode, at));
    if (!extent || extent->file_page >= end) {
      removed.done = pages;
      return removed;
    }
    at = std::max(at, extent->file_page);
    // A piece's group may be among the transaction's already; counting it twice only stops earlier.
    if (!transaction.HasRoom() || transaction.group_count() + groups.size() + kGroupsPerRemoval >
                                      Allocator::kMaxGroupsPerTransaction) {
      break;
    }
    const Extent piece = Clip(*extent, at, end);
    TRY(CutOut(transaction, inode, *extent, piece));
    removed.pieces.push_back(piece);
    AddGroup(groups, GroupOf(piece.start));
    at = piece.end();
  }
  removed.done = at == end ? pages : at - first;
  return removed;
}

Result<bool> ExtentMap::MoveBorder(Transaction& transaction, media::Inode& inode,
                                   const Extent& extent, uint32_t pages) {
  if (extent.file_page.value == 0) return false;
  const Neighbours around = TRY(Around(&transaction, inode, extent.file_page - 1));
  if (!around.before) return false;
  Extent before = *around.before;
  Extent written = Clip(extent, extent.file_page, extent.file_page + pages);
  written.unwritten = false;
  if (!RunsOn(before, written)) return false;
  before.pages += pages;
  TRY(CutOut(transaction, inode, extent, written));
  TRY(tree_.Update(transaction, inode, before.file_page.value, before.Encode()));
  return true;
}

Result<void> ExtentMap::MarkWritten(Transaction& transaction, media::Inode& inode, FilePage first,
                                    uint64_t pages) {
  const FilePage end = first + std::min(pages, UINT64_MAX - first.value);
  FilePage at = first;
  while (at < end) {
    const std::optional<Extent> extent = TRY(FindIn(&transaction, inode, at));
    if (!extent || extent->file_page >= end) return {};
    at = std::min(extent->end(), end);
    if (!extent->unwritten) continue;
    Extent piece = Clip(*extent, first, end);
    // A file that is written from front to back in preallocated space: no record comes or goes.
    if (piece.file_page == extent->file_page && piece.pages < extent->pages &&
        TRY(MoveBorder(transaction, inode, *extent, piece.pages))) {
      continue;
    }
    TRY(CutOut(transaction, inode, *extent, piece));
    piece.unwritten = false;
    TRY(Insert(transaction, inode, piece, true));
  }
  return {};
}

}  // namespace ingot
