// SPDX-License-Identifier: BSD-3-Clause
// ingot direct on|off PATH...
#include <memory>

#include "fs/admin/direct.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"

namespace ingot::cli {
namespace {

struct DirectArguments {
  std::string state;
  std::vector<std::string> paths;
};

int Run(const DirectArguments& arguments) {
  const bool wanted = arguments.state == "on";
  int exit_code = kExitOk;
  for (const std::string& path : arguments.paths) {
    const Result<void> set = admin::SetDirect(path, wanted);
    if (set.has_value()) continue;
    PrintError({wanted ? "map directly" : "change", path}, set.error());
    exit_code = kExitFailure;
  }
  return exit_code;
}

}  // namespace

Action SetUpDirect(CLI::App& app) {
  auto arguments = std::make_shared<DirectArguments>();
  app.add_option("state", arguments->state, "on or off")
      ->required()
      ->type_name("on|off")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_option("path", arguments->paths, "files, or directories whose new files inherit it")
      ->required()
      ->type_name("PATH");
  return [arguments] { return Run(*arguments); };
}

}  // namespace ingot::cli
