// SPDX-License-Identifier: BSD-3-Clause
// From a mapping to a device where that needs help: no superblock is left, or lanes can't be used.
//
// Each step is durable before the next, and doing it again after a crash goes on: superblocks are
// made again from what nothing here changes, and lanes are formatted one by one.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "fs/check/check.h"
#include "pmemdev/journal.h"
#include "pmemdev/superblock.h"

namespace ingot::check {
namespace {

void Note(OpenedPool& pool, FindingKind kind, std::string text, bool repaired) {
  pool.findings.push_back({kind, std::move(text), {}, repaired});
}

bool SuperblocksAreLost(const Mapping& mapping) {
  const int code = ReadSuperblocks(mapping).error_code();
  return code == EUCLEAN || code == EIO;
}

Result<void> RestoreLostSuperblocks(const Mapping& mapping, OpenedPool& pool) {
  const media::Superblock superblock = TRY(RecreateSuperblock(mapping));
  Persist persist(mapping);
  TRY(WriteSuperblocks(persist, superblock));
  Note(pool, FindingKind::kSuperblocksLost,
       "all superblocks were lost; made again from journal and groups", true);
  return {};
}

// Formats lanes that can't be read or whose records name impossible places: their transactions,
// which nobody can tell any more, are lost.
Result<void> MendLanes(const Mapping& mapping, OpenedPool& pool, bool repair) {
  const SuperblockScan scan = TRY(ReadSuperblocks(mapping));
  const Geometry geometry = TRY(Geometry::ForRegion(scan.best.region_size_bytes));
  Persist persist(mapping);
  const auto journal = TRY(Journal::Open(mapping, geometry, persist, scan.best));
  for (uint32_t lane = 0; lane < scan.best.lane_count; ++lane) {
    const auto runs = journal->Decode(lane);
    if (runs || runs.error_code() == ENOENT) {
      pool.needs_recovery |= runs.has_value();
      continue;
    }
    Note(pool, FindingKind::kLaneDamaged, Describe(runs.error()), repair);
    if (repair) TRY(Journal::FormatLane(persist, scan.best, lane));
  }
  return {};
}

// Two valid lanes that hold one word: no order of replay is right. The older ones go.
Result<void> DropClashingLanes(const Mapping& mapping, OpenedPool& pool, bool repair) {
  const SuperblockScan scan = TRY(ReadSuperblocks(mapping));
  const Geometry geometry = TRY(Geometry::ForRegion(scan.best.region_size_bytes));
  Persist persist(mapping);
  const auto journal = TRY(Journal::Open(mapping, geometry, persist, scan.best));
  if (journal->Inspect().error_code() != EUCLEAN) return {};
  for (uint32_t lane = 0; lane < scan.best.lane_count; ++lane) {
    if (!journal->Decode(lane)) continue;
    Note(pool, FindingKind::kLaneDamaged,
         fmt::format("journal lane {}: its transaction clashes with another lane's", lane), repair);
    if (!repair) continue;
    TRY(Journal::FormatLane(persist, scan.best, lane));
    if (journal->Inspect().error_code() != EUCLEAN) return {};
  }
  return {};
}

}  // namespace

Result<OpenedPool> OpenForCheck(std::unique_ptr<Mapping> mapping, const CheckOptions& options) {
  OpenedPool pool;
  const bool repair = options.mode == CheckMode::kRepair;
  // A private copy may be mended in a report too: nobody will see it.
  const bool writable = mapping->writable_base() != nullptr;
  if (options.rebuild_superblock && writable && SuperblocksAreLost(*mapping)) {
    TRY(RestoreLostSuperblocks(*mapping, pool));
  }
  TRY(MendLanes(*mapping, pool, writable));
  TRY(DropClashingLanes(*mapping, pool, writable));
  for (Finding& finding : pool.findings) finding.repaired = repair;
  const Result<SuperblockScan> scan = ReadSuperblocks(*mapping);
  for (uint32_t copy = 0; scan && copy < media::kSuperblockCopies; ++copy) {
    // Opening puts it back.
    if (scan->same[copy] || !writable) continue;
    Note(pool, FindingKind::kSuperblockCopy,
         fmt::format("superblock copy {}: {}", copy,
                     scan->valid[copy] ? "differs from the newest" : "damaged"),
         repair);
  }
  DeviceOptions device_options;
  device_options.page_array = PageArrayChoice::kDram;
  pool.device = TRY(Device::Open(std::move(mapping), device_options));
  return pool;
}

void AddFindings(CheckReport& report, std::vector<Finding> findings, const CheckOptions& options) {
  report.found += findings.size();
  if (options.mode == CheckMode::kReport) report.remaining += findings.size();
  for (const Finding& finding : findings) {
    ++report.counts_by_kind[static_cast<size_t>(finding.kind)];
  }
  report.findings.insert(report.findings.begin(), std::make_move_iterator(findings.begin()),
                         std::make_move_iterator(findings.end()));
}

Result<CheckReport> CheckPool(std::unique_ptr<Mapping> mapping, const CheckOptions& options) {
  return NoThrow([&]() -> Result<CheckReport> {
    OpenedPool pool = TRY(OpenForCheck(std::move(mapping), options));
    CheckReport report = TRY(Check(*pool.device, options));
    report.needs_recovery |= pool.needs_recovery;
    AddFindings(report, std::move(pool.findings), options);
    return report;
  });
}

}  // namespace ingot::check
