// SPDX-License-Identifier: BSD-3-Clause
// Lane headers read and judged. mkfs writes them (journal.cc); nothing here touches media.
#include "pmemdev/lane_header.h"

#include <fmt/format.h>

#include "pmemdev/base/checksum.h"
#include "pmemdev/geometry.h"

namespace ingot {

media::LaneHeader MakeLaneHeader(const media::Superblock& superblock, uint32_t lane) {
  media::LaneHeader header{};
  header.magic = media::kLaneMagic;
  header.format_version = media::kFormatVersion;
  header.uuid = superblock.uuid;
  header.lane_index = lane;
  header.lane_count = superblock.lane_count;
  header.hash_seed = superblock.hash_seed;
  header.created_seconds = superblock.created_seconds;
  header.features_incompatible = superblock.features_incompatible;
  header.checksum =
      BlockChecksum(BytesOf(header), offsetof(media::LaneHeader, checksum), lane);
  return header;
}

Result<media::LaneHeader> ReadLaneHeader(const Mapping& mapping, uint32_t lane) {
  media::LaneHeader header;
  TRY(mapping.Read(Geometry::Lane(lane), WritableBytesOf(header)));
  const uint32_t checksum =
      BlockChecksum(BytesOf(header), offsetof(media::LaneHeader, checksum), lane);
  if (header.magic != media::kLaneMagic || header.checksum != checksum ||
      header.lane_index != lane) {
    return Failure(EUCLEAN, fmt::format("lane {}: header", lane));
  }
  return header;
}

bool AnyLaneHeader(const Mapping& mapping) {
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    if (ReadLaneHeader(mapping, lane).has_value()) return true;
  }
  return false;
}

}  // namespace ingot
