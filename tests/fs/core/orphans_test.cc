// SPDX-License-Identifier: BSD-3-Clause
// Orphans: what a crash leaves without a name is freed by the next mount, in as many transactions
// as it needs.
#include <atomic>

#include "fs/core/orphans.h"
#include "tests/fs/core/volume_fixture.h"
#include "tests/fs/core/volume_walk.h"

namespace ingot::tests {
namespace {

class OrphansTest : public VolumeFixture {
 protected:
  uint64_t Recover() {
    const std::atomic<bool> stop{false};
    const Result<uint64_t> recovered = volume().orphans().Recover(stop);
    EXPECT_TRUE(recovered) << Describe(recovered.error());
    return recovered ? *recovered : 0;
  }
  uint64_t FreePages() { return core().allocator->Count().free_pages; }
  uint64_t OrphanCount() { return core().allocator->Count().orphans; }

  // A file of single pages with holes between, so that it has many extents.
  InodeNumber MakeScattered(std::string_view name, uint64_t pages) {
    const InodeNumber file = MakeFile(kRoot, name);
    const std::vector<std::byte> page(kPageSize, std::byte{7});
    for (uint64_t i = 0; i < pages; ++i) {
      EXPECT_TRUE(data().Write(file, i * 2 * kPageSize, page, {}));
    }
    return file;
  }
};

TEST_F(OrphansTest, CrashLeavesThemToRecovery) {
  const uint64_t before = FreePages();
  std::vector<InodeNumber> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(MakeFile(kRoot, std::to_string(i)));
    WriteAll(files.back(), std::string(20000, 'x'));
    ASSERT_OK(xattrs().Set(files.back(), "user.big", std::vector<std::byte>(10000),
                           XattrSetMode::kAny, false));
  }
  for (int i = 0; i < 20; ++i) ASSERT_OK(names().Unlink(kRoot, std::to_string(i)));
  NewNode node;
  node.mode = S_IFREG | 0600;
  ASSERT_OK(names().CreateUnnamed(kRoot, node, kOwner));
  EXPECT_EQ(OrphanCount(), 21u);

  Reopen();
  EXPECT_EQ(OrphanCount(), 21u);
  EXPECT_EQ(Recover(), 21u);
  EXPECT_EQ(OrphanCount(), 0u);
  EXPECT_EQ(FreePages(), before);
  for (const InodeNumber file : files) EXPECT_ERROR(ESTALE, attributes().Get(file));
  EXPECT_EQ(Recover(), 0u);
  Walk(volume());
}

TEST_F(OrphansTest, RemovedDirectoriesToo) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  for (int i = 0; i < 200; ++i) MakeForgotten(directory, std::to_string(i), S_IFREG | 0600);
  for (int i = 0; i < 200; ++i) ASSERT_OK(names().Unlink(directory, std::to_string(i)));
  ASSERT_OK(names().Rmdir(kRoot, "d"));
  EXPECT_EQ(OrphanCount(), 1u);
  Reopen();
  EXPECT_EQ(Recover(), 1u);
  EXPECT_ERROR(ESTALE, attributes().Get(directory));
}

TEST_F(OrphansTest, ReferencedOnesStay) {
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, "data");
  ASSERT_OK(names().Unlink(kRoot, "file"));
  EXPECT_EQ(Recover(), 0u);
  EXPECT_EQ(OrphanCount(), 1u);
  EXPECT_EQ(ReadAll(file), "data");
  names().Forget(file, 1);
  EXPECT_EQ(OrphanCount(), 0u);
}

TEST_F(OrphansTest, ManyExtentsTakeManyTransactions) {
  const uint64_t before = FreePages();
  const InodeNumber file = MakeScattered("file", 3000);
  ASSERT_OK(xattrs().Set(file, "user.big", std::vector<std::byte>(60000), XattrSetMode::kAny,
                         false));
  names().Forget(file, 1);
  TransactionCounter transactions(volume().device().journal());
  ASSERT_OK(names().Unlink(kRoot, "file"));
  EXPECT_GT(transactions.Take(), 1u);
  EXPECT_EQ(OrphanCount(), 0u);
  EXPECT_EQ(FreePages(), before);
  EXPECT_ERROR(ESTALE, attributes().Get(file));
}

// A truncation that stopped half-way: the size is there, the pages behind it are not free yet.
TEST_F(OrphansTest, TruncationIsCompleted) {
  const InodeNumber file = MakeScattered("file", 1000);
  const uint64_t pages = Get(file).page_count;
  {
    const ExclusiveInodeLocks lock(core().locks, file);
    Transaction transaction(*core().allocator, core().reader);
    const auto inode = transaction.EditInode(file);
    ASSERT_OK(inode);
    (*inode)->size_bytes = 5000;
    ASSERT_OK(volume().orphans().Mark(transaction, **inode));
    ASSERT_OK(transaction.Commit());
  }
  Reopen();
  EXPECT_EQ(Get(file).page_count, pages);
  EXPECT_EQ(Recover(), 1u);
  EXPECT_EQ(OrphanCount(), 0u);
  const Attributes after = Get(file);
  EXPECT_EQ(after.size_bytes, 5000u);
  EXPECT_EQ(after.page_count, 1u);
  EXPECT_EQ(after.links, 1u);
  EXPECT_EQ(ReadAll(file).size(), 5000u);
  Walk(volume());
}

TEST_F(OrphansTest, RecoveryStopsBetweenTransactionsAndGoesOn) {
  for (int i = 0; i < 20; ++i) {
    MakeFile(kRoot, std::to_string(i));
    ASSERT_OK(names().Unlink(kRoot, std::to_string(i)));
  }
  Reopen();
  for (uint64_t asked = 0, left = 20; left != 0; asked = 0) {
    const auto recovered = volume().orphans().Recover([&asked] { return ++asked <= 4; });
    ASSERT_OK(recovered);
    ASSERT_GE(*recovered, 1u) << "it goes on";
    ASSERT_LE(*recovered, 4u) << "it asks before each";
    left -= *recovered;
    ASSERT_EQ(OrphanCount(), left);
  }
  Walk(volume());
}

TEST_F(OrphansTest, ALargeOneStopsInTheMiddle) {
  const InodeNumber file = MakeScattered("large", 6000);
  ASSERT_OK(names().Unlink(kRoot, "large"));
  Reopen();
  const uint64_t pages = core().reader.ReadInode(file)->page_count;
  uint64_t asked = 0;
  EXPECT_EQ(*volume().orphans().Recover([&asked] { return ++asked <= 3; }), 0u);
  const auto inode = core().reader.ReadInode(file);
  ASSERT_OK(inode);
  EXPECT_LT(inode->page_count, pages);
  EXPECT_GT(inode->page_count, 0u);
  EXPECT_EQ(OrphanCount(), 1u);
  EXPECT_EQ(Recover(), 1u);
  EXPECT_EQ(OrphanCount(), 0u);
  Walk(volume());
}

TEST_F(OrphansTest, RecoveryStopsWhenTold) {
  MakeFile(kRoot, "file");
  ASSERT_OK(names().Unlink(kRoot, "file"));
  Reopen();
  const std::atomic<bool> stop{true};
  const auto recovered = volume().orphans().Recover(stop);
  ASSERT_OK(recovered);
  EXPECT_EQ(*recovered, 0u);
  EXPECT_EQ(OrphanCount(), 1u);
}

TEST_F(OrphansTest, ReclaimLeavesNamedAndForeignNumbers) {
  const InodeNumber file = MakeForgotten(kRoot, "file", S_IFREG | 0600);
  ASSERT_OK(volume().orphans().Reclaim(file));
  EXPECT_EQ(Find(kRoot, "file"), file);
  ASSERT_OK(volume().orphans().Reclaim(InodeNumber(1000)));
}

// A file's data that looks like an orphaned inode is not one.
TEST_F(OrphansTest, ForgedInodeIsNotBelieved) {
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, std::string(kPageSize, 'x'));
  const auto extents = data().Extents(file, FilePage(0), 1);
  ASSERT_OK(extents);
  ASSERT_EQ(extents->size(), 1u);
  const InodeNumber forged(extents->front().start.value * media::kInodesPerPage);
  media::Inode inode{};
  inode.magic = media::kInodeMagic;
  inode.number = forged.value;
  inode.generation = 1;
  inode.mode = S_IFREG;
  inode.flags = media::kInodeOrphan;
  SealInode(inode);
  ASSERT_OK(data().Write(file, 0, BytesOf(inode), {}));
  ASSERT_OK(volume().orphans().Reclaim(forged));
  EXPECT_ERROR(ESTALE, names().LookupByNumber(forged, 1));
  EXPECT_ERROR(ESTALE, names().Lookup(forged, "."));
  EXPECT_EQ(ReadAll(file).size(), kPageSize);
}

}  // namespace
}  // namespace ingot::tests
