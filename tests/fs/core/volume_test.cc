// SPDX-License-Identifier: BSD-3-Clause
// Formatting, opening, statistics.
#include "fs/core/volume.h"

#include "tests/fs/core/volume_fixture.h"
#include "tests/fs/core/volume_walk.h"

namespace ingot::tests {
namespace {

using VolumeTest = VolumeFixture;

TEST_F(VolumeTest, FormatMakesTheRoot) {
  std::unique_ptr<Device> device = FormattedDevice(kDefaultSize);
  {
    TransactionCounter transactions(device->journal());
    ASSERT_OK(Volume::Format(*device, kOwner));
    EXPECT_EQ(transactions.Take(), 1u);
  }
  auto volume = Volume::Open(std::move(device), {});
  ASSERT_OK(volume);
  const auto root = (*volume)->attributes().Get(Volume::kRoot);
  ASSERT_OK(root);
  EXPECT_EQ(root->inode, InodeNumber(1));
  EXPECT_EQ(root->generation, 0u);
  EXPECT_EQ(root->mode, S_IFDIR | 0755u);
  EXPECT_EQ(root->uid, kOwner.uid);
  EXPECT_EQ(root->gid, kOwner.gid);
  EXPECT_EQ(root->links, 2u);
  EXPECT_EQ((*volume)->core().allocator->Count().free_inode_slots % 8, 6u);
  EXPECT_EQ(Walk(**volume).directories, 1u);
}

TEST_F(VolumeTest, OpenRefusesUnformattedAndDamagedRoots) {
  EXPECT_ERROR(EUCLEAN, Volume::Open(FormattedDevice(kDefaultSize), {}));

  const auto damage = [](auto&& change) {
    std::unique_ptr<Device> device = FormattedDevice(kDefaultSize);
    ASSERT_OK(Volume::Format(*device, Caller{}));
    media::Inode root;
    const LogicalOffset at = AddressOf(Volume::kRoot);
    ASSERT_OK(device->Read(at, WritableBytesOf(root)));
    change(root);
    {
      PersistStream stream = device->persist().NewStream();
      ASSERT_OK(stream.CopyUnfenced(Geometry::ToMedia(at), BytesOf(root)));
      ASSERT_OK(stream.Fence());
    }
    const auto opened = Volume::Open(std::move(device), {});
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error_code(), EUCLEAN);
    EXPECT_NE(opened.error().context.find("fsck"), std::string::npos);
  };
  damage([](media::Inode& root) { root.uid = 5; });  // not sealed
  damage([](media::Inode& root) {
    root.mode = S_IFREG | 0644;
    SealInode(root);
  });
  damage([](media::Inode& root) {
    root.links = 1;
    SealInode(root);
  });
  damage([](media::Inode& root) {
    root.parent = 9;
    SealInode(root);
  });
}

TEST_F(VolumeTest, StatisticsFollow) {
  const VolumeStatistics before = volume().Statistics();
  EXPECT_LE(before.free_bytes, before.total_bytes);
  EXPECT_LT(before.available_bytes, before.free_bytes);
  EXPECT_LE(before.free_inodes, before.total_inodes);
  EXPECT_GT(before.free_huge_pages, 0u);
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, std::string(100 * kPageSize, 'x'));
  const VolumeStatistics after = volume().Statistics();
  EXPECT_EQ(after.total_bytes, before.total_bytes);
  EXPECT_LE(after.free_bytes, before.free_bytes - 100 * kPageSize);
  EXPECT_LT(after.free_inodes, before.free_inodes);
}

TEST_F(VolumeTest, SmallestPoolWorks) {
  Make(Geometry::kMinRegionSize);
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, "text");
  Reopen();
  EXPECT_EQ(ReadAll(Find(kRoot, "file")), "text");
}

TEST_F(VolumeTest, FullPoolLetsGo) {
  Make(Geometry::kMinRegionSize);
  int made = 0;
  for (;; ++made) {
    NewNode node;
    node.mode = S_IFREG | 0600;
    const auto file = names().Create(kRoot, "file-" + std::to_string(made), node, kOwner);
    if (!file) {
      EXPECT_EQ(file.error_code(), ENOSPC) << Describe(file.error());
      break;
    }
    const std::string text(5 * kPageSize, 'x');
    const auto written = data().Write(file->inode, 0, std::as_bytes(std::span(text)), {});
    EXPECT_TRUE(written || written.error_code() == ENOSPC) << Describe(written.error());
    names().Forget(file->inode, 1);
  }
  EXPECT_GT(made, 100);
  Walk(volume());
  RemoveAll(volume());
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  EXPECT_EQ(Get(kRoot).page_count, 0u);
}

}  // namespace
}  // namespace ingot::tests
