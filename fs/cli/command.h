// SPDX-License-Identifier: BSD-3-Clause
// What a command is: a name, its options declared on a CLI11 app, and an action to run once they
// are parsed. One file per command; commands.cc has the list.
//
// An action prints its own errors (errors.h) and returns the exit code.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace ingot::cli {

using Action = std::function<int()>;

// Exit codes of the commands that have no convention of their own to follow.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

// mount(8)'s, and umount(8)'s.
inline constexpr int kMountUsage = 1;
inline constexpr int kMountSystem = 2;
inline constexpr int kMountInterrupted = 8;
inline constexpr int kMountFailure = 32;

// fsck(8)'s bits.
inline constexpr int kFsckCorrected = 1;
inline constexpr int kFsckUncorrected = 4;
inline constexpr int kFsckFailure = 8;
inline constexpr int kFsckUsage = 16;
inline constexpr int kFsckCancelled = 32;

struct Command {
  const char* name;
  const char* summary;
  const char* example;
  int usage_exit_code;
  // Declares the options on `app` and returns what is to be done with them.
  Action (*set_up)(CLI::App& app);
  // Arguments as people and callers give them to such as CLI11 understands; null: as they are.
  std::vector<std::string> (*rewrite)(std::vector<std::string> arguments);
};

[[nodiscard]] std::span<const Command> AllCommands();

Action SetUpMkfs(CLI::App& app);
Action SetUpMount(CLI::App& app);
Action SetUpUmount(CLI::App& app);
Action SetUpFsck(CLI::App& app);
Action SetUpStatus(CLI::App& app);
Action SetUpInfo(CLI::App& app);
Action SetUpMap(CLI::App& app);
Action SetUpDirect(CLI::App& app);
Action SetUpDump(CLI::App& app);
Action SetUpDoctor(CLI::App& app);

// -C, -C3 and -C 3 of fsck(8), whose value CLI11 could not tell from the pool, to --progress-fd=.
[[nodiscard]] std::vector<std::string> RewriteFsckArguments(std::vector<std::string> arguments);

}  // namespace ingot::cli
