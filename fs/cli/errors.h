// SPDX-License-Identifier: BSD-3-Clause
// Errors as people see them: "ingot: cannot DO 'path': reason (ERRNO). Hint: command".
//
// One line each, to standard error, whatever the library's context looks like.
// Stateless; any thread.
#pragma once

#include <string>
#include <string_view>

#include "pmemdev/base/result.h"

namespace ingot::cli {

// What a command was doing to what, as in "mount" and "/dev/dax0.0".
struct Doing {
  std::string what;
  std::string path;
};

// A hint within the Error ("reason. Hint: command") goes first; else one that fits the errno, if
// any.
[[nodiscard]] std::string FormatError(const Doing& doing, const Error& error);
// FormatError to standard error.
void PrintError(const Doing& doing, const Error& error);

}  // namespace ingot::cli
