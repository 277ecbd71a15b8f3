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

// Is [piece, piece + 2 MiB) partly written, and in one place of the medium that a single entry can
// map?
Result<bool> IsCompletable(const BackingFile& file, uint64_t piece, bool fills_holes) {
  const uint64_t end = piece + kHugePageSize;
  ExtentList extents(file, piece, end);
  uint64_t allocated_end = piece;
  std::optional<uint64_t> place;  // of the piece's first byte
  bool has_written = false;
  bool has_unwritten = false;
  bool has_hole = false;
  while (const std::optional<HostExtent> extent = TRY(extents.Next())) {
    if (extent->begin >= end) break;
    const uint64_t here = extent->medium_offset - (extent->begin - piece);
    if ((extent->flags & kNotInPlace) != 0 || here % kHugePageSize != 0) return false;
    if (place.value_or(here) != here) return false;
    place = here;
    has_hole = has_hole || extent->begin > allocated_end;
    (extent->is_written() ? has_written : has_unwritten) = true;
    allocated_end = extent->end;
  }
  has_hole = has_hole || allocated_end < end;
  if (has_hole && !fills_holes) return false;
  return has_written && (has_unwritten || has_hole);
}

}  // namespace

Result<std::optional<uint64_t>> FindPartialPiece(const BackingFile& file, uint64_t offset,
                                                 uint64_t end, bool fills_holes) {
  const uint64_t last = RoundDown(end, kHugePageSize);
  ExtentList extents(file, offset, end);
  uint64_t next = offset;  // pieces before are decided
  const auto try_piece = [&](uint64_t at) -> Result<bool> {
    const uint64_t piece = RoundDown(at, kHugePageSize);
    if (piece < next || piece >= last) return false;
    next = piece + kHugePageSize;
    return IsCompletable(file, piece, fills_holes);
  };
  // Wherever it changes whether something is written, inside of a piece, the piece is partial.
  uint64_t written_end = offset;
  while (const std::optional<HostExtent> extent = TRY(extents.Next())) {
    if (!extent->is_written()) continue;
    const uint64_t begin = std::max(extent->begin, offset);
    if (begin != written_end) {
      for (const uint64_t edge : {written_end, begin}) {
        if (edge % kHugePageSize != 0 && TRY(try_piece(edge))) {
          return RoundDown(edge, kHugePageSize);
        }
      }
    }
    written_end = std::min(extent->end, end);
  }
  if (written_end % kHugePageSize != 0 && TRY(try_piece(written_end))) {
    return RoundDown(written_end, kHugePageSize);
  }
  return std::nullopt;
}

Result<void> CompletePiece(BackingFile& file, uint64_t offset) {
  const struct stat before = TRY(file.Stat());
  const uint64_t end = offset + kHugePageSize;
  uint64_t filled_end = offset;
  ExtentList extents(file, offset, end);
  // (The list is of before: what is written meanwhile joins its neighbours in the next one.)
  while (const std::optional<HostExtent> extent = TRY(extents.Next())) {
    if (!extent->is_written()) continue;
    if (extent->begin >= end) break;
    if (extent->begin > filled_end) TRY(backed::WriteZeros(file, filled_end, extent->begin));
    filled_end = std::max(filled_end, extent->end);
  }
  if (filled_end < end) TRY(backed::WriteZeros(file, filled_end, end));
  struct timespec unchanged {};
  unchanged.tv_nsec = UTIME_OMIT;
  return file.SetTimes(unchanged, before.st_mtim);
}

}  // namespace ingot
