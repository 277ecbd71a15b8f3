// SPDX-License-Identifier: BSD-3-Clause
// Media whose checksums are right and whose contents are not, and references that must outlive what
// happens to volatile state: operations answer EUCLEAN or go on elsewhere, nobody gets another
// file's bytes.
#include <dirent.h>

#include <cstring>

#include "fs/core/orphans.h"
#include "pmemdev/base/checksum.h"
#include "tests/fs/core/file_model.h"
#include "tests/support/fsck_assert.h"

namespace ingot::tests {
namespace {

class DamageTest : public FileDataFixture {
 protected:
  // Raw bytes of the logical space, for damage.
  std::byte* At(LogicalOffset at) {
    return volume().device().mapping().writable_base() + Geometry::ToMedia(at).value;
  }
  media::Inode& Raw(InodeNumber inode) {
    return *reinterpret_cast<media::Inode*>(At(LogicalOffset(inode.value * media::kInodeSize)));
  }
};

// The page array forgets under its budget what only saves time, never that the kernel holds a file.
TEST_F(DamageTest, TrimKeepsReferencesToInodesOfEarlierMounts) {
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, std::string(20000, 's'));
  OpenInDram(0);
  ASSERT_OK(names().Lookup(kRoot, "file"));
  ASSERT_OK(names().Open(file));
  volume().device().page_array().Trim();
  EXPECT_TRUE(core().inodes.IsReferenced(file));
  ASSERT_OK(names().Unlink(kRoot, "file"));
  const InodeNumber other = MakeFile(kRoot, "other");
  WriteAll(other, "other");
  EXPECT_NE(other, file) << "the slot of an open file was given out again";
  EXPECT_EQ(ReadAll(file), std::string(20000, 's'));
  EXPECT_FSCK_CLEAN(volume().device());
}

// The descriptor of a bitmap page holds the page array's own head.
TEST_F(DamageTest, EntryThatNamesABitmapIsRefused) {
  const InodeNumber kept = MakeFile(kRoot, "kept");
  const InodeNumber directory = MakeDirectory(kRoot, "directory");
  MakeForgotten(directory, "forged", S_IFREG | 0644);
  for (const uint32_t page : {media::kAllocatedBitmapPage, media::kInodeBitmapPage}) {
    {
      const ExclusiveInodeLocks lock(core().locks, directory);
      Transaction transaction(*core().allocator, core().reader);
      media::Inode* inode = *transaction.EditInode(directory);
      ASSERT_OK(core().directories.Replace(transaction, *inode, "forged",
                                           InodeNumber(page * media::kInodesPerPage), DT_REG));
      ASSERT_OK(transaction.Commit());
    }
    EXPECT_ERROR(EUCLEAN, names().Lookup(directory, "forged"));
    EXPECT_TRUE(core().inodes.IsReferenced(kept)) << "references of the group are lost";
  }
}

// A checksum that is right says nothing of it.
TEST_F(DamageTest, PagesBehindAShortGroupsEndAreNobodys) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const GroupIndex group(0);
  const uint32_t pages = volume().device().geometry().PagesIn(group);
  ASSERT_LT(pages, kPagesPerGroup);
  std::byte* bitmap = At(ingot::OffsetOf(FirstPageOf(group) + media::kAllocatedBitmapPage));
  std::memset(bitmap + pages / 8, 0, (kPagesPerGroup - pages) / 8);
  media::GroupEntry entry = *volume().device().group_table().Read(group);
  entry.allocated_checksum = Crc32c({bitmap, kPageSize});
  GroupTable::Seal(group, entry);
  std::memcpy(volume().device().mapping().writable_base() + Geometry::GroupEntryAt(group).value,
              &entry, sizeof(entry));
  Reopen();
  EXPECT_ERROR(ENOSPC, core().allocator->Take({.goal = FirstPageOf(group) + pages}));
  EXPECT_FALSE(data().Write(file, 0, Bytes(std::string(100'000, 'x')), {}));
}

TEST_F(DamageTest, BitmapOfOneGroupDoesNotStopTheOthers) {
  Make(uint64_t{400} << 20);
  const InodeNumber file = MakeFile(kRoot, "file");
  const LogicalPage group = FirstPageOf(GroupIndex(1));
  const auto take = [&]() -> Result<void> {
    Transaction transaction(*core().allocator, core().reader);
    TRY(transaction.Allocate(TRY(core().allocator->Take({.goal = group, .whole_huge = true})),
                             file, ClaimPurpose::kData));
    return transaction.Commit();
  };
  ASSERT_OK(take());
  *At(ingot::OffsetOf(group + media::kAllocatedBitmapPage)) ^= std::byte{0x55};
  Reopen();
  for (int i = 0; i < 70; ++i) ASSERT_OK(take());
}

TEST_F(DamageTest, InodeBitmapOfOneGroupDoesNotStopCreation) {
  Make(uint64_t{400} << 20);
  MakeFile(kRoot, "file");
  *At(ingot::OffsetOf(LogicalPage(media::kInodeBitmapPage))) ^= std::byte{0x40};
  Reopen();
  for (int i = 0; i < 100; ++i) MakeFile(kRoot, std::to_string(i));
}

// Lookups are bounded for nodes of any content: no extent in front of the page that was asked for.
TEST_F(DamageTest, NodesOutOfOrder) {
  const InodeNumber file = MakeFile(kRoot, "file");
  constexpr uint64_t kExtents = 900;
  for (uint64_t i = 0; i < kExtents; ++i) ASSERT_OK(Write(file, i * 3 * kPageSize, Noise(16, 3)));
  const media::Inode before = Raw(file);
  ASSERT_GT(before.tree_height, 0);
  const uint32_t count = before.body_bytes / media::kRecordSize;
  std::vector<media::TreeNode*> nodes(count);
  std::vector<media::TreeNode> good(count);
  for (uint32_t i = 0; i < count; ++i) {
    media::Record record;
    std::memcpy(&record, before.tail.data() + i * sizeof(record), sizeof(record));
    nodes[i] = reinterpret_cast<media::TreeNode*>(At(ingot::OffsetOf(LogicalPage(record.value))));
    good[i] = *nodes[i];
  }
  std::mt19937_64 random(7);
  uint64_t refused = 0;
  for (int round = 0; round < 1000; ++round) {
    media::Inode inode = before;
    for (uint32_t i = 0; i < count; ++i) {
      *nodes[i] = good[i];
      for (uint64_t k = random() % 40; k > 0; --k) {
        nodes[i]->records[random() % good[i].header.count].key = random() % (3 * kExtents);
      }
    }
    for (uint64_t k = random() % 4; k > 0; --k) {
      const uint64_t key = random() % (3 * kExtents);
      std::memcpy(inode.tail.data() + random() % count * sizeof(media::Record), &key, sizeof(key));
    }
    for (int i = 0; i < 20; ++i) {
      const FilePage page(random() % (3 * kExtents));
      const auto found = core().extents.Find(inode, page);
      if (!found) {
        EXPECT_EQ(found.error_code(), EUCLEAN);
        ++refused;
      } else if (*found) {
        ASSERT_GT((*found)->end(), page);
      }
    }
  }
  EXPECT_GT(refused, 0u);
}

// The first transaction of a truncation of an unlinked file went through, the next one did not.
TEST_F(DamageTest, HalfTruncatedUnlinkedFileShowsNoOldBytes) {
  const InodeNumber file = MakeFile(kRoot, "file");
  ASSERT_OK(Write(file, 0, Noise(100 * kPageSize, 3)));
  ASSERT_OK(data().Fallocate(file, kFallocateKeepSize, 200 * kPageSize, kPageSize));
  ASSERT_OK(names().Unlink(kRoot, "file"));
  Raw(file).size_bytes = 10;
  SealInode(Raw(file));
  ASSERT_OK(data().Truncate(file, 50 * kPageSize, false));
  std::vector<std::byte> bytes(40 * kPageSize, std::byte{1});
  ASSERT_OK(data().ReadInto(file, kPageSize, bytes));
  EXPECT_EQ(bytes, std::vector<std::byte>(40 * kPageSize));
}

TEST_F(DamageTest, BackedOrphanWithAttributesIsFreedOnce) {
  const InodeNumber file = MakeFile(kRoot, "file");
  ASSERT_OK(xattrs().Set(file, "user.key", Noise(3000, 1), XattrSetMode::kAny, false));
  ASSERT_OK(names().Unlink(kRoot, "file"));
  Raw(file).body_form = media::BodyForm::kBacked;
  Raw(file).backing_file = 7;
  SealInode(Raw(file));
  Reopen();
  const std::atomic<bool> stop{false};
  const auto recovered = volume().orphans().Recover(stop);
  ASSERT_OK(recovered);
  EXPECT_EQ(*recovered, 1u);
  EXPECT_FSCK_CLEAN(volume().device());
}

}  // namespace
}  // namespace ingot::tests
