// SPDX-License-Identifier: BSD-3-Clause
// Other people's programs, run to their end: mkfs and fsck of host filesystems.
//
// No shell in between; standard input is /dev/null, so that nothing can ask. What a program leaves
// if it is killed is its own business. Signals that would end us wait until it has ended.
#pragma once

#include <string>
#include <vector>

#include "pmemdev/base/result.h"

namespace ingot::admin {

struct ProgramEnd {
  int exit_code = 0;   // 128 + N: killed by signal N
  std::string output;  // both streams, in their order
  // The last line with anything in it that isn't how to use the program; for messages.
  [[nodiscard]] std::string LastLine() const;
};

// The path of a program that administrators use, also where PATH lacks /sbin. ENOENT, with
// `package` in the hint.
Result<std::string> FindProgram(const std::string& name, const std::string& package);

// Runs arguments[0], a path. EAGAIN, ENOMEM ...: it can't be started.
Result<ProgramEnd> RunProgram(const std::vector<std::string>& arguments);

}  // namespace ingot::admin
