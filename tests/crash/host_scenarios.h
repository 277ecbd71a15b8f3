// SPDX-License-Identifier: BSD-3-Clause
// What is done to backed files while the host crashes, and what must be there afterwards.
//
// A new operation on backed files is one more entry of HostScenarios(). Plain functions of a
// volume; what they find wrong they say as text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/core/volume.h"

namespace ingot::tests {

struct HostScenario {
  std::string name;
  // Its results are durable, and a mount comes behind it, before `step` is crashed.
  std::function<void(Volume&)> prepare;
  std::function<void(Volume&)> step;
  // Of the recovered volume; `at_end`: `step` had returned. "": all is well.
  std::function<std::string(Volume&, bool at_end)> judge;
  // Where syncs in this file of the program are left out, this scenario must show it, too; "":
  // whichever does.
  std::string condemns;
};

[[nodiscard]] std::vector<HostScenario> HostScenarios();

}  // namespace ingot::tests
