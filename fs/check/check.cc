// SPDX-License-Identifier: BSD-3-Clause
// Rounds: everything is checked; what was mended in place is checked again; what needs an allocator
// waits until nothing else is wrong.
#include "fs/check/check.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "fs/check/backing_pass.h"
#include "fs/check/context.h"
#include "fs/check/directory_pass.h"
#include "fs/check/file_pass.h"
#include "fs/check/group_pass.h"
#include "fs/check/inode_pass.h"

namespace ingot::check {
namespace {

using Drops = std::set<EntryPlace>;

struct Round {
  uint64_t fixed = 0;
  uint64_t found = 0;
  uint64_t left = 0;
  CheckCounts counts;
};

// What could not be mended in place; the order is that of what they rely on.
Result<void> CarryOutPlan(Context& context) {
  if (context.fixed != 0) return {};
  if (!context.wrong_groups.empty()) {
    context.fixed += context.wrong_groups.size();
    return RewriteGroups(context);
  }
  if (!context.shared.empty()) return PunchShared(context);
  TRY(ListEmptyFiles(context));
  if (context.lost.empty() && context.unknown_files.empty()) return {};
  // All of these are gone by now; a name in lost+found may look like one of them.
  context.drop_entries.clear();
  return SaveLost(context);
}

Result<Round> RunRound(Device& device, const CheckOptions& options, Findings& findings,
                       RepairWriter* writer, uint32_t number, Drops& drops) {
  const uint64_t groups = device.geometry().group_count();
  Context context(device, options, findings, TRY(PageSet::Create(groups)),
                  TRY(PageSet::Create(groups)), TRY(PageSet::Create(groups)),
                  TRY(PageSet::Create(groups)));
  context.writer = writer;
  context.round = number;
  context.drop_entries = std::move(drops);
  findings.BeginRound();
  TRY(CheckLabels(context));
  TRY(LoadGroups(context));
  ClaimLedger(context);
  TRY(CheckInodes(context));
  TRY(CheckDirectories(context));
  TRY(CheckLinks(context));
  TRY(CheckBackingFiles(context));
  TRY(FindSharers(context));
  if (options.read_data) TRY(ReadAllData(context));
  TRY(CompareGroups(context));
  const uint64_t found = findings.in_round();
  if (writer != nullptr) TRY(CarryOutPlan(context));
  drops = std::move(context.drop_entries);
  return Round{context.fixed, found, context.left, context.counts};
}

// Returns how many faults were left on purpose.
Result<uint64_t> RunRounds(Device& device, const CheckOptions& options, Findings& findings,
                           CheckReport& report) {
  std::optional<RepairWriter> writer;
  if (options.mode == CheckMode::kRepair) {
    if (!device.writable()) return Failure(EROFS, "fsck: the pool can't be written");
    writer.emplace(device);
  }
  Drops drops;
  uint64_t left = 0;
  for (uint32_t number = 1; number <= std::max<uint32_t>(options.max_rounds, 1); ++number) {
    const Round round = TRY(RunRound(device, options, findings,
                                     writer.has_value() ? &*writer : nullptr, number, drops));
    report.rounds = number;
    report.remaining = round.found;
    report.counts = round.counts;
    left = round.left;
    if (round.fixed == 0) break;
  }
  return left;
}

// The image as it will be once the journal's transactions are done, without a store to the medium.
Result<std::unique_ptr<Device>> PrivateReplay(const Device& device) {
  const int fd = dup(device.mapping().fd());
  if (fd < 0) return FailureFromErrno("dup");
  MappingOptions mapping;
  mapping.private_copy = true;
  mapping.take_lock = false;
  mapping.reserve_bytes = device.mapping().size_bytes();
  DeviceOptions options;
  options.page_array = PageArrayChoice::kDram;
  return Device::Open(TRY(Mapping::FromDescriptor(fd, mapping)), options);
}

Result<CheckReport> CheckDevice(Device& device, const CheckOptions& options) {
  CheckReport report;
  Findings findings;
  if (options.directory != nullptr && !IsDirectoryPool(device)) {
    return Failure(EINVAL, "a device pool's region among the files of a directory pool");
  }
  const ReplayReport lanes = TRY(device.journal().Inspect());
  report.needs_recovery = lanes.valid_lanes != 0;
  std::unique_ptr<Device> copy;
  if (report.needs_recovery && options.mode == CheckMode::kReport) {
    copy = TRY(PrivateReplay(device));
  } else if (report.needs_recovery) {
    TRY(device.journal().Replay());
  }
  const uint64_t left =
      TRY(RunRounds(copy == nullptr ? device : *copy, options, findings, report));
  report.found = findings.total();
  report.notices = findings.notices();
  report.counts_by_kind = findings.counts();
  report.findings = std::move(findings.kept());
  if (options.mode == CheckMode::kRepair) {
    const bool is_mended = report.remaining == left;
    for (Finding& finding : report.findings) {
      const bool is_left = left != 0 && finding.kind == FindingKind::kBackingFileMissing;
      finding.repaired = is_mended && !is_left && !IsNotice(finding.kind);
    }
  }
  return report;
}

}  // namespace

Result<CheckReport> Check(Device& device, const CheckOptions& options) {
  return NoThrow([&] { return CheckDevice(device, options); });
}

}  // namespace ingot::check
