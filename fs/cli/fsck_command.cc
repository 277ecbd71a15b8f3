// SPDX-License-Identifier: BSD-3-Clause
// ingot fsck, and what fsck(8) calls as /sbin/fsck.ingot. Asks nothing: without -y or -p it only
// reports.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "fs/admin/host_check.h"
#include "fs/admin/mounts.h"
#include "fs/admin/restore_superblocks.h"
#include "fs/check/check.h"
#include "fs/check/report_json.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/fsck_plan.h"
#include "fs/cli/progress.h"
#include "fs/cli/render.h"
#include "fs/core/pool_path.h"
#include "fs/fuse/pool.h"
#include "pmemdev/base/log.h"
#include "pmemdev/superblock.h"

namespace ingot::cli {
namespace {

using check::CheckMode;
using check::CheckReport;

struct FsckArguments {
  std::string pool;
  FsckFlags flags;
  std::string progress_fd;
  bool force = false;
  bool verbose = false;
  bool json = false;
  bool read_data = false;
  bool serial = false;
};

struct Outcome {
  CheckReport report;
  CheckMode mode = CheckMode::kReport;
  std::string mountpoint;  // empty: not mounted
  // Of the filesystem below, if the pool has one of its own.
  std::optional<admin::HostCheckReport> host;
};

void SayCancelled(int) {
  // Every step of a repair is durable and whole: what is left is found again by the next run.
  constexpr std::string_view kText = "\ningot: cancelled; nothing is half done\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText.data(), kText.size());
  _exit(kFsckCancelled);
}

Result<std::string> MountpointOfPool(const std::string& pool) {
  const auto mount = TRY(admin::FindMountOfPool(pool));
  return mount.has_value() ? mount->mountpoint : std::string();
}

// For a report: a private copy, which may be recovered without a trace; devdax can't be mapped so.
MappingOptions ReportMapping(const PoolPath& pool, bool mounted) {
  struct stat status;
  const bool is_device = stat(pool.region.c_str(), &status) == 0 && S_ISCHR(status.st_mode);
  MappingOptions options;
  options.private_copy = !is_device;
  options.read_only = is_device;
  options.take_lock = !mounted;
  return options;
}

void Say(const FsckArguments& options, const std::string& text) {
  std::FILE* const stream = options.json ? stderr : stdout;
  std::fputs(fmt::format("{}: {}\n", options.pool, text).c_str(), stream);
}

void SayLines(const FsckArguments& options, const std::string& program, std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end != 0) Say(options, fmt::format("{}: {}", program, text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The filesystem below the pool, if it has one of its own that nobody uses. What can't be trusted
// after it is no place to repair a pool in.
Result<std::optional<admin::HostCheckReport>> CheckHostFirst(const FsckArguments& options) {
  struct stat status {};
  if (stat(options.pool.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
  const std::optional<HostDevice> host = TRY(ReadHostDevice(options.pool));
  if (!host || !host->has_pool()) return std::nullopt;
  const FsckFlags& flags = options.flags;
  const bool writes = flags.yes || flags.preen || (flags.superblock && !flags.no);
  const admin::HostCheckMode mode = flags.yes     ? admin::HostCheckMode::kRepair
                                    : flags.preen ? admin::HostCheckMode::kPreen
                                                  : admin::HostCheckMode::kReport;
  Result<admin::HostCheckReport> report = admin::CheckHost(options.pool, host->kind, mode);
  if (!report && report.error_code() == EBUSY && !writes) {
    Say(options, fmt::format("the {} filesystem is not checked: {}", NameOf(host->kind),
                             report.error().context));
    return std::nullopt;
  }
  if (!report) return tl::unexpected<Error>(std::move(report).error());
  if (report->exit_code != 0 || options.verbose) SayLines(options, report->program, report->output);
  if (!writes || (report->exit_code & ~kFsckCorrected) == 0) return std::move(*report);
  const bool is_failure = (report->exit_code & kFsckFailure) != 0;
  return Failure(is_failure ? EIO : EUCLEAN,
                 fmt::format("{} left errors in the {} filesystem below the pool", report->program,
                             NameOf(host->kind)));
}

Result<void> RestoreFirst(const FsckArguments& options) {
  const auto mapping = TRY(OpenMappingWhenFree(options.pool, {}));
  switch (TRY(admin::RestoreSuperblocks(*mapping))) {
    case admin::SuperblockRepair::kNothing:
      Say(options, "all superblock copies are good");
      break;
    case admin::SuperblockRepair::kCopied:
      Say(options, "damaged superblock copies replaced by a good one");
      break;
    case admin::SuperblockRepair::kRecreated:
      Say(options, "superblocks made again from journal and groups; the label is lost");
      break;
  }
  return {};
}

// Null of a device pool, and where there is no superblock to say whose files they are: the check
// finds that, too.
Result<check::OpenedBacking> OpenBackingOf(const PoolPath& pool, const Mapping& mapping,
                                           const check::CheckOptions& options) {
  if (const auto scan = ReadSuperblocks(mapping)) {
    return check::OpenBackingForCheck(pool, scan->best, options);
  }
  const Result<media::Superblock> again = RecreateSuperblock(mapping);
  if (!again) return check::OpenedBacking();
  return check::OpenBackingForCheck(pool, *again, options);
}

Result<Outcome> CheckOnce(const FsckArguments& options, CheckMode mode,
                          const std::string& mountpoint, ProgressLine& progress) {
  check::CheckOptions check_options;
  check_options.mode = mode;
  check_options.read_data = options.read_data;
  check_options.rebuild_superblock = options.flags.superblock;
  check_options.adopt_backing = options.flags.adopt_backing;
  check_options.empty_missing_files = options.flags.empty_missing;
  check_options.progress = [&progress](const check::Progress& now) {
    progress.Show(
        now.round == 1 ? std::string(now.pass) : fmt::format("{} (round {})", now.pass, now.round),
        now.done, now.total);
  };
  const HostUse use = mode == CheckMode::kRepair ? HostUse::kWrite : HostUse::kLook;
  const PoolPath pool = TRY(ResolveWhenFree(options.pool, use));
  const bool mounted = !mountpoint.empty();
  const MappingOptions mapping_options =
      mode == CheckMode::kRepair ? MappingOptions() : ReportMapping(pool, mounted);
  auto mapping = mounted ? Mapping::Open(pool.region, mapping_options)
                         : OpenMappingWhenFree(options.pool, pool, mapping_options);
  if (mapping.error_code() == EBUSY && mode == CheckMode::kReport) {
    // Mounted where it can't be seen from here: in another namespace, or under another name.
    Say(options, mapping.error().context +
                     ": checked read-only; what is being changed may look "
                     "damaged");
    mapping = Mapping::Open(pool.region, ReportMapping(pool, true));
  }
  std::unique_ptr<Mapping> opened = TRY(std::move(mapping));
  check::OpenedBacking backing = TRY(OpenBackingOf(pool, *opened, check_options));
  check_options.directory = backing.directory.get();
  check::CheckReport report = TRY(check::CheckPool(std::move(opened), check_options));
  Outcome outcome{std::move(report), mode, mountpoint, {}};
  AddFindings(outcome.report, std::move(backing.findings), check_options);
  progress.Clear();
  return outcome;
}

Result<Outcome> CheckPool(const FsckArguments& options, const std::string& mountpoint) {
  const FsckFlags& flags = options.flags;
  if (flags.superblock && !flags.no) TRY(RestoreFirst(options));
  ProgressLine progress(options.progress_fd.empty() ? -1 : std::atoi(options.progress_fd.c_str()));
  if (flags.yes) return CheckOnce(options, CheckMode::kRepair, mountpoint, progress);
  Outcome report = TRY(CheckOnce(options, CheckMode::kReport, mountpoint, progress));
  const bool to_do = !report.report.clean() || report.report.needs_recovery;
  if (!flags.preen || !to_do || !IsSafeToRepair(report.report)) return report;
  return CheckOnce(options, CheckMode::kRepair, mountpoint, progress);
}

Result<Outcome> RunCheck(const FsckArguments& options) {
  const std::string mountpoint = TRY(MountpointOfPool(options.pool));
  const FsckFlags& flags = options.flags;
  const bool writes = flags.yes || flags.preen || (flags.superblock && !flags.no);
  if (!mountpoint.empty() && writes) {
    return Failure(EBUSY, fmt::format("it is mounted at {0}, where it can only be checked. Hint: "
                                      "ingot umount {0}",
                                      mountpoint));
  }
  if (!mountpoint.empty()) {
    Say(options, fmt::format("mounted at {}: checked read-only; what is being changed may look "
                             "damaged",
                             mountpoint));
  }
  std::optional<admin::HostCheckReport> host;
  if (mountpoint.empty()) host = TRY(CheckHostFirst(options));
  Outcome outcome = TRY(CheckPool(options, mountpoint));
  outcome.host = std::move(host);
  return outcome;
}

void PrintText(const FsckArguments& options, const Outcome& outcome) {
  for (const check::Finding& finding : outcome.report.findings) {
    Say(options, finding.text + (finding.repaired ? ": repaired" : ""));
  }
  const auto kept = static_cast<uint64_t>(outcome.report.findings.size());
  const uint64_t told = outcome.report.found + outcome.report.notices;
  if (told > kept) Say(options, fmt::format("and {} more", told - kept));
  const bool host_is_damaged = outcome.host && (outcome.host->exit_code & kFsckUncorrected) != 0;
  const std::string summary = Summary(outcome.report, outcome.mode);
  Say(options,
      host_is_damaged ? "the host filesystem is damaged; the pool in it: " + summary : summary);
  if (options.verbose) {
    const Json counts(check::ToJson(outcome.report));
    std::fputs(Render(counts["counts"]).c_str(), stdout);
  }
  if (outcome.mode == CheckMode::kReport && (!outcome.report.clean() || host_is_damaged)) {
    std::fputs(
        fmt::format("ingot: '{0}' needs repair. Hint: {1}ingot fsck -y {0}\n", options.pool,
                    outcome.mountpoint.empty() ? "" : "ingot umount " + outcome.mountpoint + " && ")
            .c_str(),
        stderr);
  }
  const bool is_missing =
      outcome.report.counts_by_kind[static_cast<size_t>(check::FindingKind::kBackingFileMissing)];
  if (outcome.mode == CheckMode::kRepair && !outcome.report.clean_now() && is_missing) {
    std::fputs(fmt::format("ingot: files of '{0}' are missing in backing/. Hint: put them back; "
                           "or, if they are lost, ingot fsck -y --empty-missing {0}\n",
                           options.pool)
                   .c_str(),
               stderr);
  }
}

int RunFsck(const FsckArguments& options) {
  const Doing doing{"check", options.pool};
  if (const Result<void> flags = CheckFlags(options.flags); !flags.has_value()) {
    PrintError(doing, flags.error());
    return kFsckUsage;
  }
  // What the library would log is in the report.
  log::ToStderr(log::Level::kOff);
  signal(SIGINT, SayCancelled);
  signal(SIGTERM, SayCancelled);
  const Result<Outcome> outcome = RunCheck(options);
  if (!outcome.has_value()) {
    PrintError(doing, outcome.error());
    return outcome.error_code() == EUCLEAN ? kFsckUncorrected : kFsckFailure;
  }
  int exit_code = FsckExitCode(outcome->report, outcome->mode);
  if (outcome->host) exit_code |= outcome->host->exit_code;
  if (options.json) {
    Json json{{"pool", options.pool},
              {"mounted", !outcome->mountpoint.empty()},
              {"exit_code", exit_code}};
    if (outcome->host) {
      json["host"] = {{"program", outcome->host->program}, {"exit_code", outcome->host->exit_code}};
    }
    json.update(Json(check::ToJson(outcome->report)));
    Print(json, true);
  } else {
    PrintText(options, *outcome);
  }
  return exit_code;
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

std::vector<std::string> RewriteFsckArguments(std::vector<std::string> arguments) {
  std::vector<std::string> result;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const bool is_progress =
        argument.starts_with("-C") && (argument.size() == 2 || IsNumber(argument.substr(2)));
    if (!is_progress) {
      result.push_back(argument);
      continue;
    }
    std::string number = argument.substr(2);
    if (number.empty() && i + 1 < arguments.size() && IsNumber(arguments[i + 1])) {
      number = arguments[++i];
    }
    // 0 asks for a display on the terminal, which is there anyway.
    if (!number.empty() && number != "0") result.push_back("--progress-fd=" + number);
  }
  return result;
}

Action SetUpFsck(CLI::App& app) {
  auto options = std::make_shared<FsckArguments>();
  app.add_option("pool", options->pool,
                 "pool: a file, a directory, a devdax device or a prepared block device")
      ->required()
      ->type_name("POOL");
  app.add_flag("-n", options->flags.no, "report, change nothing (so without any flag as well)");
  app.add_flag("-y", options->flags.yes, "repair everything that is found");
  app.add_flag("-p,-a", options->flags.preen, "repair what can't lose anything; report the rest");
  app.add_flag("-f", options->force, "for fsck(8); every check is a full one");
  app.add_flag("-v", options->verbose, "print counts");
  app.add_flag("-T,-M,-r", options->serial, "for fsck(8); without effect");
  app.add_flag("--superblock", options->flags.superblock,
               "give the pool its superblocks back if they are damaged or lost");
  app.add_flag("--adopt-backing", options->flags.adopt_backing,
               "with -y: the files in a directory pool's backing/ are its own, although they are "
               "marked as another pool's");
  app.add_flag("--empty-missing", options->flags.empty_missing,
               "with -y: files whose backing file is missing become empty files");
  app.add_flag("--data", options->read_data, "also read all file data, to find poisoned pages");
  app.add_option("--progress-fd", options->progress_fd,
                 "as -C FD of fsck(8): write progress to this descriptor")
      ->type_name("FD")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("-j,--json", options->json, "print JSON");
  return [options] { return RunFsck(*options); };
}

}  // namespace ingot::cli
