// SPDX-License-Identifier: BSD-3-Clause
// Holes, edges and copies of host files.
#include "fs/core/backed_data.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "fs/core/file_data.h"
#include "pmemdev/base/ids.h"

namespace ingot::backed {
namespace {

// What is stored in [offset, end) is zeros: holes stay holes.
Result<void> ZeroStored(BackingFile& file, uint64_t offset, uint64_t end) {
  while (offset < end) {
    const Part part = TRY(FirstPart(file, offset, end));
    if (!part.is_hole) TRY(WriteZeros(file, offset, offset + part.size_bytes));
    offset += part.size_bytes;
  }
  return {};
}

}  // namespace

Result<Part> FirstPart(const BackingFile& file, uint64_t offset, uint64_t end) {
  const Result<uint64_t> data = file.Seek(offset, SEEK_DATA);
  if (data.error_code() == ENXIO) return Part{end - offset, true};
  if (!data) return tl::unexpected<Error>(data.error());
  if (*data > offset) return Part{std::min(*data, end) - offset, true};
  const uint64_t hole = TRY(file.Seek(offset, SEEK_HOLE));
  return Part{std::min(std::max(hole, offset + 1), end) - offset, false};
}

Result<void> WriteZeros(BackingFile& file, uint64_t offset, uint64_t end) {
  // Only read, so that it is the kernel's page of zeros. As large as a piece: what is written at
  // once, hosts note at once.
  static std::array<std::byte, kHugePageSize> zeros;
  while (offset < end) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(zeros.size(), end - offset));
    const uint64_t written = TRY(file.Write(offset, std::span(zeros).first(count)));
    if (written == 0) return Failure(EIO, "a backing file takes no more bytes");
    offset += written;
  }
  return {};
}

Result<void> Clear(BackingFile& file, uint64_t offset, uint64_t end) {
  const auto size = static_cast<uint64_t>(TRY(file.Stat()).st_size);
  const uint64_t first = RoundUp(offset, kHugePageSize);
  const uint64_t last = RoundDown(end, kHugePageSize);
  if (first >= last) return ZeroStored(file, offset, std::min(end, size));
  // Space behind the end of the file (KEEP_SIZE) goes as well.
  TRY(file.Punch(first, last - first));
  TRY(ZeroStored(file, offset, std::min(first, size)));
  return ZeroStored(file, last, std::min(end, size));
}

Result<void> Fallocate(BackingFile& file, uint32_t mode, uint64_t offset, uint64_t size_bytes) {
  const bool keeps_size = (mode & kFallocateKeepSize) != 0;
  if ((mode & kFallocatePunchHole) != 0) return Clear(file, offset, offset + size_bytes);
  if ((mode & kFallocateZeroRange) != 0) TRY(Clear(file, offset, offset + size_bytes));
  return file.Allocate(offset, size_bytes, !keeps_size);
}

}  // namespace ingot::backed
