// SPDX-License-Identifier: BSD-3-Clause
// Is the checker any good? Each flush and each fence of the program is left out in turn, and some
// crash must then show it. usage: crash_mutants
//
// What a flush or fence does is nothing but a line in the trace: leaving the line out is leaving
// the call out. First everything is crashed as it is, so that a violation is the mutant's.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include <fmt/format.h>

#include "tests/crash/explorer.h"
#include "tests/crash/scenarios.h"
#include "tests/paths.h"

namespace ingot::tests {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

bool HasSite(const Trace& trace, uint32_t site) {
  return std::any_of(trace.events.begin(), trace.events.end(), [site](const TraceEvent& event) {
    return (event.kind == TraceEvent::kFlush || event.kind == TraceEvent::kFence) &&
           event.site == site;
  });
}

// What is crashed for a mutant; without one, only enough to see that nothing is wrong by itself.
size_t ImagesFor(uint32_t site) {
  return site == kNone ? 4 : 96;
}
// Of what isn't an operation, which nothing else crashes: mkfs alone has 130 fences.
constexpr size_t kScenarioImages = 8;

// One base and durability: the recordings of its operations, to be crashed with any site missing.
class Recorded {
 public:
  Recorded(Base base, Granularity durability) : operations_(OperationsOn(base)) {
    ExplorerOptions options;
    options.durability = durability;
    options.pool.mapping.force_page_granularity = durability == Granularity::kPage;
    options.depth = {.fsck_before_in = 0, .use_in = 0, .second_crash_in = 0};
    const int fd = MakeBase(base, options.pool);
    explorer_ = std::make_unique<Explorer>(fd, options);
    close(fd);
    for (const CrashOperation& operation : operations_) {
      recordings_.push_back(explorer_->Record({&operation}));
    }
  }

  // Each operation after another, whose record still is in another lane.
  void RecordPairs() {
    explorer_->set_lane_per_operation(true);
    for (size_t i = 0; i + 1 < operations_.size(); ++i) {
      for (const size_t other : {i + 1, (i * 7 + 3) % operations_.size()}) {
        pairs_.push_back(explorer_->Record({&operations_[i], &operations_[other]}));
      }
    }
  }

  [[nodiscard]] bool IsInRecovery(uint32_t site) const {
    return explorer_->recovery_sites().contains(site);
  }

  // What shows that the site is missing; "" if nothing does. With `in_recovery` it is missing from
  // what follows the crash.
  std::string Crash(uint32_t site, bool in_recovery) {
    explorer_->set_skipped_site(site);
    explorer_->set_images_per_point(in_recovery ? 8 : ImagesFor(site));
    explorer_->set_second_crashes(in_recovery ? 1 : 0, 32);
    explorer_->ForgetImages();
    for (const Explorer::Recording& pair : pairs_) {
      if (site == kNone || in_recovery || !tests::HasSite(pair.trace, site)) break;
      const std::string violation = explorer_->Crash(pair, 0);
      if (!violation.empty()) return "a pair: " + violation;
    }
    for (size_t i = 0; i < recordings_.size(); ++i) {
      if (site != kNone && !in_recovery && !HasSite(recordings_[i].trace, site)) continue;
      const std::string violation = explorer_->Crash(recordings_[i], 0);
      if (!violation.empty()) return operations_[i].name + ": " + violation;
    }
    return "";
  }

 private:
  std::vector<CrashOperation> operations_;
  std::unique_ptr<Explorer> explorer_;
  std::vector<Explorer::Recording> recordings_;
  std::vector<Explorer::Recording> pairs_;
};

class Mutants {
 public:
  Mutants() {
    for (const bool page_granular : {false, true}) {
      auto& scenarios = scenarios_[page_granular ? 1 : 0];
      scenarios = MakeScenarios(page_granular);
      for (const Scenario& scenario : scenarios) {
        scenario_recordings_[page_granular ? 1 : 0].push_back(Record(scenario, page_granular));
      }
    }
    for (const Base base : {Base::kSmall, Base::kLarge, Base::kCrowded}) {
      recorded_.push_back(std::make_unique<Recorded>(base, Granularity::kCacheLine));
    }
    recorded_.push_back(std::make_unique<Recorded>(Base::kSmall, Granularity::kPage));
    recorded_.push_back(std::make_unique<Recorded>(Base::kSmall, Granularity::kCacheLine));
    recorded_.back()->RecordPairs();
  }

  std::string Crash(uint32_t site) {
    for (const bool page_granular : {false, true}) {
      for (ScenarioRecording& recording : scenario_recordings_[page_granular ? 1 : 0]) {
        if (site != kNone && !HasSite(recording.trace, site)) continue;
        const CrashPlan plan{
            .durability = page_granular ? Granularity::kPage : Granularity::kCacheLine,
            .images_per_point = kScenarioImages,
            .skipped_site = site};
        const std::string violation = tests::Crash(recording, plan, scenario_images_);
        if (!violation.empty()) return recording.scenario->name + ": " + violation;
      }
    }
    for (const auto& recorded : recorded_) {
      if (std::string violation = recorded->Crash(site, false); !violation.empty()) {
        return violation;
      }
    }
    for (const auto& recorded : recorded_) {
      if (!recorded->IsInRecovery(site)) continue;
      if (std::string violation = recorded->Crash(site, true); !violation.empty()) {
        return "a crash in recovery after " + violation;
      }
    }
    return "";
  }

  [[nodiscard]] uint64_t scenario_images() const { return scenario_images_; }

 private:
  uint64_t scenario_images_ = 0;
  std::vector<Scenario> scenarios_[2];
  std::vector<ScenarioRecording> scenario_recordings_[2];
  std::vector<std::unique_ptr<Recorded>> recorded_;
};

// Every line of the sources that calls Flush or Fence, but for what is behind them.
std::set<std::string> SitesInSources() {
  const std::regex call(R"((->|\.)(Fence|Flush)\(|PersistSite::current\(\)\);)");
  std::set<std::string> sites;
  for (const char* folder : {"pmemdev", "fs"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(SourceDir() / folder)) {
      if (entry.path().extension() != ".cc") continue;
      std::ifstream file(entry.path());
      int number = 0;
      for (std::string line; std::getline(file, line);) {
        ++number;
        const bool is_behind = line.find("functions") != std::string::npos;
        if (is_behind || !std::regex_search(line, call)) continue;
        sites.insert(fmt::format(
            "{}:{}", std::filesystem::relative(entry.path(), SourceDir()).string(), number));
      }
    }
  }
  return sites;
}

int Main() {
  const auto begin = std::chrono::steady_clock::now();
  Mutants mutants;
  if (const std::string violation = mutants.Crash(kNone); !violation.empty()) {
    fmt::print("VIOLATION without any mutant: {}\n", violation);
    return 1;
  }
  fmt::print("images={} of mkfs and repairs, violations=0\n", mutants.scenario_images());
  std::set<std::string> left = SitesInSources();
  const std::vector<std::string> names = SiteNames();
  size_t killed = 0;
  for (uint32_t site = 0; site < names.size(); ++site) {
    left.erase(names[site]);
    const std::string violation = mutants.Crash(site);
    killed += violation.empty() ? 0 : 1;
    fmt::print("{} {}{}\n", violation.empty() ? "SURVIVED" : "killed", names[site],
               violation.empty() ? "" : " by " + violation.substr(0, violation.find('\n')));
    std::fflush(stdout);
  }
  for (const std::string& site : left) fmt::print("NOT MET {}\n", site);
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin);
  fmt::print("killed {} of {} mutants seconds={:.0f}\n", killed, names.size() + left.size(),
             seconds.count());
  return killed == names.size() && left.empty() ? 0 : 1;
}

}  // namespace
}  // namespace ingot::tests

int main() {
  return ingot::tests::Main();
}
