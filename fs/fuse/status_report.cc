// SPDX-License-Identifier: BSD-3-Clause
// user.ingot.status: the mount as its daemon sees it.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "fs/fuse/introspection.h"
#include "fs/fuse/session.h"
#include "pmemdev/superblock.h"

namespace ingot {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxPoisonedShown = 64;

const char* NameOfMedium(Medium medium) {
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

const char* NameOfGranularity(Granularity granularity) {
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

const char* NameOfAtime(AtimeMode mode) {
  switch (mode) {
    case AtimeMode::kRelative:
      return "relatime";
    case AtimeMode::kNever:
      return "noatime";
    case AtimeMode::kStrict:
      return "strictatime";
  }
  return "unknown";
}

ordered_json DescribeDevice(Device& device) {
  const media::Superblock& superblock = device.superblock();
  const auto label_end = std::find(superblock.label.begin(), superblock.label.end(), '\0');
  ordered_json report;
  report["uuid"] = FormatUuid(superblock.uuid);
  report["label"] = std::string(superblock.label.begin(), label_end);
  report["format_version"] = superblock.format_version;
  report["region_bytes"] = superblock.region_size_bytes;
  report["medium"] = NameOfMedium(device.mapping().medium());
  report["granularity"] = NameOfGranularity(device.mapping().granularity());
  const PageArray& pages = device.page_array();
  const bool on_device = pages.placement() == PageArrayPlacement::kDevice;
  report["page_array"] = on_device ? "device" : "dram";
  report["page_array_groups"] = pages.initialised_groups();
  report["page_array_dram_bytes"] = pages.populated_bytes();
  report["writable"] = device.writable() && !device.mapping().read_only();
  if (!device.writable()) report["read_only_reason"] = device.read_only_reason();
  const auto poisoned = device.poisoned_pages();
  report["poisoned_pages"] = poisoned.size();
  if (!poisoned.empty()) {
    ordered_json places = ordered_json::array();
    for (const PoisonedPage& page : poisoned) {
      if (places.size() == kMaxPoisonedShown) break;
      places.push_back(
          {{"media", page.at.value},
           {"kind", page.kind == FaultKind::kMediaError ? "media_error" : "host_hole"}});
    }
    report["poisoned"] = std::move(places);
  }
  return report;
}

ordered_json DescribeSpace(Volume& volume) {
  const VolumeStatistics counts = volume.Statistics();
  ordered_json report;
  report["total_bytes"] = counts.total_bytes;
  report["free_bytes"] = counts.free_bytes;
  report["available_bytes"] = counts.available_bytes;
  report["free_huge_pages"] = counts.free_huge_pages;
  report["total_inodes"] = counts.total_inodes;
  report["free_inodes"] = counts.free_inodes;
  Allocator& allocator = *volume.core().allocator;
  const SpaceCounts pages = allocator.Count();
  report["bad_bytes"] = pages.bad_pages * kPageSize;  // neither free nor anybody's
  report["orphans"] = pages.orphans;
  report["damaged_groups"] = allocator.damaged_groups();
  return report;
}

ordered_json DescribeMount(Session& session) {
  const MountOptions& options = session.options();
  ordered_json report;
  report["mountpoint"] = options.mountpoint;
  report["pid"] = getpid();
  report["started"] = session.started();
  report["read_only"] = options.volume.read_only;
  report["atime"] = NameOfAtime(options.volume.atime);
  report["atomic"] = options.volume.atomic;
  report["cache"] = options.cache == CacheMode::kNone ? "none" : "small";
  report["direct"] = options.direct == DirectMode::kNever ? "never" : "auto";
  report["transport"] = session.negotiated().io_uring ? "io_uring" : "dev_fuse";
  report["threads"] = session.threads();
  report["spin_us"] = session.spin_us();
  report["protocol_minor"] = session.negotiated().protocol_minor;
  report["capabilities"] = session.negotiated().capabilities;
  report["shut_down"] = session.is_shut_down();
  return report;
}

ordered_json DescribeRequests(Session& session) {
  ordered_json report = ordered_json::object();
  const auto counts = session.activity().Counts();
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) report[std::string(NameOf(static_cast<Operation>(i)))] = counts[i];
  }
  return report;
}

}  // namespace

std::string StatusReport(Session& session) {
  ordered_json report;
  report["pool"] = session.options().pool_path;
  report["device"] = DescribeDevice(session.volume().device());
  report["space"] = DescribeSpace(session.volume());
  report["mount"] = DescribeMount(session);
  report["requests"] = DescribeRequests(session);
  // Paths and labels may be any bytes; a report must not fail because of them.
  return report.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace ingot
