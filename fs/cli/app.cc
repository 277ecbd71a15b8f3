// SPDX-License-Identifier: BSD-3-Clause
// CLI11 reports misuse by exceptions; they end here.
#include "fs/cli/app.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>
#include <optional>

#include <fmt/format.h>

#include "fs/cli/command.h"
#include "fs/cli/suggest.h"
#include "pmemdev/format.h"

#ifndef INGOT_VERSION
#define INGOT_VERSION "unknown"
#endif

namespace ingot::cli {
namespace {

constexpr std::string_view kSuffix = ".ingot";

const Command* FindCommand(std::string_view name) {
  const auto commands = AllCommands();
  const auto found =
      std::ranges::find_if(commands, [name](const Command& c) { return c.name == name; });
  return found == commands.end() ? nullptr : &*found;
}

std::string Version() {
  return fmt::format("ingot {} (pool format {})", INGOT_VERSION, media::kFormatVersion);
}

std::string Overview() {
  std::string text =
      "usage: ingot COMMAND [OPTIONS] ...\n\n"
      "A filesystem for persistent memory: large files lie in whole 2 MiB pages, nothing is "
      "buffered twice.\n\nCommands:\n";
  for (const Command& command : AllCommands()) {
    text += fmt::format("  {:<8}{}\n", command.name, command.summary);
  }
  text +=
      "\n'ingot COMMAND --help' says more, and shows an example.\n"
      "Example:\n"
      "  ingot mkfs --size 1G pool && ingot mount pool /mnt && ingot status /mnt\n";
  return text;
}

int Misused(const std::string& message, const std::string& hint, int exit_code) {
  std::fputs(fmt::format("ingot: {}. Hint: {}\n", message, hint).c_str(), stderr);
  return exit_code;
}

std::vector<std::string> NamesOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
  return names;
}

// The innermost subcommand that was recognised.
const CLI::App& Innermost(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

int ReportMisuse(const CLI::App& app, const CLI::ParseError& error, const Command& command) {
  const CLI::App& inner = Innermost(app);
  const std::string help = fmt::format("ingot {} --help", command.name);
  const std::vector<std::string> left = app.remaining(true);
  const auto unknown =
      std::ranges::find_if(left, [](const std::string& text) { return text.starts_with('-'); });
  if (unknown != left.end()) {
    const std::string name = unknown->substr(0, unknown->find('='));
    const auto nearest = Nearest(name, NamesOf(inner));
    return Misused(fmt::format("unknown option '{}'", name),
                   nearest.has_value() ? "did you mean '" + *nearest + "'?" : help,
                   command.usage_exit_code);
  }
  if (!left.empty()) {
    const auto nearest = Nearest(left.front(), NamesOf(inner));
    return Misused(fmt::format("unexpected argument '{}'", left.front()),
                   nearest.has_value() ? "did you mean '" + *nearest + "'?" : help,
                   command.usage_exit_code);
  }
  std::string message = error.what();
  std::ranges::replace(message, '\n', ' ');
  return Misused(message, help, command.usage_exit_code);
}

int RunCommandOrThrow(const Command& command, std::string_view program,
                      std::vector<std::string> arguments) {
  const bool own_name = !CommandOfProgram(program).empty();
  CLI::App app(command.summary, own_name ? std::string(program)
                                         : fmt::format("ingot {}", command.name));
  app.footer(fmt::format("Example:\n  {}", command.example));
  app.set_version_flag("-V,--version", Version());
  const Action action = command.set_up(app);
  if (command.rewrite != nullptr) arguments = command.rewrite(std::move(arguments));
  std::ranges::reverse(arguments);  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::Success& request) {  // help or version
    return app.exit(request);
  } catch (const CLI::ParseError& error) {
    return ReportMisuse(app, error, command);
  }
  return action();
}

// By the convention that the code for misuse tells of.
int OutOfMemoryExitCode(const Command& command) {
  switch (command.usage_exit_code) {
    case kMountUsage: return kMountSystem;
    case kFsckUsage: return kFsckFailure;
    default: return kExitFailure;
  }
}

int RunCommand(const Command& command, std::string_view program,
               std::vector<std::string> arguments) {
  try {
    return RunCommandOrThrow(command, program, std::move(arguments));
  } catch (const std::bad_alloc&) {
    std::fputs("ingot: out of memory (ENOMEM)\n", stderr);
    return OutOfMemoryExitCode(command);
  }
}

}  // namespace

std::string_view CommandOfProgram(std::string_view program) {
  if (!program.ends_with(kSuffix)) return {};
  program.remove_suffix(kSuffix.size());
  if (program.ends_with(".fuse")) program.remove_suffix(5);
  return FindCommand(program) != nullptr ? program : std::string_view();
}

int Run(std::string_view program, std::vector<std::string> arguments) {
  program = program.substr(program.rfind('/') + 1);
  if (const std::string_view name = CommandOfProgram(program); !name.empty()) {
    return RunCommand(*FindCommand(name), program, std::move(arguments));
  }
  if (arguments.empty()) {
    std::fputs(Overview().c_str(), stderr);
    return kExitUsage;
  }
  const std::string first = arguments.front();
  if (first == "-h" || first == "--help" || first == "help") {
    const Command* command = arguments.size() > 1 ? FindCommand(arguments[1]) : nullptr;
    if (command != nullptr) return RunCommand(*command, program, {"--help"});
    std::fputs(Overview().c_str(), stdout);
    return kExitOk;
  }
  if (first == "-V" || first == "--version" || first == "version") {
    std::puts(Version().c_str());
    return kExitOk;
  }
  const Command* command = FindCommand(first);
  if (command == nullptr) {
    std::vector<std::string> names;
    for (const Command& each : AllCommands()) names.emplace_back(each.name);
    const auto nearest = Nearest(first, names);
    return Misused(fmt::format("unknown command '{}'", first),
                   nearest.has_value() ? "did you mean 'ingot " + *nearest + "'?" : "ingot --help",
                   kExitUsage);
  }
  arguments.erase(arguments.begin());
  return RunCommand(*command, program, std::move(arguments));
}

}  // namespace ingot::cli
