// SPDX-License-Identifier: BSD-3-Clause
// The host's extents, by FIEMAP (Documentation/filesystems/fiemap.rst).
#include "fs/core/partial_pieces.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "fs/core/backed_data.h"
#include "pmemdev/base/ids.h"

namespace ingot {
namespace {

// What lies elsewhere than it says, or is somebody else's, too.
constexpr uint32_t kNotInPlace = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_ENCODED |
                                 FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_DATA_INLINE |
                                 FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_SHARED;

struct HostExtent {
  uint64_t begin;
  uint64_t end;
  uint64_t medium_offset;  // of `begin`
  uint32_t flags;
  [[nodiscard]] bool is_written() const { return (flags & FIEMAP_EXTENT_UNWRITTEN) == 0; }
};

// The host's list of what is allocated in a range, some at a time.
class ExtentList {
 public:
  ExtentList(const BackingFile& file, uint64_t begin, uint64_t end)
      : file_(file), next_(begin), end_(end), buffer_(kHeaderBytes + kAtOnce * kExtentBytes) {}

  // The next one, which may reach over the range's ends; nothing behind the last.
  Result<std::optional<HostExtent>> Next() {
    if (at_ == count_) TRY(Fetch());
    if (at_ == count_) return std::nullopt;
    const fiemap_extent& extent = header()->fm_extents[at_++];
    return HostExtent{extent.fe_logical, extent.fe_logical + extent.fe_length, extent.fe_physical,
                      extent.fe_flags};
  }

 private:
  static constexpr uint32_t kAtOnce = 64;
  static constexpr size_t kHeaderBytes = sizeof(fiemap);
  static constexpr size_t kExtentBytes = sizeof(fiemap_extent);

  [[nodiscard]] fiemap* header() { return reinterpret_cast<fiemap*>(buffer_.data()); }

  Result<void> Fetch() {
    at_ = count_ = 0;
    if (next_ >= end_) return {};
    fiemap* const request = header();
    *request = fiemap{};
    request->fm_start = next_;
    request->fm_length = end_ - next_;
    request->fm_extent_count = kAtOnce;
    if (ioctl(file_.fd(), FS_IOC_FIEMAP, request) != 0) {
      return FailureFromErrno("FIEMAP of a backing file");
    }
    count_ = request->fm_mapped_extents;
    if (count_ == 0) {
      next_ = end_;
      return {};
    }
    const fiemap_extent& last = request->fm_extents[count_ - 1];
    next_ = (last.fe_flags & FIEMAP_EXTENT_LAST) != 0 ? end_ : last.fe_logical + last.fe_length;
    return {};
  }

  const BackingFile& file_;
  uint64_t next_;
  const uint64_t end_;
  std::vector<std::byte> buffer_;
  uint32_t at_ = 0;
  uint32_t count_ = 0;
};

// What the extents say of one piece, told one after the other.
class Piece {
 public:
  explicit Piece(uint64_t offset) : offset_(offset), allocated_end_(offset) {}

  [[nodiscard]] uint64_t offset() const { return offset_; }
  [[nodiscard]] uint64_t end() const { return offset_ + kHugePageSize; }

  // An extent, or as much of it as lies in here.
  void Add(const HostExtent& extent) {
    const uint64_t place = extent.medium_offset - (extent.begin - offset_);
    const bool is_first = !has_written_ && !has_unwritten_;
    if (is_first) place_ = place;
    const bool is_in_place = (extent.flags & kNotInPlace) == 0 && place % kHugePageSize == 0;
    is_in_place_ = is_in_place_ && is_in_place && place == place_;
    has_hole_ = has_hole_ || extent.begin > allocated_end_;
    allocated_end_ = std::max(allocated_end_, extent.end);
    (extent.is_written() ? has_written_ : has_unwritten_) = true;
  }
  [[nodiscard]] bool IsCompletable(bool fills_holes) const {
    const bool has_hole = has_hole_ || allocated_end_ < end();
    const bool is_partial = has_written_ && (has_unwritten_ || has_hole);
    return is_partial && is_in_place_ && (fills_holes || !has_hole);
  }

 private:
  uint64_t offset_;
  uint64_t allocated_end_;
  uint64_t place_ = 0;  // of the piece's first byte on the medium
  bool is_in_place_ = true;
  bool has_written_ = false;
  bool has_unwritten_ = false;
  bool has_hole_ = false;
};

Result<void> WriteMissing(BackingFile& file, uint64_t offset, uint64_t end) {
  uint64_t filled_end = offset;
  ExtentList extents(file, offset, end);
  // (The list is of before: what is written meanwhile joins its neighbours in the next one.)
  while (const std::optional<HostExtent> extent = TRY(extents.Next())) {
    if (extent->begin >= end) break;
    if (!extent->is_written()) continue;
    if (extent->begin > filled_end) TRY(backed::WriteZeros(file, filled_end, extent->begin));
    filled_end = std::max(filled_end, extent->end);
  }
  if (filled_end < end) TRY(backed::WriteZeros(file, filled_end, end));
  return {};
}

}  // namespace

// Pieces that lie wholly in one extent are not partial: only the first and the last of each extent
// have to be looked at.
Result<PieceSearch> FindPartialPiece(const BackingFile& file, uint64_t offset, uint64_t end,
                                     bool fills_holes) {
  constexpr uint32_t kMaxExtents = 2048;  // several pieces' at least: a piece has 512 blocks
  const uint64_t last_end = RoundDown(end, kHugePageSize);
  ExtentList extents(file, offset, last_end);
  Piece piece(offset);
  const auto is_found = [&] { return piece.end() <= last_end && piece.IsCompletable(fills_holes); };
  uint32_t count = 0;
  while (const std::optional<HostExtent> extent = TRY(extents.Next())) {
    const uint64_t first = std::max(RoundDown(extent->begin, kHugePageSize), offset);
    const uint64_t last = RoundDown(extent->end - 1, kHugePageSize);
    for (uint64_t at = first; at <= last; at = at == last ? last + kHugePageSize : last) {
      if (at > piece.offset()) {
        if (is_found()) return PieceSearch{piece.offset(), piece.offset()};
        if (count > kMaxExtents) return PieceSearch{std::nullopt, at};
        piece = Piece(at);
      }
      piece.Add(*extent);
    }
    ++count;
  }
  if (is_found()) return PieceSearch{piece.offset(), piece.offset()};
  return PieceSearch{std::nullopt, end};
}

Result<void> CompletePiece(BackingFile& file, uint64_t offset) {
  const struct stat before = TRY(file.Stat());
  const Result<void> written = WriteMissing(file, offset, offset + kHugePageSize);
  struct timespec unchanged {};
  unchanged.tv_nsec = UTIME_OMIT;
  const Result<void> times = file.SetTimes(unchanged, before.st_mtim);
  return written ? times : written;
}

}  // namespace ingot
