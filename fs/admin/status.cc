// SPDX-License-Identifier: BSD-3-Clause
// status, info, map. Mounted pools speak for themselves.
#include "fs/admin/status.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>

#include <fmt/format.h>

#include "fs/admin/mounts.h"
#include "fs/core/pool_path.h"
#include "fs/core/shared_space.h"

namespace ingot::admin {
namespace {

constexpr const char* kStatusAttribute = "user.ingot.status";
constexpr const char* kMapAttribute = "user.ingot.map";
constexpr size_t kMaxAttributeBytes = 65536;  // XATTR_SIZE_MAX of the kernel

Result<Json> ReadJsonAttribute(const std::string& path, const char* name) {
  std::string text(kMaxAttributeBytes, '\0');
  const ssize_t size = getxattr(path.c_str(), name, text.data(), text.size());
  if (size < 0) return FailureFromErrno(name);
  text.resize(static_cast<size_t>(size));
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return Failure(EPROTO, fmt::format("{}: not JSON", name));
  return json;
}

// Of directory pools: whether users' mappings are of the medium, and what is lost where they
// aren't. The region lies beside the large files: as it is mapped, so are they. (A device with DAX
// doesn't say it all: a host filesystem that is mounted elsewhere as well has that mount's
// options.)
void AddHost(Json& json, const std::string& pool) {
  struct stat status {};
  if (stat(pool.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISCHR(status.st_mode))
    return;
  const std::string medium = json.value("device", Json::object()).value("medium", "");
  const bool dax = medium == NameOf(Medium::kFsDax);
  Json host{{"dax", dax}};
  const bool is_block_device = S_ISBLK(status.st_mode);
  if (is_block_device) {
    const auto found = ReadHostDevice(pool);
    if (!found || !*found) return;
    host["filesystem"] = NameOf((*found)->kind);
    host["uuid"] = (*found)->uuid;
  }
  if (!dax && medium != NameOf(Medium::kMemory)) {
    std::string why = "the host filesystem is used without DAX";
    if (is_block_device) {
      why = DeviceOffersDax(pool) ? "the host filesystem is mounted elsewhere, without dax"
                                  : "the device has no DAX";
    }
    host["lost"] = fmt::format("{}: mappings share the host's page cache, in 4 KiB pages", why);
  }
  json["host"] = std::move(host);
}

Result<Json> StatusOfMount(const MountEntry& mount) {
  Json json{{"pool", mount.source}, {"mounted", true}, {"mountpoint", mount.mountpoint}};
  const Json answer = TRY(ReadJsonAttribute(mount.mountpoint, kStatusAttribute));
  if (!answer.is_object()) return Failure(EPROTO, "the daemon's answer is no object");
  json.update(answer);
  AddHost(json, mount.source);
  return json;
}

std::string LabelOf(const media::Superblock& superblock) {
  return {superblock.label.begin(), std::ranges::find(superblock.label, '\0')};
}

Result<Json> DescribeSpace(Allocator& allocator, bool is_directory_pool) {
  const SpaceCounts counts = allocator.Count();
  Json json;
  if (is_directory_pool) {
    const SharedSpace shared = TRY(CountSharedSpace(allocator.device(), counts));
    json["total_bytes"] = shared.total_bytes;
    json["free_bytes"] = shared.free_bytes;
    json["available_bytes"] = shared.available_bytes;
  } else {
    json["total_bytes"] = counts.total_pages * kPageSize;
    json["free_bytes"] = counts.free_pages * kPageSize;
    json["available_bytes"] =
        (counts.free_pages - std::min(counts.free_pages, counts.reserve_pages)) * kPageSize;
  }
  json["free_huge_pages"] = counts.free_huge_pages;
  json["orphans"] = counts.orphans;
  json["damaged_groups"] = allocator.damaged_groups();
  return json;
}

Json DescribeDevice(const Device& device) {
  const media::Superblock& superblock = device.superblock();
  const Mapping& mapping = device.mapping();
  Json json;
  json["uuid"] = FormatUuid(superblock.uuid);
  json["label"] = LabelOf(superblock);
  json["format_version"] = superblock.format_version;
  json["region_bytes"] = superblock.region_size_bytes;
  json["medium"] = NameOf(mapping.medium());
  json["granularity"] = NameOf(mapping.granularity());
  // What a mount would choose by itself.
  json["page_array"] = mapping.medium() == Medium::kFile ? "dram" : "device";
  json["poisoned_pages"] = device.poisoned_pages().size();
  return json;
}

Json DescribeJournal(const ReplayReport& journal) {
  return {{"needs_recovery", journal.valid_lanes != 0},
          {"pending_transactions", journal.valid_lanes},
          {"unreadable_lanes", journal.unreadable_lanes}};
}

// Read-only, with the lock that readers share; without it if the pool is in use.
Result<std::unique_ptr<Mapping>> MapForReading(const std::string& path, bool& in_use) {
  MappingOptions options;
  options.read_only = true;
  Result<std::unique_ptr<Mapping>> mapping = Mapping::Open(path, options);
  in_use = mapping.error_code() == EBUSY;
  if (!in_use) return mapping;
  options.take_lock = false;
  return Mapping::Open(path, options);
}

Result<Json> StatusOfPool(const std::string& path) {
  const PoolPath pool = TRY(ResolvePool(path));
  bool in_use = false;
  std::unique_ptr<Mapping> mapping = TRY(MapForReading(pool.region, in_use));
  DeviceOptions options;
  options.replay = false;
  std::unique_ptr<Device> device = TRY(Device::Open(std::move(mapping), options));
  TRY(CheckPoolKind(pool, device->superblock()));
  const std::unique_ptr<Allocator> allocator = TRY(Allocator::Open(*device));
  Json json{{"pool", path}, {"mounted", false}, {"in_use", in_use}};
  json["device"] = DescribeDevice(*device);
  AddHost(json, path);
  json["space"] = TRY(DescribeSpace(*allocator, !pool.directory.empty()));
  json["journal"] = DescribeJournal(device->replay_report());
  return json;
}

}  // namespace

Result<Json> Status(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return FailureFromErrno(path);
  std::optional<MountEntry> mount = TRY(FindMountOfPool(path));
  if (!mount.has_value()) mount = TRY(FindMountOf(path));
  if (mount.has_value()) return StatusOfMount(*mount);
  if (S_ISDIR(status.st_mode) && ResolvePool(path).error_code() == ENOENT) {
    return Failure(EINVAL,
                   "it lies in no ingot mount and holds no pool. Hint: ingot status lists "
                   "all mounts");
  }
  return StatusOfPool(path);
}

Result<Json> StatusOfAllMounts() {
  const std::vector<MountEntry> mounts = TRY(IngotMounts());
  Json all = Json::array();
  for (const MountEntry& mount : mounts) {
    const Result<Json> status = StatusOfMount(mount);
    if (status.has_value()) {
      all.push_back(*status);
    } else {
      all.push_back({{"pool", mount.source},
                     {"mounted", true},
                     {"mountpoint", mount.mountpoint},
                     {"error", Describe(status.error())}});
    }
  }
  return all;
}

Result<Json> Info(const std::string& pool_path) {
  const PoolPath pool = TRY(ResolvePool(pool_path));
  MappingOptions options;
  options.read_only = true;
  options.take_lock = false;
  const std::unique_ptr<Mapping> mapping = TRY(Mapping::Open(pool.region, options));
  const SuperblockScan scan = TRY(ReadSuperblocks(*mapping));
  const media::Superblock& superblock = scan.best;
  TRY(CheckPoolKind(pool, superblock));
  const Geometry geometry = TRY(Geometry::ForRegion(superblock.region_size_bytes));
  Json json{{"pool", pool_path}};
  json["label"] = LabelOf(superblock);
  json["uuid"] = FormatUuid(superblock.uuid);
  json["format_version"] = superblock.format_version;
  json["features_compatible"] = superblock.features_compatible;
  json["features_read_only_compatible"] = superblock.features_read_only_compatible;
  json["features_incompatible"] = superblock.features_incompatible;
  json["created_seconds"] = superblock.created_seconds;
  json["region_bytes"] = superblock.region_size_bytes;
  json["logical_bytes"] = superblock.logical_page_count * kPageSize;
  json["page_bytes"] = superblock.page_size_bytes;
  json["huge_page_bytes"] = kHugePageSize;
  json["groups"] = geometry.group_count();
  json["lanes"] = superblock.lane_count;
  json["medium"] = NameOf(mapping->medium());
  json["granularity"] = NameOf(mapping->granularity());
  json["superblock_copies"] = std::ranges::count(scan.same, true);
  return json;
}

Result<Json> Map(const std::string& file_path) {
  const std::optional<MountEntry> mount = TRY(FindMountOf(file_path));
  if (!mount.has_value()) {
    return Failure(ENOTSUP, "it lies in no ingot mount. Hint: name a file below a mount point");
  }
  Json json{{"file", file_path}};
  const Json answer = TRY(ReadJsonAttribute(file_path, kMapAttribute));
  if (!answer.is_object()) return Failure(EPROTO, "the daemon's answer is no object");
  json.update(answer);
  const uint64_t held =
      json.value("data_bytes", uint64_t{0}) + json.value("unwritten_bytes", uint64_t{0});
  const uint64_t huge = json.value("huge_page_bytes", uint64_t{0});
  json["huge_page_share"] = held == 0 ? 0.0 : static_cast<double>(huge) / static_cast<double>(held);
  return json;
}

const char* NameOf(Medium medium) {
  switch (medium) {
    case Medium::kDevDax:
      return "devdax";
    case Medium::kFsDax:
      return "fsdax";
    case Medium::kMemory:
      return "memory";
    case Medium::kFile:
      return "file";
  }
  return "unknown";
}

const char* NameOf(Granularity granularity) {
  switch (granularity) {
    case Granularity::kByte:
      return "byte";
    case Granularity::kCacheLine:
      return "cache_line";
    case Granularity::kPage:
      return "page";
  }
  return "unknown";
}

}  // namespace ingot::admin
