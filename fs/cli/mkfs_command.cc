// SPDX-License-Identifier: BSD-3-Clause
// ingot mkfs: makes a pool; with --format a host filesystem for it first.
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "fs/admin/format_host.h"
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
  std::string host;
  bool format = false;
  bool no_dax = false;
  bool force = false;
  bool quiet = false;
};

Result<admin::MakePoolOptions> MakeOptions(const MkfsArguments& options) {
  admin::MakePoolOptions make;
  make.path = options.pool;
  make.label = options.label;
  make.force = options.force;
  if (!options.size.empty()) make.size_bytes = TRY(ParseSize(options.size));
  if (!options.uuid.empty()) make.uuid = TRY(admin::ParseUuid(options.uuid));
  return make;
}

void Say(const MkfsArguments& options, const admin::MadePool& made, const std::string& host) {
  if (options.quiet) return;
  std::fputs(fmt::format("{}: {} pool{}, {} for files, uuid {}\n", options.pool,
                         FormatSize(made.superblock.region_size_bytes), host,
                         FormatSize(made.total_bytes), FormatUuid(made.superblock.uuid))
                 .c_str(),
             stdout);
}

Result<void> Format(const MkfsArguments& options) {
  admin::FormatHostOptions format;
  format.pool = TRY(MakeOptions(options));
  format.kind = options.host == "xfs" ? HostKind::kXfs : HostKind::kExt4;
  format.need_dax = !options.no_dax;
  const admin::FormattedHost made = TRY(admin::FormatHost(format));
  Say(options, made.pool,
      fmt::format(" on {} {} DAX", NameOf(format.kind), made.dax ? "with" : "without"));
  if (format.kind == HostKind::kXfs && !options.quiet) {
    std::fputs(
        "Hint: on xfs files that are sparse, cut and grown again, or preallocated where space is "
        "fragmented lose 2 MiB mappings; --host=ext4 keeps them\n",
        stdout);
  }
  return {};
}

Result<void> Make(const MkfsArguments& options) {
  if (options.format) return Format(options);
  if (!options.host.empty() || options.no_dax) {
    return Failure(EINVAL, fmt::format("--host and --no-dax belong to --format. Hint: ingot mkfs "
                                       "--format {}",
                                       options.pool));
  }
  Say(options, TRY(admin::MakePool(TRY(MakeOptions(options)))), "");
  return {};
}

int RunMkfs(const MkfsArguments& options) {
  const Result<void> made = Make(options);
  if (made.has_value()) return kExitOk;
  PrintError({"make a pool in", options.pool}, made.error());
  return kExitFailure;
}

}  // namespace

Action SetUpMkfs(CLI::App& app) {
  auto options = std::make_shared<MkfsArguments>();
  app.add_option("pool", options->pool,
                 "file to make or to format, a devdax device, an empty directory, or, with "
                 "--format, a block device")
      ->required()
      ->type_name("POOL");
  app.add_option("-s,--size", options->size,
                 "size of a new file or of a directory's region, at least 16M; it is sparse, space "
                 "is taken as it is used")
      ->type_name("SIZE");
  app.add_option("-L,--label", options->label, "name for people, at most 31 bytes")
      ->type_name("TEXT");
  app.add_option("-U,--uuid", options->uuid, "UUID instead of a random one")->type_name("UUID");
  app.add_flag("--format", options->format,
               "prepare a block device (/dev/pmemN): a host filesystem that allocates whole 2 MiB "
               "pages, and the pool in it");
  app.add_option("--host", options->host, "the host filesystem that --format makes")
      ->type_name("ext4|xfs")
      ->check(CLI::IsMember({"ext4", "xfs"}));
  app.add_flag("--no-dax", options->no_dax,
               "with --format, also on a device that can't be mapped directly");
  app.add_flag("-F,-f,--force", options->force,
               "overwrite a pool, another filesystem or a file of another size");
  app.add_flag("-q,--quiet", options->quiet, "print nothing on success");
  return [options] { return RunMkfs(*options); };
}

}  // namespace ingot::cli
