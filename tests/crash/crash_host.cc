// SPDX-License-Identifier: BSD-3-Clause
// Crashes directory pools together with a host that loses any part of what was not synced, and then
// shows that it would be seen if one of the program's syncs were left out. usage: crash_host --help
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "pmemdev/base/log.h"
#include "tests/crash/host_crasher.h"

namespace ingot::tests {
namespace {

struct Arguments {
  size_t per_moment = 48;
  size_t mutants_per_moment = 48;
  uint64_t seed = 1;
  std::string only;
  std::string hashes_to;
};

using Crashers = std::vector<std::unique_ptr<HostCrasher>>;

std::string Short(const SyncSite& site) {
  return fmt::format("{}:{}", site.first.substr(site.first.rfind('/') + 1), site.second);
}

// True: nothing was found.
bool CrashAll(const Crashers& crashers, const Arguments& arguments) {
  size_t moments = 0;
  size_t images = 0;
  size_t violations = 0;
  std::ofstream hashes;
  if (!arguments.hashes_to.empty()) {
    std::filesystem::create_directories(std::filesystem::path(arguments.hashes_to).parent_path());
    hashes.open(arguments.hashes_to);
  }
  for (const auto& crasher : crashers) {
    const std::string violation =
        crasher->Crash({.images_per_moment = arguments.per_moment, .seed = arguments.seed});
    moments += crasher->moments();
    images += crasher->images().size();
    if (crasher->moments() <= 3) {
      ++violations;
      fmt::print("VIOLATION {}: hardly anything happens\n", crasher->scenario().name);
    }
    for (const uint64_t image : crasher->images()) hashes << fmt::format("{:016x}\n", image);
    if (violation.empty()) continue;
    ++violations;
    fmt::print("VIOLATION {}: {}\n", crasher->scenario().name, violation);
  }
  fmt::print("host: scenarios={} moments={} images={} violations={}\n", crashers.size(), moments,
             images, violations);
  return violations == 0;
}

// By whichever scenario shows it; and by each that was made for it.
bool CrashMutant(const Crashers& crashers, const SyncSite& site, const Arguments& arguments) {
  bool is_killed = false;
  for (const auto& crasher : crashers) {
    if (!crasher->sites().contains(site)) continue;
    const std::string& own = crasher->scenario().condemns;
    const bool is_own = !own.empty() && Short(site).starts_with(own + ":");
    if (is_killed && !is_own) continue;
    const std::string violation = crasher->Crash({.images_per_moment = arguments.mutants_per_moment,
                                                  .seed = arguments.seed,
                                                  .skipped = site});
    if (!violation.empty()) {
      if (!is_killed)
        fmt::print("  {} by {}: {}\n", Short(site), crasher->scenario().name, violation);
      is_killed = true;
    } else if (is_own) {
      fmt::print("SURVIVOR {} in {}\n", Short(site), crasher->scenario().name);
      return false;
    }
  }
  if (!is_killed) fmt::print("SURVIVOR {}\n", Short(site));
  return is_killed;
}

bool CrashMutants(const Crashers& crashers, const Arguments& arguments) {
  std::set<SyncSite> sites;
  for (const auto& crasher : crashers) {
    const std::set<SyncSite> own = crasher->sites();
    const HostScenario& scenario = crasher->scenario();
    const bool has_its_site =
        scenario.condemns.empty() || std::ranges::any_of(own, [&](const SyncSite& site) {
          return Short(site).starts_with(scenario.condemns + ":");
        });
    if (!has_its_site) {
      fmt::print("SURVIVOR: {} syncs nowhere in {}\n", scenario.name, scenario.condemns);
      return false;
    }
    sites.insert(own.begin(), own.end());
  }
  size_t killed = 0;
  for (const SyncSite& site : sites) killed += CrashMutant(crashers, site, arguments) ? 1 : 0;
  fmt::print("killed {} of {} syncs of the host\n", killed, sites.size());
  return !sites.empty() && killed == sites.size();
}

int Main(int argc, char** argv) {
  Arguments arguments;
  bool no_mutants = false;
  CLI::App app("Crashes directory pools and their host");
  app.add_option("--per-moment", arguments.per_moment, "ends of the host that are looked at");
  app.add_option("--mutants-per-moment", arguments.mutants_per_moment, "the same of mutants");
  app.add_option("--seed", arguments.seed, "of the choice among more");
  app.add_option("--only", arguments.only, "scenarios whose names have this in them");
  app.add_option("--hashes", arguments.hashes_to, "file for the images' hashes");
  app.add_flag("--no-mutants", no_mutants, "crash the program as it is only");
  CLI11_PARSE(app, argc, argv);
  log::ToStderr(log::Level::kOff);
  Crashers crashers;
  for (HostScenario& scenario : HostScenarios()) {
    if (scenario.name.find(arguments.only) == std::string::npos) continue;
    crashers.push_back(std::make_unique<HostCrasher>(std::move(scenario)));
  }
  if (crashers.empty()) {
    fmt::print("no such scenario\n");
    return 2;
  }
  if (!CrashAll(crashers, arguments)) return 1;
  return no_mutants || CrashMutants(crashers, arguments) ? 0 : 1;
}

}  // namespace
}  // namespace ingot::tests

int main(int argc, char** argv) {
  return ingot::tests::Main(argc, argv);
}
