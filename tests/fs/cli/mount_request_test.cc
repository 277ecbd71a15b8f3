// SPDX-License-Identifier: BSD-3-Clause
// Mount options as mount(8), fstab and people write them.
#include "fs/cli/mount_request.h"

#include <sys/mount.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/admin/mounts.h"
#include "fs/cli/remount.h"

namespace ingot::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

MountRequest Parse(std::string_view text) {
  MountRequest request;
  const Result<void> parsed = ParseMountOptions(text, false, request);
  EXPECT_TRUE(parsed.has_value()) << text << (parsed ? "" : Describe(parsed.error()));
  return request;
}

std::string Refusal(std::string_view text) {
  MountRequest request;
  const Result<void> parsed = ParseMountOptions(text, false, request);
  EXPECT_EQ(parsed.error_code(), EINVAL) << text;
  return parsed.has_value() ? "" : parsed.error().context;
}

TEST(MountOptions, GenericOnesArriveAndTheLastOneWins) {
  EXPECT_TRUE(Parse("ro").mount.volume.read_only);
  EXPECT_FALSE(Parse("ro,rw").mount.volume.read_only);
  EXPECT_FALSE(Parse("").mount.suid);
  EXPECT_TRUE(Parse("suid,dev").mount.suid);
  EXPECT_TRUE(Parse("suid,dev").mount.dev);
  EXPECT_FALSE(Parse("noexec").mount.exec);
  EXPECT_TRUE(Parse("noexec,exec").mount.exec);
  EXPECT_EQ(Parse("noatime").mount.volume.atime, AtimeMode::kNever);
  EXPECT_THAT(Parse("noatime").mount.extra, Contains("noatime"));
  EXPECT_EQ(Parse("noatime,strictatime").mount.volume.atime, AtimeMode::kStrict);
  EXPECT_THAT(Parse("noatime,relatime").mount.extra, IsEmpty());
  EXPECT_THAT(Parse("sync,dirsync").mount.extra, Contains("dirsync"));
  EXPECT_THAT(Parse("sync,async").mount.extra, Not(Contains("sync")));
  EXPECT_TRUE(Parse("defaults").mount.suid);
  EXPECT_TRUE(Parse("remount,ro").remount);
}

TEST(MountOptions, UsersMountsAreHarmless) {
  const MountRequest request = Parse("defaults,user");
  EXPECT_FALSE(request.mount.suid);
  EXPECT_FALSE(request.mount.dev);
  EXPECT_FALSE(request.mount.exec);
  EXPECT_TRUE(Parse("user,exec").mount.exec);
  EXPECT_TRUE(Parse("owner").mount.exec);
}

TEST(MountOptions, OwnOnesArrive) {
  const MountRequest request =
      Parse("atomic,cache=small,direct=never,page_array=dram,io_uring=off,threads=3,spin=20,"
            "log=/tmp/l,loglevel=debug,fsname=x,allow_other,nonempty");
  EXPECT_TRUE(request.mount.volume.atomic);
  EXPECT_EQ(request.mount.cache, CacheMode::kSmall);
  EXPECT_EQ(request.mount.volume.direct, DirectMode::kNever);
  EXPECT_EQ(request.mount.page_array, PageArrayChoice::kDram);
  EXPECT_EQ(request.mount.io_uring, Switch::kOff);
  EXPECT_EQ(request.mount.threads, 3u);
  EXPECT_EQ(request.mount.spin_us, 20u);
  EXPECT_EQ(request.mount.log_file, "/tmp/l");
  EXPECT_EQ(request.mount.log_level, log::Level::kDebug);
  EXPECT_EQ(request.mount.source_name, "x");
  EXPECT_TRUE(request.mount.allow_other);
  EXPECT_TRUE(request.mount.nonempty);
}

TEST(MountOptions, OthersBusinessIsSwallowed) {
  Parse("auto,noauto,nofail,_netdev,comment=text,x-systemd.automount,X-mount.mkdir=0755,"
        "default_permissions,users,group,subtype=ingot,user_id=0,group_id=0,max_read=131072,"
        "blksize=4096,,nouser");
  EXPECT_THAT(Parse("ro,context=\"a:b:c0,c1\",rw").mount.extra,
              Contains("context=\"a:b:c0\\,c1\""));
}

TEST(MountOptions, UnknownOnesAreRefusedWithTheNearest) {
  EXPECT_THAT(Refusal("noatim"), HasSubstr("did you mean 'noatime'?"));
  EXPECT_THAT(Refusal("rw,page_aray=dram"), HasSubstr("did you mean 'page_array'?"));
  EXPECT_THAT(Refusal("compression"), HasSubstr("unknown option 'compression'"));
  EXPECT_THAT(Refusal("cache=smal"), HasSubstr("Hint: cache=small"));
  EXPECT_THAT(Refusal("cache=x"), HasSubstr("none|small"));
  EXPECT_THAT(Refusal("cache"), HasSubstr("wants a value"));
  EXPECT_THAT(Refusal("threads=many"), HasSubstr("wants a number"));
  EXPECT_THAT(Refusal("threads=-1"), HasSubstr("wants a number"));
  EXPECT_THAT(Refusal("ro=1"), HasSubstr("unknown option 'ro=1'"));
}

// What it promises to put off is durable here when the call returns.
TEST(MountOptions, LazytimeIsRefusedByName) {
  EXPECT_THAT(Refusal("rw,lazytime"), HasSubstr("'lazytime'"));
  EXPECT_THAT(Refusal("lazytime"), HasSubstr("Hint: relatime"));
  EXPECT_THAT(Parse("nolazytime").ignored, IsEmpty());
  MountRequest request;
  EXPECT_TRUE(ParseMountOptions("lazytime", true, request).has_value());
  EXPECT_THAT(request.ignored, testing::ElementsAre("lazytime"));
}

TEST(MountOptions, SloppyToleratesUnknownOnesOnly) {
  MountRequest request;
  EXPECT_TRUE(ParseMountOptions("fancy,ro", true, request).has_value());
  EXPECT_THAT(request.ignored, testing::ElementsAre("fancy"));
  EXPECT_TRUE(request.mount.volume.read_only);
  EXPECT_FALSE(ParseMountOptions("threads=x", true, request).has_value());
}

TEST(RemountFlags, KeepWhatIsNotMentioned) {
  admin::MountEntry mount;
  mount.options = "rw,nosuid,nodev,relatime";
  mount.super_options = "rw,user_id=0";
  const unsigned long before = MS_NOSUID | MS_NODEV | MS_RELATIME;
  EXPECT_EQ(RemountFlags(mount, Parse("remount")), before);
  EXPECT_EQ(RemountFlags(mount, Parse("remount,ro")), before | MS_RDONLY);
  EXPECT_EQ(RemountFlags(mount, Parse("remount,suid,noexec")),
            MS_NODEV | MS_RELATIME | MS_NOEXEC);
  mount.options = "ro,relatime";
  EXPECT_EQ(RemountFlags(mount, Parse("remount,rw")), MS_RELATIME);
}

TEST(MountInfo, IsParsedWithEscapes) {
  const auto entries = admin::ParseMountInfo(
      "36 35 0:98 / /mnt/with\\040space rw,noatime shared:1 master:2 - fuse.ingot /a\\134b rw,x\n"
      "broken line\n"
      "37 35 0:99 / /other ro - tmpfs tmpfs rw\n");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].mountpoint, "/mnt/with space");
  EXPECT_EQ(entries[0].source, "/a\\b");
  EXPECT_EQ(entries[0].type, "fuse.ingot");
  EXPECT_EQ(entries[0].options, "rw,noatime");
  EXPECT_EQ(entries[0].super_options, "rw,x");
  EXPECT_EQ(entries[0].device_minor, 98u);
  EXPECT_EQ(entries[1].type, "tmpfs");
}

}  // namespace
}  // namespace ingot::cli
