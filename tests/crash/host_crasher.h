// SPDX-License-Identifier: BSD-3-Clause
// A scenario recorded once, then crashed at each moment with each part of the host lost.
//
// Keeps pools in a directory of its own below /dev/shm, which goes with it. Single-threaded.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_set>

#include "tests/crash/host_model.h"
#include "tests/crash/host_scenarios.h"

namespace ingot::tests {

struct HostCrashPlan {
  // So many ends of the host a moment: all that there are, where they are no more.
  size_t images_per_moment = 64;
  uint64_t seed = 1;
  SyncSite skipped = kNoSite;  // this sync did nothing
};

// Calls `visit` with one value below each of `choices`: all combinations if they are no more than
// `limit`. Beyond: all lost, all kept, some with one thing lost or kept alone, and random ones.
// False from it ends the enumeration.
void ForEachHostEnd(const std::vector<uint32_t>& choices, size_t limit, uint64_t seed,
                    const std::function<bool(const std::vector<uint32_t>&)>& visit);

class HostCrasher {
 public:
  explicit HostCrasher(HostScenario scenario);
  ~HostCrasher();
  HostCrasher(const HostCrasher&) = delete;

  // What is wrong after some crash, with where; "": nothing.
  std::string Crash(const HostCrashPlan& plan);

  [[nodiscard]] const HostScenario& scenario() const { return scenario_; }
  [[nodiscard]] std::set<SyncSite> sites() const { return model_.Sites(); }
  [[nodiscard]] size_t moments() const;
  // Distinct images that the last Crash() looked at.
  [[nodiscard]] const std::unordered_set<uint64_t>& images() const { return images_; }

 private:
  void Record();
  void WriteHost(const HostFiles& files) const;
  std::string Judge(int region, const HostFiles& files, bool at_end);
  std::string Recover(int region, bool at_end);

  const HostScenario scenario_;
  std::string root_;
  HostModel model_;
  std::unordered_set<uint64_t> images_;
};

}  // namespace ingot::tests
