// SPDX-License-Identifier: BSD-3-Clause
// ingot dump: single structures of a pool. Exit code 1 also if what was dumped is damaged.
#include <charconv>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "fs/admin/dump.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/render.h"

namespace ingot::cli {
namespace {

struct DumpArguments {
  std::string pool;
  std::string path = "/";
  uint64_t number = 0;
  bool json = false;
  std::function<Result<Json>(admin::RawPool&)> dump;
};

Result<Json> OpenAndDump(const DumpArguments& options) {
  admin::RawPool pool = TRY(admin::RawPool::Open(options.pool));
  return options.dump(pool);
}

int RunDump(const DumpArguments& options) {
  const Result<Json> dumped = OpenAndDump(options);
  if (!dumped.has_value()) {
    PrintError({"dump", options.pool}, dumped.error());
    return kExitFailure;
  }
  Print(*dumped, options.json);
  return dumped->contains("problems") && !(*dumped)["problems"].empty() ? kExitFailure : kExitOk;
}

CLI::App* AddKind(CLI::App& app, const std::shared_ptr<DumpArguments>& options, const char* name,
                  const char* summary, const char* example,
                  std::function<Result<Json>(admin::RawPool&)> dump) {
  CLI::App* sub = app.add_subcommand(name, summary);
  sub->footer(fmt::format("Example:\n  ingot dump {} /var/lib/data.ingot", example));
  sub->add_flag("-j,--json", options->json, "print JSON");
  // Subcommands are recognised before anything is run.
  sub->parse_complete_callback([options, dump = std::move(dump)] { options->dump = dump; });
  return sub;
}

void AddPool(CLI::App* sub, DumpArguments& options) {
  sub->add_option("pool", options.pool, "pool, mounted or not")->required()->type_name("POOL");
}

}  // namespace

Action SetUpDump(CLI::App& app) {
  auto options = std::make_shared<DumpArguments>();
  app.add_flag("-j,--json", options->json, "print JSON");
  app.require_subcommand(1);
  DumpArguments* const raw = options.get();
  AddPool(AddKind(app, options, "superblock", "the three copies of the superblock",
                  "superblock", admin::DumpSuperblock),
          *raw);
  AddPool(AddKind(app, options, "journal", "lanes with something in them", "journal",
                  admin::DumpJournal),
          *raw);

  CLI::App* group = AddKind(app, options, "group", "a group's entry and bitmaps", "group 0",
                            [raw](admin::RawPool& pool) {
                              return admin::DumpGroup(pool, GroupIndex(raw->number));
                            });
  group->add_option("number", raw->number, "group, from 0")->required()->type_name("N");
  AddPool(group, *raw);

  CLI::App* inode = AddKind(app, options, "inode", "an inode, with extents or leaves",
                            "inode $(stat -c %i /mnt/file)",
                            [raw](admin::RawPool& pool) {
                              return admin::DumpInode(pool, InodeNumber(raw->number));
                            });
  inode->add_option("number", raw->number, "inode number, as ls -i shows")
      ->required()
      ->type_name("N");
  AddPool(inode, *raw);

  CLI::App* dir = AddKind(app, options, "dir", "the entries of a directory", "dir /",
                          [raw](admin::RawPool& pool) {
                            return admin::DumpDirectory(pool, raw->path);
                          });
  dir->add_option("path", raw->path, "path from the pool's root")->required()->type_name("PATH");
  AddPool(dir, *raw);
  return [options] { return RunDump(*options); };
}

}  // namespace ingot::cli
