// SPDX-License-Identifier: BSD-3-Clause
// What isn't an operation of a mounted volume, yet must survive crashes: mkfs, the superblocks'
// repair, fsck's repairs.
//
// Each runs once on its base, is recorded, and each image is judged on a private copy of it.
// Single-threaded.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/crasher.h"
#include "tests/volume/pools.h"

namespace ingot::tests {

struct Scenario {
  std::string name;
  int base = -1;  // the pool's file before; owned by whoever made the list
  // Does it, on a mapping whose observer records. The mapping may be given away.
  std::function<Result<void>(std::unique_ptr<Mapping>)> run;
  // "" or what is wrong with an image; `finished`: run() had returned.
  std::function<std::string(const CrashPool& pool, bool finished)> judge;
};

[[nodiscard]] std::vector<Scenario> MakeScenarios(bool page_granular);

struct ScenarioRecording {
  const Scenario* scenario;
  Trace trace;
  std::unique_ptr<CrashPool> pool;
};
[[nodiscard]] ScenarioRecording Record(const Scenario& scenario, bool page_granular);

// "" or the first violation; adds the images judged to `images`.
[[nodiscard]] std::string Crash(ScenarioRecording& recording, const CrashPlan& plan,
                                uint64_t& images);

}  // namespace ingot::tests
