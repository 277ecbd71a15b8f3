// SPDX-License-Identifier: BSD-3-Clause
// Reading: iovecs that point at the medium, and guarded copies. Stores nothing; no heap for eight
// pieces.
#include <sys/stat.h>

#include <array>
#include <cstring>

#include "fs/core/file_data.h"
#include "fs/core/file_parts.h"

namespace ingot {
namespace {

// What holes read as. Never written; its pages are the kernel's one page of zeros.
constexpr uint64_t kZerosSize = 1 << 20;
alignas(kPageSize) std::byte g_zeros[kZerosSize];

constexpr int64_t kSecondsPerDay = 24 * 60 * 60;

void AppendZeros(ReadView& view, uint64_t size_bytes) {
  while (size_bytes > 0) {
    const uint64_t count = std::min(size_bytes, kZerosSize);
    view.pieces.push_back({g_zeros, count});
    size_bytes -= count;
  }
}

bool IsAtimeStale(const Core& core, const media::Inode& inode) {
  if (core.options.read_only || core.options.atime == AtimeMode::kNever) return false;
  if ((inode.flags & media::kInodeNoAtime) != 0 || !core.device.writable()) return false;
  const Time atime{inode.atime_seconds, inode.atime_nanoseconds};
  const Time now = CurrentTime();
  if (core.options.atime == AtimeMode::kStrict) return atime != now;
  const Time mtime{inode.mtime_seconds, inode.mtime_nanoseconds};
  const Time ctime{inode.ctime_seconds, inode.ctime_nanoseconds};
  return atime <= mtime || atime <= ctime || now.seconds - atime.seconds >= kSecondsPerDay;
}

}  // namespace

Result<void> FileData::Read(InodeNumber number, uint64_t offset, uint64_t size_bytes,
                            ReadView& view) {
  view.lock.Release();  // a view may be used again; two locks at a time could deadlock
  view.lock = SharedInodeLock(core_.locks, number);
  view.pieces.clear();
  view.size_bytes = 0;
  view.file.reset();
  const Result<void> result = ReadLocked(number, offset, size_bytes, view);
  if (!result) view.lock.Release();
  return result;
}

Result<void> FileData::ReadLocked(InodeNumber number, uint64_t offset, uint64_t size_bytes,
                                  ReadView& view) const {
  const Result<media::Inode> found = core_.reader.ReadInode(number);
  if (!found) return Failure(found.error().code, found.error().context);
  const media::Inode& inode = *found;
  TRY(CheckRegular(inode));
  if (inode.body_form == media::BodyForm::kBacked) {
    view.file = TRY(core_.FileOf(inode));
    view.offset = offset;
    view.size_bytes = size_bytes;
    view.atime_is_stale = false;
    return {};
  }
  view.atime_is_stale = IsAtimeStale(core_, inode);
  if (offset >= inode.size_bytes) return {};
  size_bytes = std::min(size_bytes, inode.size_bytes - offset);

  if (inode.body_form == media::BodyForm::kInline) {
    std::memcpy(view.inline_bytes.data(), inode.tail.data() + offset, size_bytes);
    view.pieces.push_back({view.inline_bytes.data(), size_bytes});
  } else {
    const auto add_piece = [&](const FilePart& part) -> Result<void> {
      if (part.is_zeros) {
        AppendZeros(view, part.size_bytes);
      } else {
        // An extent lies in one group, where logical space is contiguous. iovec has no const.
        view.pieces.push_back(
            {const_cast<std::byte*>(core_.device.Pointer(part.at)), part.size_bytes});
      }
      return {};
    };
    TRY(ForEachPart(core_.extents, inode, offset, offset + size_bytes, add_piece));
  }
  view.size_bytes = size_bytes;
  return {};
}

Result<uint64_t> FileData::ReadInto(InodeNumber number, uint64_t offset, std::span<std::byte> to) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInode(number));
  if (!S_ISLNK(inode.mode)) TRY(CheckRegular(inode));
  if (inode.body_form == media::BodyForm::kBacked) {
    return TRY(core_.FileOf(inode))->Read(offset, to);
  }
  if (offset >= inode.size_bytes) return 0;
  to = to.first(std::min<uint64_t>(to.size(), inode.size_bytes - offset));
  TRY(ReadRange(core_, inode, offset, to));
  return to.size();
}

}  // namespace ingot
