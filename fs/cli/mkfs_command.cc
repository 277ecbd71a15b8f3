// SPDX-License-Identifier: BSD-3-Clause
// ingot mkfs: makes a pool.
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "fs/admin/make_pool.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/sizes.h"
#include "pmemdev/superblock.h"

namespace ingot::cli {
namespace {

struct MkfsArguments {
  std::string pool;
  std::string size;
  std::string label;
  std::string uuid;
  bool force = false;
  bool quiet = false;
};

Result<admin::MadePool> Make(const MkfsArguments& options) {
  admin::MakePoolOptions make;
  make.path = options.pool;
  make.label = options.label;
  make.force = options.force;
  if (!options.size.empty()) make.size_bytes = TRY(ParseSize(options.size));
  if (!options.uuid.empty()) make.uuid = TRY(admin::ParseUuid(options.uuid));
  return admin::MakePool(make);
}

int RunMkfs(const MkfsArguments& options) {
  const Result<admin::MadePool> made = Make(options);
  if (!made.has_value()) {
    PrintError({"make a pool in", options.pool}, made.error());
    return kExitFailure;
  }
  if (options.quiet) return kExitOk;
  std::fputs(fmt::format("{}: {} pool, {} for files, uuid {}\n", options.pool,
                         FormatSize(made->superblock.region_size_bytes),
                         FormatSize(made->total_bytes), FormatUuid(made->superblock.uuid))
                 .c_str(),
             stdout);
  return kExitOk;
}

}  // namespace

Action SetUpMkfs(CLI::App& app) {
  auto options = std::make_shared<MkfsArguments>();
  app.add_option("pool", options->pool,
                 "file to make or to format, a devdax device, or an empty directory")
      ->required()
      ->type_name("POOL");
  app.add_option("-s,--size", options->size,
                 "size of a new file or of a directory's region, at least 16M; it is sparse, space "
                 "is taken as it is used")
      ->type_name("SIZE");
  app.add_option("-L,--label", options->label, "name for people, at most 31 bytes")
      ->type_name("TEXT");
  app.add_option("-U,--uuid", options->uuid, "UUID instead of a random one")->type_name("UUID");
  app.add_flag("-F,-f,--force", options->force,
               "overwrite a pool, another filesystem or a file of another size");
  app.add_flag("-q,--quiet", options->quiet, "print nothing on success");
  return [options] { return RunMkfs(*options); };
}

}  // namespace ingot::cli
