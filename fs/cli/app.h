// SPDX-License-Identifier: BSD-3-Clause
// The program: finds the command by its own name or the first argument, parses, runs, and reports
// misuse with the nearest known word.
//
// Single-threaded up to the daemon; nothing of it is on media.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot::cli {

// Which command the program is when called by that name; empty: the first argument says.
// "mount.fuse.ingot" -> "mount".
[[nodiscard]] std::string_view CommandOfProgram(std::string_view program);

// The whole program. `arguments` without the program's name. Returns the exit code.
int Run(std::string_view program, std::vector<std::string> arguments);

}  // namespace ingot::cli
