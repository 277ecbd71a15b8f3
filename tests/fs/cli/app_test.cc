// SPDX-License-Identifier: BSD-3-Clause
// The program's names, its misuse, and commands that need no mount, in process.
#include "fs/cli/app.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/admin/describe.h"
#include "fs/admin/make_pool.h"
#include "pmemdev/superblock.h"

namespace ingot::cli {
namespace {

using testing::HasSubstr;

struct Ran {
  int exit_code = 0;
  std::string out, err;
};

Ran RunAs(const std::string& program, std::vector<std::string> arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.exit_code = Run(program, std::move(arguments));
  std::fflush(stdout);
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::string folder = "/dev/shm/ingot-cli-test-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    pool_ = (folder_ / "pool").string();
  }
  ~CliTest() override { std::filesystem::remove_all(folder_); }

  void MakePool() { ASSERT_EQ(RunAs("ingot", {"mkfs", "-q", "-s", "32M", pool_}).exit_code, 0); }
  // Overwrites bytes of the pool.
  void Scribble(uint64_t offset, const std::string& bytes) {
    std::fstream file(pool_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }

  std::filesystem::path folder_;
  std::string pool_;
};

TEST(ProgramName, ChoosesTheCommand) {
  EXPECT_EQ(CommandOfProgram("mkfs.ingot"), "mkfs");
  EXPECT_EQ(CommandOfProgram("mount.fuse.ingot"), "mount");
  EXPECT_EQ(CommandOfProgram("umount.fuse.ingot"), "umount");
  EXPECT_EQ(CommandOfProgram("ingot"), "");
  EXPECT_EQ(CommandOfProgram("nonsense.ingot"), "");
}

TEST(Help, ShowsAnExampleOfEachCommand) {
  for (const char* name :
       {"mkfs", "mount", "umount", "fsck", "status", "info", "map", "dump"}) {
    const Ran ran = RunAs("ingot", {name, "--help"});
    EXPECT_EQ(ran.exit_code, 0);
    EXPECT_THAT(ran.out, HasSubstr(std::string("Example:\n  ingot ") + name));
  }
  EXPECT_THAT(RunAs("ingot", {"--help"}).out, HasSubstr("Commands:"));
  EXPECT_THAT(RunAs("ingot", {"--version"}).out, HasSubstr("ingot "));
  EXPECT_THAT(RunAs("fsck.ingot", {"-V"}).out, HasSubstr("pool format 1"));
}

TEST(Misuse, HasItsExitCodeAndASuggestion) {
  EXPECT_EQ(RunAs("ingot", {}).exit_code, 2);
  EXPECT_THAT(RunAs("ingot", {"mkf"}).err, HasSubstr("did you mean 'ingot mkfs'?"));
  const Ran size = RunAs("ingot", {"mkfs", "--sise", "1G", "/p"});
  EXPECT_EQ(size.exit_code, 2);
  EXPECT_THAT(size.err, HasSubstr("unknown option '--sise'. Hint: did you mean '--size'?"));
  EXPECT_EQ(RunAs("mount.ingot", {"/p"}).exit_code, 1);
  EXPECT_EQ(RunAs("mount.ingot", {"/p", "/m", "--nonsense"}).exit_code, 1);
  EXPECT_EQ(RunAs("fsck.ingot", {}).exit_code, 16);
  EXPECT_EQ(RunAs("fsck.ingot", {"-n", "-y", "/p"}).exit_code, 16);
  EXPECT_THAT(RunAs("ingot", {"dump", "inodes", "1", "/p"}).err,
              HasSubstr("did you mean 'inode'?"));
  EXPECT_EQ(RunAs("ingot", {"mkfs", "a", "b"}).exit_code, 2);
}

TEST(Uuid, IsParsed) {
  const auto uuid = admin::ParseUuid("d94b7b4e-0b6c-4d1c-9d3e-2f6A1c5b8e70");
  ASSERT_TRUE(uuid.has_value());
  EXPECT_EQ((*uuid)[0], 0xd9);
  EXPECT_EQ((*uuid)[15], 0x70);
  for (const char* text : {"", "d94b7b4e", "d94b7b4e-0b6c-4d1c-9d3e-2f6a1c5b8e7x",
                           "00000000-0000-0000-0000-000000000000",
                           "d94b7b4e00b6c-4d1c-9d3e-2f6a1c5b8e70"}) {
    EXPECT_FALSE(admin::ParseUuid(text).has_value()) << text;
  }
}

TEST_F(CliTest, MkfsRefusesWhatItMust) {
  EXPECT_THAT(RunAs("ingot", {"mkfs", pool_}).err, HasSubstr("--size 1G"));
  EXPECT_THAT(RunAs("ingot", {"mkfs", "-s", "1M", pool_}).err, HasSubstr("at least 16 MiB"));
  EXPECT_FALSE(std::filesystem::exists(pool_));
  { const std::ofstream stranger(folder_ / "stranger"); }
  EXPECT_THAT(RunAs("ingot", {"mkfs", folder_}).err, HasSubstr("holds 'stranger'"));
  EXPECT_THAT(RunAs("ingot", {"mkfs", "-s", "1M", "/dev/null"}).err, HasSubstr("(E"));
  MakePool();
  const Ran again = RunAs("ingot", {"mkfs", pool_});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("holds the ingot pool"));
  EXPECT_EQ(RunAs("ingot", {"mkfs", "--force", "-L", "new", pool_}).exit_code, 0);
  EXPECT_THAT(RunAs("ingot", {"info", pool_}).out, HasSubstr("label: new"));
  EXPECT_EQ(RunAs("ingot", {"mkfs", "-s", "64M", pool_}).exit_code, 1);
  EXPECT_EQ(RunAs("ingot", {"mkfs", "-q", "-F", "-s", "64M", pool_}).exit_code, 0);
  EXPECT_EQ(std::filesystem::file_size(pool_), 64u << 20);
  EXPECT_EQ(RunAs("ingot", {"mkfs", "-F", "-L", std::string(32, 'x'), pool_}).exit_code, 1);
}

TEST_F(CliTest, FsckSaysCleanAndRestoresSuperblocks) {
  MakePool();
  EXPECT_EQ(RunAs("fsck.ingot", {pool_}).exit_code, 0);
  Scribble(0, std::string(4096, 'x'));
  EXPECT_EQ(RunAs("fsck.ingot", {"-n", pool_}).exit_code, 4);
  EXPECT_EQ(RunAs("fsck.ingot", {"-p", pool_}).exit_code, 1);
  EXPECT_EQ(RunAs("fsck.ingot", {pool_}).exit_code, 0);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1} << 20, uint64_t{30} << 20}) {
    Scribble(offset, std::string(4096, 'x'));
  }
  const Ran lost = RunAs("fsck.ingot", {pool_});
  EXPECT_EQ(lost.exit_code, 4);
  EXPECT_THAT(lost.err, HasSubstr("fsck --superblock"));
  EXPECT_EQ(RunAs("ingot", {"dump", "superblock", pool_}).exit_code, 1);
  EXPECT_EQ(RunAs("ingot", {"dump", "dir", "/", pool_}).exit_code, 1);
  EXPECT_EQ(RunAs("fsck.ingot", {"--superblock", pool_}).exit_code, 0);
  EXPECT_EQ(RunAs("fsck.ingot", {pool_}).exit_code, 0);
}

TEST_F(CliTest, EveryReportIsJson) {
  MakePool();
  const std::vector<std::vector<std::string>> calls = {
      {"status", "--json", pool_},         {"info", "--json", pool_},
      {"fsck", "--json", pool_},           {"dump", "superblock", "--json", pool_},
      {"dump", "group", "0", "--json", pool_}, {"dump", "inode", "1", "--json", pool_},
      {"dump", "dir", "/", "--json", pool_},   {"dump", "--json", "journal", pool_},
      {"status", "--json"}};
  for (const auto& call : calls) {
    const Ran ran = RunAs("ingot", call);
    EXPECT_EQ(ran.exit_code, 0) << call[0] << " " << call[1] << ran.err;
    EXPECT_FALSE(admin::Json::parse(ran.out, nullptr, false).is_discarded()) << ran.out;
  }
}

TEST_F(CliTest, UnknownVersionsAndFeaturesAreRefusedByName) {
  struct Case {
    void (*edit)(media::Superblock&);
    const char* message;
  };
  const Case cases[] = {
      {[](media::Superblock& s) { s.format_version = 99; }, "format version 99"},
      {[](media::Superblock& s) { s.features_incompatible = 0x40; },
       "unknown incompatible features 0x40"},
      {[](media::Superblock& s) { s.page_size_bytes = 65536; }, "page size 65536"},
  };
  for (const Case& each : cases) {
    std::filesystem::remove(pool_);
    MakePool();
    media::Superblock superblock;
    std::ifstream(pool_).read(reinterpret_cast<char*>(&superblock), sizeof(superblock));
    each.edit(superblock);
    ++superblock.sequence;
    Seal(superblock);
    Scribble(0, {reinterpret_cast<const char*>(&superblock), sizeof(superblock)});
    for (const char* command : {"status", "info", "fsck"}) {
      const Ran ran = RunAs("ingot", {command, pool_});
      EXPECT_NE(ran.exit_code, 0);
      EXPECT_THAT(ran.err, HasSubstr(each.message)) << command;
      EXPECT_THAT(ran.err, HasSubstr("(EOPNOTSUPP)")) << command;
    }
    EXPECT_THAT(RunAs("ingot", {"dump", "superblock", pool_}).out, HasSubstr(each.message));
  }
}

TEST_F(CliTest, WhatIsNoPoolIsRefused) {
  std::ofstream(pool_) << std::string(4 << 20, 'x');
  for (const char* command : {"status", "info", "fsck"}) {
    const Ran ran = RunAs("ingot", {command, pool_});
    EXPECT_NE(ran.exit_code, 0);
    EXPECT_THAT(ran.err, HasSubstr("not an ingot pool (EINVAL). Hint: "));
  }
  const Ran dumped = RunAs("ingot", {"dump", "superblock", pool_});
  EXPECT_EQ(dumped.exit_code, 1);
  EXPECT_THAT(dumped.err, HasSubstr("not an ingot pool"));
  EXPECT_EQ(RunAs("ingot", {"info", pool_ + "-missing"}).exit_code, 1);
}

}  // namespace
}  // namespace ingot::cli
