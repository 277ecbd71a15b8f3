// SPDX-License-Identifier: BSD-3-Clause
// The superblock's copies: found, judged, written, put back.
#include "pmemdev/superblock.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "pmemdev/base/checksum.h"
#include "pmemdev/lane_header.h"

namespace ingot {
namespace {

uint32_t ChecksumOf(const media::Superblock& superblock) {
  return BlockChecksum(BytesOf(superblock), offsetof(media::Superblock, checksum), 0);
}

bool Equal(const media::Superblock& a, const media::Superblock& b) {
  return std::ranges::equal(BytesOf(a), BytesOf(b));
}

// What lies at one place: nothing readable, something with our magic, or a whole copy.
struct Candidate {
  int error = 0;
  bool magic = false;
  std::optional<media::Superblock> whole;
};

Candidate ReadCopy(const Mapping& mapping, MediaOffset at) {
  Candidate candidate;
  media::Superblock copy;
  if (const Result<void> read = mapping.Read(at, WritableBytesOf(copy)); !read.has_value()) {
    candidate.error = read.error_code();
    return candidate;
  }
  candidate.magic = copy.magic == media::kSuperblockMagic;
  if (candidate.magic && copy.checksum == ChecksumOf(copy)) candidate.whole = copy;
  return candidate;
}

bool Newer(const Candidate& a, const Candidate& b) {
  return a.whole.has_value() &&
         (!b.whole.has_value() || a.whole->sequence > b.whole->sequence);
}

// Why there is no whole copy: not a pool, a damaged one, or one that can't be read at all.
tl::unexpected<Error> NoneWhole(const Mapping& mapping, std::span<const Candidate> candidates) {
  if (std::ranges::any_of(candidates, &Candidate::magic) || AnyLaneHeader(mapping)) {
    return Failure(EUCLEAN, "all three superblocks are damaged. Hint: fsck.ingot re-creates them");
  }
  if (std::ranges::all_of(candidates, [](const Candidate& c) { return c.error != 0; })) {
    return Failure(EIO, "no superblock can be read");
  }
  return Failure(EINVAL, "not an ingot pool. Hint: mkfs.ingot makes one");
}

Result<void> CheckFacts(const Mapping& mapping, const media::Superblock& superblock) {
  if (superblock.format_version != media::kFormatVersion) {
    return Failure(ENOTSUP, fmt::format("format version {}, this program knows {}",
                                        superblock.format_version, media::kFormatVersion));
  }
  const uint64_t unknown = superblock.features_incompatible & ~media::kFeaturesIncompatible;
  if (unknown != 0) {
    return Failure(ENOTSUP, fmt::format("unknown incompatible features {:#x}", unknown));
  }
  if (superblock.page_size_bytes != kPageSize) {
    return Failure(ENOTSUP, fmt::format("page size {}, this program knows {}",
                                        superblock.page_size_bytes, kPageSize));
  }
  if (superblock.lane_count != media::kLaneCount) {
    return Failure(EUCLEAN, fmt::format("superblock: lane_count {}", superblock.lane_count));
  }
  const Result<Geometry> geometry = Geometry::ForRegion(superblock.region_size_bytes);
  if (!geometry.has_value() || superblock.region_size_bytes % kHugePageSize != 0) {
    return Failure(EUCLEAN,
                   fmt::format("superblock: region_size_bytes {}", superblock.region_size_bytes));
  }
  if (superblock.logical_page_count != geometry->page_count()) {
    return Failure(EUCLEAN,
                   fmt::format("superblock: logical_page_count {}", superblock.logical_page_count));
  }
  if (superblock.region_size_bytes > mapping.size_bytes()) {
    return Failure(ERANGE, fmt::format("the pool has {} bytes, the file only {}",
                                       superblock.region_size_bytes, mapping.size_bytes()));
  }
  return {};
}

}  // namespace

Result<SuperblockScan> ReadSuperblocksUnchecked(const Mapping& mapping) {
  const uint64_t size = mapping.size_bytes();
  std::array<Candidate, media::kSuperblockCopies> candidates;
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    candidates[copy] = ReadCopy(mapping, Geometry::SuperblockCopy(copy, size));
  }
  const auto newest = [&candidates]() -> const Candidate& {
    return *std::ranges::max_element(
        candidates, [](const Candidate& a, const Candidate& b) { return Newer(b, a); });
  };
  // A file that was enlarged, or is about to be a larger pool: the third copy is where the pool
  // ends.
  if (newest().whole.has_value()) {
    const uint64_t named = newest().whole->region_size_bytes;
    if (named != size && named >= media::kLabelSize && named <= size) {
      candidates[2] = ReadCopy(mapping, Geometry::SuperblockCopy(2, named));
    }
  }
  if (!newest().whole.has_value()) return NoneWhole(mapping, candidates);

  SuperblockScan scan;
  scan.best = *newest().whole;
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    scan.valid[copy] = candidates[copy].whole.has_value();
    scan.same[copy] = scan.valid[copy] && Equal(*candidates[copy].whole, scan.best);
  }
  return scan;
}

Result<SuperblockScan> ReadSuperblocks(const Mapping& mapping) {
  SuperblockScan scan = TRY(ReadSuperblocksUnchecked(mapping));
  TRY(CheckFacts(mapping, scan.best));
  return scan;
}

Result<void> WriteSuperblocks(Persist& persist, media::Superblock superblock) {
  Seal(superblock);
  PersistStream stream = persist.NewStream();
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    const MediaOffset at = Geometry::SuperblockCopy(copy, superblock.region_size_bytes);
    TRY(stream.CopyUnfenced(at, BytesOf(superblock)));
    TRY(stream.Fence());
  }
  return {};
}

Result<void> RestoreSuperblocks(Persist& persist, const SuperblockScan& scan) {
  PersistStream stream = persist.NewStream();
  Result<void> first_error;
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    if (scan.same[copy]) continue;
    const MediaOffset at = Geometry::SuperblockCopy(copy, scan.best.region_size_bytes);
    Result<void> written = stream.CopyUnfenced(at, BytesOf(scan.best));
    if (written.has_value()) written = stream.Fence();
    if (!written.has_value() && first_error.has_value()) first_error = std::move(written);
  }
  return first_error;
}

void Seal(media::Superblock& superblock) { superblock.checksum = ChecksumOf(superblock); }

std::string FormatUuid(const media::Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", uuid[i]);
  }
  return text;
}

}  // namespace ingot
