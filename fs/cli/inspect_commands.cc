// SPDX-License-Identifier: BSD-3-Clause
// ingot status, info and map: what the admin library knows, printed.
#include <memory>

#include "fs/admin/status.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/render.h"

namespace ingot::cli {
namespace {

struct InspectArguments {
  std::vector<std::string> paths;
  bool json = false;
};

void AddJsonFlag(CLI::App& app, InspectArguments& options) {
  app.add_flag("-j,--json", options.json, "print JSON");
}

int PrintOrReport(const Result<Json>& result, const Doing& doing, bool json) {
  if (!result.has_value()) {
    PrintError(doing, result.error());
    return kExitFailure;
  }
  Print(*result, json);
  return kExitOk;
}

int RunMap(const InspectArguments& options) {
  Json all = Json::array();
  int exit_code = kExitOk;
  for (const std::string& path : options.paths) {
    Result<Json> map = admin::Map(path);
    if (map.has_value()) {
      all.push_back(std::move(*map));
    } else {
      PrintError({"map", path}, map.error());
      exit_code = kExitFailure;
    }
  }
  if (options.json || !all.empty()) Print(all, options.json);
  return exit_code;
}

}  // namespace

Action SetUpStatus(CLI::App& app) {
  auto options = std::make_shared<InspectArguments>();
  app.add_option("path", options->paths, "pool, or anything inside a mount; none: all mounts")
      ->type_name("POOL|DIR")
      ->expected(0, 1);
  AddJsonFlag(app, *options);
  return [options] {
    if (options->paths.empty()) {
      return PrintOrReport(admin::StatusOfAllMounts(), {"read", "/proc/self/mountinfo"},
                           options->json);
    }
    const std::string& path = options->paths.front();
    return PrintOrReport(admin::Status(path), {"read the status of", path}, options->json);
  };
}

Action SetUpInfo(CLI::App& app) {
  auto options = std::make_shared<InspectArguments>();
  app.add_option("pool", options->paths, "pool, mounted or not")
      ->required()
      ->type_name("POOL")
      ->expected(1);
  AddJsonFlag(app, *options);
  return [options] {
    const std::string& path = options->paths.front();
    return PrintOrReport(admin::Info(path), {"read", path}, options->json);
  };
}

Action SetUpMap(CLI::App& app) {
  auto options = std::make_shared<InspectArguments>();
  app.add_option("file", options->paths, "files inside a mount")->required()->type_name("FILE");
  AddJsonFlag(app, *options);
  return [options] { return RunMap(*options); };
}

}  // namespace ingot::cli
