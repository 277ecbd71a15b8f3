// SPDX-License-Identifier: BSD-3-Clause
// mkfs of the device layer. Old superblocks go first and new ones come last, each fenced, so that a
// crash in between leaves no valid pool, above all no old pool over new tables.
#include <sys/random.h>

#include <algorithm>
#include <ctime>

#include "pmemdev/base/check.h"
#include "pmemdev/device.h"
#include "pmemdev/erase_labels.h"

namespace ingot {
namespace {

template <typename T>
Result<T> Random() {
  T value{};
  if (getrandom(&value, sizeof(value), 0) != static_cast<ssize_t>(sizeof(value))) {
    return FailureFromErrno("getrandom");
  }
  return value;
}

Result<media::Superblock> NewSuperblock(const Geometry& geometry,
                                        const DeviceFormatOptions& options) {
  media::Superblock superblock{};
  if (options.label.size() >= superblock.label.size()) {
    return Failure(EINVAL, "a label has at most 31 bytes");
  }
  superblock.magic = media::kSuperblockMagic;
  superblock.format_version = media::kFormatVersion;
  superblock.sequence = 1;
  superblock.uuid = options.uuid == media::Uuid{} ? TRY(RandomUuid()) : options.uuid;
  superblock.features_incompatible = options.features_incompatible;
  superblock.region_size_bytes = geometry.region_size_bytes();
  superblock.logical_page_count = geometry.page_count();
  superblock.page_size_bytes = static_cast<uint32_t>(kPageSize);
  superblock.lane_count = media::kLaneCount;
  superblock.created_seconds =
      options.created_seconds != 0 ? options.created_seconds : std::time(nullptr);
  superblock.hash_seed = options.hash_seed != 0 ? options.hash_seed : TRY(Random<uint64_t>());
  std::ranges::copy(options.label, superblock.label.begin());
  Seal(superblock);
  return superblock;
}

// Everything that mount stores to without asking for space first.
Result<void> AllocateFixedParts(const Mapping& mapping, const Geometry& geometry) {
  TRY(mapping.AllocateHostSpace(MediaOffset(0), media::kLabelSize + media::kLanesSize));
  for (GroupIndex group(0); group.value < geometry.group_count(); group += media::kGroupsPerTable) {
    TRY(mapping.AllocateHostSpace(Geometry::GroupEntryAt(group), media::kGroupTableSize));
  }
  return mapping.AllocateHostSpace(Geometry::SuperblockCopy(2, geometry.region_size_bytes()),
                                   media::kLabelSize);
}

// All of a pool but what makes it one.
Result<media::Superblock> FormatWithoutSuperblocks(const Mapping& mapping,
                                                   const DeviceFormatOptions& options) {
  if (mapping.read_only()) return Failure(EROFS, "formatting a read-only mapping");
  const Geometry geometry = TRY(Geometry::ForRegion(mapping.size_bytes()));
  const media::Superblock superblock = TRY(NewSuperblock(geometry, options));
  TRY(AllocateFixedParts(mapping, geometry));
  Persist persist(mapping);
  TRY(EraseLabels(mapping));
  const GroupTable table(mapping, geometry, superblock.uuid);
  TRY(table.WriteFresh(persist, GroupIndex(0), geometry.group_count()));
  TRY(Journal::Format(persist, superblock));
  return superblock;
}

}  // namespace

Result<media::Uuid> RandomUuid() {
  media::Uuid uuid = TRY(Random<media::Uuid>());
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x40);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
  return uuid;
}

Result<void> EraseLabels(const Mapping& mapping) {
  Persist persist(mapping);
  PersistStream stream = persist.NewStream();
  TRY(stream.ZeroUnfenced(MediaOffset(0), media::kLabelSize));
  TRY(stream.ZeroUnfenced(Geometry::SuperblockCopy(2, mapping.size_bytes()), media::kLabelSize));
  return stream.Fence();
}

Result<void> Device::Format(const Mapping& mapping, const DeviceFormatOptions& options) {
  const media::Superblock superblock = TRY(FormatWithoutSuperblocks(mapping, options));
  Persist persist(mapping);
  return WriteSuperblocks(persist, superblock);
}

Result<std::unique_ptr<Device>> Device::Create(std::unique_ptr<Mapping> mapping,
                                               const DeviceFormatOptions& options,
                                               const std::function<Result<void>(Device&)>& fill) {
  const media::Superblock superblock = TRY(FormatWithoutSuperblocks(*mapping, options));
  std::unique_ptr<Device> device = TRY(Assemble(std::move(mapping), superblock, {}));
  device->journal_ = TRY(
      Journal::Open(*device->mapping_, device->geometry_, *device->persist_, device->superblock_));
  TRY(fill(*device));
  TRY(WriteSuperblocks(*device->persist_, superblock));
  return device;
}

}  // namespace ingot
