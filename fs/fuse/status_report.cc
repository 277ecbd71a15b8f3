// SPDX-License-Identifier: BSD-3-Clause
// user.ingot.status: the mount as its daemon sees it.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "fs/core/huge_pages.h"
#include "fs/core/piece_completion.h"
#include "fs/fuse/introspection.h"
#include "fs/fuse/json_text.h"
#include "fs/fuse/session.h"
#include "pmemdev/superblock.h"

namespace ingot {
namespace {

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

const char* NameOfDirect(DirectMode direct) {
  switch (direct) {
    case DirectMode::kAuto:
      return "auto";
    case DirectMode::kAlways:
      return "always";
    case DirectMode::kNever:
      return "never";
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

void DescribeDevice(JsonText& report, Device& device) {
  const media::Superblock& superblock = device.superblock();
  const auto label_end = std::find(superblock.label.begin(), superblock.label.end(), '\0');
  report.BeginObject("device");
  report.Add("uuid", FormatUuid(superblock.uuid));
  report.Add("label", std::string(superblock.label.begin(), label_end));
  report.Add("format_version", superblock.format_version);
  report.Add("region_bytes", superblock.region_size_bytes);
  report.Add("medium", NameOfMedium(device.mapping().medium()));
  report.Add("granularity", NameOfGranularity(device.mapping().granularity()));
  const PageArray& pages = device.page_array();
  const bool on_device = pages.placement() == PageArrayPlacement::kDevice;
  report.Add("page_array", on_device ? "device" : "dram");
  report.Add("page_array_groups", pages.initialised_groups());
  report.Add("page_array_dram_bytes", pages.populated_bytes());
  report.Add("writable", device.writable() && !device.mapping().read_only());
  if (!device.writable()) report.Add("read_only_reason", device.read_only_reason());
  const auto poisoned = device.poisoned_pages();
  report.Add("poisoned_pages", poisoned.size());
  if (!poisoned.empty()) {
    report.BeginArray("poisoned");
    for (size_t i = 0; i < std::min(poisoned.size(), kMaxPoisonedShown); ++i) {
      const bool is_media_error = poisoned[i].kind == FaultKind::kMediaError;
      report.BeginObject();
      report.Add("media", poisoned[i].at.value);
      report.Add("kind", is_media_error ? "media_error" : "host_hole");
      report.EndObject();
    }
    report.EndArray();
  }
  report.EndObject();
}

// The process's own, in user and in kernel mode, in microseconds.
std::pair<uint64_t, uint64_t> ProcessorTime() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
  };
  return {microseconds(usage.ru_utime), microseconds(usage.ru_stime)};
}

// What went to the medium so far: of names, attributes and extent files. The kernel's own reads and
// writes of backed files are in nobody's sum.
void DescribePersist(JsonText& report, Device& device) {
  const PersistCounts counts = device.persist().counts();
  report.BeginObject("persist");
  report.Add("stores", counts.stores);
  report.Add("bytes", counts.bytes);
  report.Add("lines_flushed", counts.flushes);
  report.Add("fences", counts.fences);
  report.Add("msyncs", counts.msyncs);
  report.EndObject();
}

void DescribeSpace(JsonText& report, Volume& volume) {
  const VolumeStatistics counts = volume.Statistics();
  report.BeginObject("space");
  report.Add("total_bytes", counts.total_bytes);
  report.Add("free_bytes", counts.free_bytes);
  report.Add("available_bytes", counts.available_bytes);
  report.Add("free_huge_pages", counts.free_huge_pages);
  report.Add("total_inodes", counts.total_inodes);
  report.Add("free_inodes", counts.free_inodes);
  Allocator& allocator = *volume.core().allocator;
  const SpaceCounts pages = allocator.Count();
  report.Add("region_free_bytes", pages.free_pages * kPageSize);  // for all but backed files
  report.Add("bad_bytes", pages.bad_pages * kPageSize);           // neither free nor anybody's
  report.Add("orphans", pages.orphans);
  report.Add("damaged_groups", allocator.damaged_groups());
  report.EndObject();
}

void DescribeMount(JsonText& report, Session& session) {
  const MountOptions& options = session.options();
  report.BeginObject("mount");
  report.Add("mountpoint", options.mountpoint);
  report.Add("pid", getpid());
  report.Add("started", session.started());
  const auto [user_us, system_us] = ProcessorTime();
  report.Add("user_us", user_us);
  report.Add("system_us", system_us);
  report.Add("read_only", options.volume.read_only);
  report.Add("atime", NameOfAtime(options.volume.atime));
  report.Add("atomic", options.volume.atomic);
  report.Add("cache", options.cache == CacheMode::kNone ? "none" : "small");
  report.Add("direct", NameOfDirect(options.volume.direct));
  report.Add("transport", session.negotiated().io_uring ? "io_uring" : "dev_fuse");
  report.Add("threads", session.threads());
  report.Add("spin_us", session.spin_us());
  report.Add("protocol_minor", session.negotiated().protocol_minor);
  report.BeginArray("capabilities");
  for (const auto& name : session.negotiated().capabilities) report.Add({}, name);
  report.EndArray();
  report.Add("shut_down", session.is_shut_down());
  report.EndObject();
}

void DescribeRequests(JsonText& report, Session& session) {
  report.BeginObject("requests");
  const auto counts = session.activity().Counts();
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) report.Add(NameOf(static_cast<Operation>(i)), counts[i]);
  }
  report.EndObject();
}

// Of the files that are open past the daemon now: how much of them is mapped by huge pages.
void DescribeDirect(JsonText& report, Session& session) {
  const Passthrough* const passthrough = session.passthrough();
  if (passthrough == nullptr) return;
  const std::string why_not = passthrough->WhyNot();
  report.BeginObject("direct");
  report.Add("possible", why_not.empty());
  if (!why_not.empty()) report.Add("why_not", why_not);
  report.Add("handles", passthrough->handles());
  const auto files = passthrough->OpenFiles();
  HugePageCount sums;
  for (const auto& file : files) {
    const Result<HugePageCount> counts = CountHugePages(*file);
    if (!counts) continue;
    sums.data_bytes += counts->data_bytes;
    sums.huge_bytes += counts->huge_bytes;
  }
  report.Add("open_files", files.size());
  report.Add("open_data_bytes", sums.data_bytes);
  report.Add("open_huge_page_bytes", sums.huge_bytes);
  const BackingLedger& ledger = session.volume().core().backing->ledger();
  report.Add("files_to_delete_or_spare", ledger.Listed().size());
  report.Add("completed_pieces", session.volume().data().completion().completed());
  report.EndObject();
}

}  // namespace

std::string StatusReport(Session& session) {
  JsonText report;
  report.BeginObject();
  report.Add("pool", session.options().pool_path);
  DescribeDevice(report, session.volume().device());
  DescribePersist(report, session.volume().device());
  DescribeSpace(report, session.volume());
  DescribeMount(report, session);
  DescribeDirect(report, session);
  DescribeRequests(report, session);
  report.EndObject();
  return report.Take();
}

}  // namespace ingot
