// SPDX-License-Identifier: BSD-3-Clause
// What a repair keeps and what it gives up, and that it comes to an end.
#include <sys/stat.h>

#include <cstring>

#include "fs/check/check.h"
#include "fs/core/extent_map.h"
#include "tests/fs/core/file_model.h"
#include "tests/support/fsck_assert.h"

namespace ingot::tests {
namespace {

using check::CheckMode;
using check::CheckReport;

class CheckPolicy : public FileDataFixture {
 protected:
  media::Inode& Raw(InodeNumber inode) {
    const MediaOffset at = Geometry::ToMedia(LogicalOffset(inode.value * media::kInodeSize));
    return *reinterpret_cast<media::Inode*>(volume().device().mapping().writable_base() +
                                            at.value);
  }
  CheckReport Run(CheckMode mode) {
    check::CheckOptions options;
    options.mode = mode;
    const auto report = check::Check(volume().device(), options);
    EXPECT_TRUE(report) << Describe(report.error());
    return report ? *report : CheckReport{};
  }
  InodeNumber MakeSymlink(std::string_view name, std::string_view target) {
    NewNode node;
    node.mode = S_IFLNK | 0777;
    node.symlink_target = target;
    const auto made = names().Create(kRoot, name, node, kOwner);
    EXPECT_TRUE(made) << Describe(made.error());
    return made ? made->inode : InodeNumber(0);
  }
};

// More conflicting pages than are remembered at a time.
TEST_F(CheckPolicy, TwoFilesThatShareAMillionPages) {
  Make(uint64_t{14} << 30);
  const InodeNumber first = MakeFile(kRoot, "first");
  const InodeNumber second = MakeFile(kRoot, "second");
  ASSERT_OK(data().Fallocate(first, 0, 0, uint64_t{5} << 30));
  const auto extents = data().Extents(first, FilePage(0), SIZE_MAX);
  ASSERT_OK(extents);
  {
    const ExclusiveInodeLocks lock(core().locks, second);
    Transaction transaction(*core().allocator, core().reader);
    media::Inode* inode = *transaction.EditInode(second);
    for (const Extent& extent : *extents) {
      ASSERT_OK(core().extents.Insert(transaction, *inode, extent));
      inode->page_count += extent.pages;
    }
    inode->size_bytes = uint64_t{5} << 30;
    ASSERT_OK(transaction.Commit());
  }
  EXPECT_FALSE(Run(CheckMode::kReport).clean());
}

TEST_F(CheckPolicy, SymlinkWithAPageTooMany) {
  const std::string target(2000, 'x');
  const InodeNumber link = MakeSymlink("link", target);
  media::Inode& raw = Raw(link);
  ASSERT_EQ(raw.body_form, media::BodyForm::kTree);
  uint64_t value = 0;
  std::memcpy(&value, raw.tail.data() + sizeof(value), sizeof(value));
  value += uint64_t{1} << 48;  // two pages
  std::memcpy(raw.tail.data() + sizeof(value), &value, sizeof(value));
  raw.page_count = 2;
  SealInode(raw);
  EXPECT_FALSE(Run(CheckMode::kRepair).clean());
  EXPECT_FSCK_CLEAN(volume().device());
  Reopen();
  const auto found = names().ReadLink(link);
  ASSERT_OK(found);
  EXPECT_EQ(*found, target);
}

TEST_F(CheckPolicy, EmptyFileWithAttributesIsWorthSaving) {
  const InodeNumber directory = MakeDirectory(kRoot, "directory");
  const InodeNumber file = MakeFile(directory, "file");
  ASSERT_OK(xattrs().Set(file, "user.key", Noise(3000, 1), XattrSetMode::kAny, false));
  Raw(directory).magic ^= 1;
  EXPECT_FALSE(Run(CheckMode::kRepair).clean());
  EXPECT_FSCK_CLEAN(volume().device());
  Reopen();
  const auto value = xattrs().Get(file, "user.key");
  ASSERT_OK(value);
  EXPECT_EQ(*value, Noise(3000, 1));
}

// One bad bit in a directory's inode must not cost the names below it: its leaf names its owner.
TEST_F(CheckPolicy, DirectoryWithAWrongChecksumKeepsItsNames) {
  const InodeNumber directory = MakeDirectory(kRoot, "directory");
  const InodeNumber file = MakeFile(directory, "file");
  WriteAll(file, "contents");
  for (const InodeNumber damaged : {directory, kRoot}) {
    Raw(damaged).mtime_seconds ^= 4;
    EXPECT_FALSE(Run(CheckMode::kRepair).clean());
    EXPECT_FSCK_CLEAN(volume().device());
    Reopen();
    ASSERT_EQ(Find(kRoot, "directory"), directory);
    ASSERT_EQ(Find(directory, "file"), file);
    EXPECT_EQ(ReadAll(file), "contents");
  }
}

// Nothing proves what lies in the inode itself.
TEST_F(CheckPolicy, FileWithAWrongChecksumIsGivenUp) {
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, "contents");
  Raw(file).tail[0] ^= std::byte{1};
  EXPECT_FALSE(Run(CheckMode::kRepair).clean());
  EXPECT_FSCK_CLEAN(volume().device());
  Reopen();
  EXPECT_EQ(Find(kRoot, "file"), InodeNumber(0));
}

}  // namespace
}  // namespace ingot::tests
