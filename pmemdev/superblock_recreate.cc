// SPDX-License-Identifier: BSD-3-Clause
// A superblock made again from its witnesses: lane headers say UUID and seeds, group entries
// confirm that the layout which the mapping's size gives is the pool's. Reads only.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "pmemdev/group_table.h"
#include "pmemdev/lane_header.h"
#include "pmemdev/superblock.h"

namespace ingot {
namespace {

// The header that most lanes agree on, if more than half of all do.
std::optional<media::LaneHeader> AgreedHeader(const Mapping& mapping) {
  // Features too: one damaged lane must not make a device pool part of a directory.
  std::map<std::pair<media::Uuid, uint64_t>, uint32_t> votes;
  std::optional<media::LaneHeader> agreed;
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    const Result<media::LaneHeader> header = ReadLaneHeader(mapping, lane);
    if (!header.has_value() || header->lane_count != media::kLaneCount) continue;
    const std::pair vote(header->uuid, header->features_incompatible);
    if (++votes[vote] > media::kLaneCount / 2) agreed = *header;
  }
  return agreed;
}

// True if more than half of the groups, and the first and the last, have entries of this pool.
bool GroupsAgree(const Mapping& mapping, const Geometry& geometry, const media::Uuid& uuid) {
  const GroupTable table(mapping, geometry, uuid);
  const uint64_t count = geometry.group_count();
  if (!table.Read(GroupIndex(0)).has_value() || !table.Read(GroupIndex(count - 1)).has_value()) {
    return false;
  }
  uint64_t valid = 0;
  for (GroupIndex group(0); group.value < count; ++group) {
    if (table.Read(group).has_value()) ++valid;
  }
  return valid > count / 2;
}

}  // namespace

Result<media::Superblock> RecreateSuperblock(const Mapping& mapping) {
  const std::optional<media::LaneHeader> header = AgreedHeader(mapping);
  if (!header.has_value()) {
    return Failure(EUCLEAN, "superblock: too few lane headers agree to make it again");
  }
  if (header->format_version != media::kFormatVersion) {
    return Failure(ENOTSUP, fmt::format("format version {}, this program knows {}",
                                        header->format_version, media::kFormatVersion));
  }
  const uint64_t unknown = header->features_incompatible & ~media::kFeaturesIncompatible;
  if (unknown != 0) {
    return Failure(ENOTSUP, fmt::format("unknown incompatible features {:#x}", unknown));
  }
  const Geometry geometry = TRY(Geometry::ForRegion(mapping.size_bytes()));
  if (!GroupsAgree(mapping, geometry, header->uuid)) {
    return Failure(EUCLEAN, "superblock: too few group entries agree to make it again");
  }
  media::Superblock superblock{};
  superblock.magic = media::kSuperblockMagic;
  superblock.format_version = media::kFormatVersion;
  superblock.sequence = 1;
  superblock.uuid = header->uuid;
  superblock.region_size_bytes = geometry.region_size_bytes();
  superblock.logical_page_count = geometry.page_count();
  superblock.page_size_bytes = static_cast<uint32_t>(kPageSize);
  superblock.lane_count = media::kLaneCount;
  superblock.created_seconds = header->created_seconds;
  superblock.hash_seed = header->hash_seed;
  superblock.features_incompatible = header->features_incompatible;
  Seal(superblock);
  return superblock;
}

}  // namespace ingot
