// SPDX-License-Identifier: BSD-3-Clause
// Attributes, flags, privileges and times.
#include "fs/core/attributes.h"

#include <optional>

#include "tests/fs/core/volume_fixture.h"

namespace ingot::tests {
namespace {

class AttributesTest : public VolumeFixture {
 protected:
  void SetUp() override {
    VolumeFixture::SetUp();
    file_ = MakeFile(kRoot, "file");
    MakeOld(file_);
  }
  void SetFlags(uint32_t flags) {
    constexpr uint32_t kMask = media::kInodeImmutable | media::kInodeAppendOnly;
    ASSERT_OK(attributes().SetFlags(file_, kMask, flags));
  }
  void Chmod(InodeNumber inode, uint32_t mode) {
    AttributeChange change;
    change.mode = mode;
    ASSERT_OK(attributes().Set(inode, change));
  }
  InodeNumber file_;
};

TEST_F(AttributesTest, SetEverythingInOneTransaction) {
  std::optional<TransactionCounter> transactions(volume().device().journal());
  AttributeChange change;
  change.mode = S_IFDIR | 04711;  // the type is not taken
  change.uid = 5;
  change.gid = 6;
  change.atime = Time{2000, 1};
  change.mtime = Time{3000, 999'999'999};
  const auto set = attributes().Set(file_, change);
  ASSERT_OK(set);
  EXPECT_EQ(transactions->Take(), 1u);
  transactions.reset();  // before the journal that it watches
  Reopen();
  const Attributes got = Get(file_);
  EXPECT_EQ(got.mode, S_IFREG | 04711u);
  EXPECT_EQ(got.uid, 5u);
  EXPECT_EQ(got.gid, 6u);
  EXPECT_EQ(got.atime, (Time{2000, 1}));
  EXPECT_EQ(got.mtime, (Time{3000, 999'999'999}));
  EXPECT_GT(got.ctime.seconds, 1'000'000'000);
  EXPECT_EQ(got.ctime, set->ctime);
  AttributeChange exact;
  exact.ctime = Time{77, 7};
  ASSERT_OK(attributes().Set(file_, exact));
  EXPECT_EQ(Get(file_).ctime, (Time{77, 7}));
  EXPECT_ERROR(ESTALE, attributes().Get(InodeNumber(7)));
  EXPECT_ERROR(ESTALE, attributes().Set(InodeNumber(7), change));
}

// An inode that holds such a time is damaged.
TEST_F(AttributesTest, ImpossibleTimesAreRefused) {
  for (auto member : {&AttributeChange::atime, &AttributeChange::mtime, &AttributeChange::ctime}) {
    AttributeChange change;
    change.size_bytes = 77;
    change.*member = Time{1, 1'000'000'000};
    EXPECT_ERROR(EINVAL, attributes().Set(file_, change));
  }
  EXPECT_EQ(Get(file_).size_bytes, 0u);
  EXPECT_FALSE(IsChanged(file_));
}

TEST_F(AttributesTest, SizeTogetherWithOthers) {
  WriteAll(file_, "0123456789");
  AttributeChange change;
  change.size_bytes = 4;
  change.mode = 0600;
  change.mtime = Time{3000, 0};
  const auto set = attributes().Set(file_, change);
  ASSERT_OK(set);
  EXPECT_EQ(set->size_bytes, 4u);
  EXPECT_EQ(set->mode, S_IFREG | 0600u);
  EXPECT_EQ(set->mtime, (Time{3000, 0}));
  EXPECT_EQ(ReadAll(file_), "0123");
  AttributeChange size_only;
  size_only.size_bytes = 6;
  TransactionCounter transactions(volume().device().journal());
  ASSERT_OK(attributes().Set(file_, size_only));
  EXPECT_EQ(transactions.Take(), 1u);
  EXPECT_TRUE(IsModified(file_));
  EXPECT_ERROR(EISDIR, attributes().Set(kRoot, size_only));
}

TEST_F(AttributesTest, NothingToSetKillsPrivileges) {
  AttributeChange kill;
  kill.kill_privileges = true;
  Chmod(file_, 06755);
  ASSERT_OK(xattrs().Set(file_, "security.capability", Bytes("caps"), XattrSetMode::kAny, false));
  ASSERT_OK(xattrs().Set(file_, "user.other", Bytes("x"), XattrSetMode::kAny, false));
  TransactionCounter transactions(volume().device().journal());
  ASSERT_OK(attributes().Set(file_, kill));
  EXPECT_EQ(transactions.Take(), 1u);
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0755u);
  EXPECT_ERROR(ENODATA, xattrs().Get(file_, "security.capability"));
  ASSERT_OK(xattrs().Get(file_, "user.other"));
  ASSERT_OK(attributes().Set(file_, kill));
  EXPECT_EQ(transactions.Take(), 0u);
  // S_ISGID without group execution gives nobody anything, and directories keep theirs.
  Chmod(file_, 06745);
  ASSERT_OK(attributes().Set(file_, kill));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 02745u);
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  Chmod(directory, 06755);
  ASSERT_OK(attributes().Set(directory, kill));
  EXPECT_EQ(Get(directory).mode, S_IFDIR | 06755u);
}

TEST_F(AttributesTest, ChownAndTruncateKillPrivileges) {
  Chmod(file_, 06755);
  AttributeChange chown;
  chown.uid = 9;
  chown.kill_privileges = true;
  ASSERT_OK(attributes().Set(file_, chown));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0755u);
  EXPECT_EQ(Get(file_).uid, 9u);
  Chmod(file_, 06755);
  ASSERT_OK(xattrs().Set(file_, "security.capability", Bytes("caps"), XattrSetMode::kAny, false));
  AttributeChange truncate;
  truncate.size_bytes = 100;
  truncate.kill_privileges = true;
  ASSERT_OK(attributes().Set(file_, truncate));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0755u);
  EXPECT_ERROR(ENODATA, xattrs().Get(file_, "security.capability"));
}

TEST_F(AttributesTest, FixedFiles) {
  AttributeChange mode, size, times, touch;
  mode.mode = 0600;
  size.size_bytes = 0;
  times.mtime = Time{5, 0};
  touch.mtime = CurrentTime();
  touch.times_are_now = true;
  for (const uint32_t flag : {media::kInodeImmutable, media::kInodeAppendOnly}) {
    SetFlags(flag);
    EXPECT_ERROR(EPERM, attributes().Set(file_, mode));
    EXPECT_ERROR(EPERM, attributes().Set(file_, size));
    EXPECT_ERROR(EPERM, attributes().Set(file_, times));
    EXPECT_EQ(attributes().Set(file_, touch).error_code(),
              flag == media::kInodeImmutable ? EPERM : 0);
  }
  SetFlags(0);
  ASSERT_OK(attributes().Set(file_, mode));
}

TEST_F(AttributesTest, FlagsByType) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  const InodeNumber fifo = MakeNode(kRoot, "fifo", S_IFIFO | 0600);
  const auto set = [&](InodeNumber inode, uint32_t flags) {
    return attributes().SetFlags(inode, flags, flags);
  };
  constexpr uint32_t kBoth = media::kInodeSync | media::kInodeDax | media::kInodeAtomic |
                             media::kInodeNoAtime | media::kInodeNoDump;
  constexpr uint32_t kDirectories = media::kInodeDirSync | media::kInodeProjectInherit;
  ASSERT_OK(set(directory, kBoth | kDirectories));
  EXPECT_EQ(Get(directory).flags, kBoth | kDirectories);
  EXPECT_ERROR(EOPNOTSUPP, set(file_, kDirectories));
  MakeOld(file_);
  ASSERT_OK(set(file_, kBoth));
  EXPECT_TRUE(IsChanged(file_));
  EXPECT_EQ(Get(file_).flags, kBoth);
  EXPECT_ERROR(EOPNOTSUPP, set(fifo, media::kInodeImmutable));
  ASSERT_OK(set(fifo, media::kInodeNoDump | media::kInodeNoAtime));
  EXPECT_ERROR(EOPNOTSUPP, set(file_, media::kInodeOrphan));
  // Clearing what can't be set is fine: chattr names all bits.
  ASSERT_OK(attributes().SetFlags(file_, ~uint32_t{0}, media::kInodeNoDump));
  EXPECT_EQ(Get(file_).flags, uint32_t{media::kInodeNoDump});
  ASSERT_OK(set(file_, media::kInodeImmutable));
  EXPECT_ERROR(EPERM, set(file_, media::kInodeSync));
  EXPECT_ERROR(EPERM, attributes().SetProject(file_, 3, false));
  ASSERT_OK(attributes().SetFlags(file_, ~uint32_t{0}, media::kInodeSync));
}

TEST_F(AttributesTest, Project) {
  ASSERT_OK(attributes().SetProject(file_, 3, false));
  EXPECT_EQ(Get(file_).project, 3u);
  EXPECT_ERROR(EOPNOTSUPP, attributes().SetProject(file_, 3, true));
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  ASSERT_OK(attributes().SetProject(directory, 4, true));
  EXPECT_EQ(Get(directory).flags, uint32_t{media::kInodeProjectInherit});
  ASSERT_OK(attributes().SetProject(directory, 4, false));
  EXPECT_EQ(Get(directory).flags, 0u);
}

TEST_F(AttributesTest, AtimeIsRelative) {
  const auto set = [&](Time atime, Time mtime) {
    AttributeChange change;
    change.atime = atime;
    change.mtime = mtime;
    change.ctime = mtime;
    ASSERT_OK(attributes().Set(file_, change));
  };
  const Time now = CurrentTime();
  const Time hour_ago{now.seconds - 3600, 0};
  const Time two_hours_ago{now.seconds - 7200, 0};
  const Time two_days_ago{now.seconds - 2 * 86400, 0};
  const auto touched = [&] {
    const Time before = Get(file_).atime;
    attributes().TouchAtime(file_);
    return Get(file_).atime != before;
  };
  set(two_hours_ago, hour_ago);  // read before the last change
  EXPECT_TRUE(touched());
  set(hour_ago, two_hours_ago);  // read since, not long ago
  EXPECT_FALSE(touched());
  set(two_days_ago, Time{two_days_ago.seconds - 1, 0});  // read since, long ago
  EXPECT_TRUE(touched());
  set(two_hours_ago, hour_ago);
  ASSERT_OK(attributes().SetFlags(file_, media::kInodeNoAtime, media::kInodeNoAtime));
  EXPECT_FALSE(touched());
  ASSERT_OK(attributes().SetFlags(file_, media::kInodeNoAtime, 0));

  Reopen(VolumeOptions{.atime = AtimeMode::kNever});
  EXPECT_FALSE(touched());
  Reopen(VolumeOptions{.read_only = true});
  EXPECT_FALSE(touched());
  Reopen(VolumeOptions{.atime = AtimeMode::kStrict});
  set(hour_ago, two_hours_ago);
  EXPECT_TRUE(touched());
  attributes().TouchAtime(InodeNumber(7));  // gone meanwhile: nothing happens
}

TEST_F(AttributesTest, TimesBeforeTheEpoch) {
  AttributeChange change;
  change.mtime = Time{-5, 5};
  ASSERT_OK(attributes().Set(file_, change));
  EXPECT_EQ(Get(file_).mtime, (Time{-5, 5}));
}

}  // namespace
}  // namespace ingot::tests
