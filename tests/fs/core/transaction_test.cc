// SPDX-License-Identifier: BSD-3-Clause
// Transactions and inode slots: all or none over a reopen, slots reused only when nobody refers to
// them, three fences for a change of existing metadata.
#include "fs/core/transaction.h"

#include <sys/stat.h>

#include <set>

#include "tests/fs/core/core_fixture.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class TransactionTest : public CoreFixture {
 protected:
  // A pool whose slot 1 is taken, as by Volume::Format: only the root has no generation.
  void MakeWithRoot(uint64_t size_bytes) {
    Make(size_bytes);
    ExclusiveInodeLocks held(core().locks, InodeNumber(1));
    Transaction transaction(allocator(), core().reader);
    const auto root = core().inodes.Allocate(transaction, held, InodeNumber(1));
    ASSERT_OK(root);
    ASSERT_EQ((*root)->number, media::kRootInode);
    (*root)->generation = 0;
    (*root)->mode = S_IFDIR | 0755;
    (*root)->links = 2;
    ASSERT_OK(transaction.Commit());
  }
  // A committed empty file near `near`.
  Result<InodeNumber> MakeInode(InodeNumber near = InodeNumber(1)) {
    ExclusiveInodeLocks held(core().locks, near);
    Transaction transaction(allocator(), core().reader);
    media::Inode* inode = TRY(core().inodes.Allocate(transaction, held, near));
    inode->mode = S_IFREG | 0644;
    inode->links = 1;
    const InodeNumber number(inode->number);
    TRY(transaction.Commit());
    return number;
  }
  Result<void> FreeInode(InodeNumber number) {
    ExclusiveInodeLocks held(core().locks, number);
    Transaction transaction(allocator(), core().reader);
    TRY(core().inodes.Free(transaction, number));
    return transaction.Commit();
  }
};

TEST_F(TransactionTest, ANewInodeIsThereAfterAReopenAndADroppedOneIsNot) {
  MakeWithRoot(300 * kMiB);
  const auto kept = MakeInode();
  ASSERT_OK(kept);
  InodeNumber dropped;
  {
    ExclusiveInodeLocks held(core().locks, *kept);
    Transaction transaction(allocator(), core().reader);
    auto inode = core().inodes.Allocate(transaction, held, *kept);
    ASSERT_OK(inode);
    dropped = InodeNumber((*inode)->number);
  }
  EXPECT_NE(dropped, *kept);
  Reopen();
  const auto read = core().reader.ReadInode(*kept);
  ASSERT_OK(read);
  EXPECT_NE(read->generation, 0u);
  EXPECT_ERROR(ESTALE, core().reader.ReadInode(dropped));
}

TEST_F(TransactionTest, SlotsAreCountedAndPagesGivenBack) {
  MakeWithRoot(300 * kMiB);
  const SpaceCounts before = allocator().Count();
  std::set<uint64_t> numbers;
  for (int i = 0; i < 1000; ++i) {
    const auto inode = MakeInode();
    ASSERT_OK(inode);
    EXPECT_TRUE(numbers.insert(inode->value).second);
    ASSERT_OK(core().inodes.CheckNumber(*inode));
  }
  EXPECT_EQ(allocator().Count().free_pages, before.free_pages - 125);
  for (const uint64_t number : numbers) ASSERT_OK(FreeInode(InodeNumber(number)));
  const SpaceCounts after = allocator().Count();
  EXPECT_EQ(after.free_pages, before.free_pages);
  EXPECT_EQ(after.free_inode_slots, before.free_inode_slots);
}

TEST_F(TransactionTest, AReferencedSlotIsNotReused) {
  MakeWithRoot(300 * kMiB);
  const auto held = MakeInode();
  ASSERT_OK(held);
  core().inodes.AddLookup(*held);
  ASSERT_OK(FreeInode(*held));
  for (int i = 0; i < 50; ++i) {
    const auto other = MakeInode();
    ASSERT_OK(other);
    EXPECT_NE(*other, *held);
  }
  EXPECT_EQ(core().inodes.Forget(*held, 1), 0u);
  bool reused = false;
  for (int i = 0; i < 50 && !reused; ++i) {
    const auto other = MakeInode();
    ASSERT_OK(other);
    reused = *other == *held;
  }
  EXPECT_TRUE(reused);
}

TEST_F(TransactionTest, APageThatIsGivenBackTakesNoNewInode) {
  MakeWithRoot(300 * kMiB);
  // The first inode page is full, the second holds one inode: freeing it gives the page back.
  for (int i = 0; i < 6; ++i) ASSERT_OK(MakeInode());
  const auto lone = MakeInode();
  ASSERT_OK(lone);
  InodeNumber made;
  {
    ExclusiveInodeLocks held(core().locks, *lone);
    Transaction transaction(allocator(), core().reader);
    ASSERT_OK(core().inodes.Free(transaction, *lone));
    const auto inode = core().inodes.Allocate(transaction, held, *lone);
    ASSERT_OK(inode);
    made = InodeNumber((*inode)->number);
    (*inode)->mode = S_IFCHR;
    (*inode)->links = 1;
    ASSERT_OK(transaction.Commit());
  }
  EXPECT_NE(PageOf(made), PageOf(*lone));
  ASSERT_OK(core().reader.ReadInode(made));
  ASSERT_OK(core().inodes.CheckNumber(made));
}

TEST_F(TransactionTest, ForgedNumbersAreStale) {
  MakeWithRoot(300 * kMiB);
  ASSERT_OK(MakeInode());
  for (const uint64_t number :
       {uint64_t{0}, uint64_t{8 * 100}, uint64_t{8 * 32768}, ~uint64_t{0}, uint64_t{1} << 51}) {
    EXPECT_ERROR(ESTALE, core().inodes.CheckNumber(InodeNumber(number)));
  }
}

TEST_F(TransactionTest, EditsOfOneInodeComposeAndTakeThreeFences) {
  MakeWithRoot(300 * kMiB);
  const auto number = MakeInode();
  ASSERT_OK(number);
  const uint64_t fences = device().persist().counts().fences;
  {
    ExclusiveInodeLocks held(core().locks, *number);
    Transaction transaction(allocator(), core().reader);
    auto first = transaction.EditInode(*number);
    ASSERT_OK(first);
    (*first)->uid = 7;
    auto second = transaction.EditInode(*number);
    ASSERT_OK(second);
    EXPECT_EQ((*second)->uid, 7u);
    (*second)->gid = 8;
    ASSERT_OK(transaction.Commit());
  }
  EXPECT_EQ(device().persist().counts().fences - fences, 3u);
  Reopen();
  const auto read = core().reader.ReadInode(*number);
  ASSERT_OK(read);
  EXPECT_EQ(read->uid, 7u);
  EXPECT_EQ(read->gid, 8u);
}

TEST_F(TransactionTest, AnUnchangedEditWritesNothing) {
  MakeWithRoot(300 * kMiB);
  const auto number = MakeInode();
  ASSERT_OK(number);
  const PersistCounts before = device().persist().counts();
  {
    ExclusiveInodeLocks held(core().locks, *number);
    Transaction transaction(allocator(), core().reader);
    ASSERT_OK(transaction.EditInode(*number));
    ASSERT_OK(transaction.Commit());
  }
  EXPECT_EQ(device().persist().counts().stores, before.stores);
  EXPECT_EQ(device().persist().counts().fences, before.fences);
}

TEST_F(TransactionTest, BlocksAreVerifiedOnceAndDamageIsNoticed) {
  MakeWithRoot(300 * kMiB);
  const auto number = MakeInode();
  ASSERT_OK(number);
  const BlockIdentity identity{BlockKind::kTreeNode, *number, 5};
  LogicalPage page;
  {
    ExclusiveInodeLocks held(core().locks, *number);
    Transaction transaction(allocator(), core().reader);
    auto claim = allocator().Take({.purpose = ClaimPurpose::kMetadata});
    ASSERT_OK(claim);
    page = claim->first();
    ASSERT_OK(transaction.Allocate(std::move(*claim), *number, ClaimPurpose::kMetadata));
    transaction.NewBlock(page, identity, 0);
    ASSERT_OK(transaction.Commit());
  }
  ASSERT_OK(core().reader.Verified(page, identity));
  // Another owner, kind or generation is refused although the block is known to be whole.
  EXPECT_ERROR(EUCLEAN, core().reader.Verified(page, {BlockKind::kTreeNode, InodeNumber(99), 5}));
  Reopen();
  EXPECT_ERROR(EUCLEAN, core().reader.Verified(page, {BlockKind::kTreeNode, *number, 6}));
  EXPECT_ERROR(EUCLEAN, core().reader.Verified(page, {BlockKind::kXattrHead, *number, 5}));
  PersistStream stream = device().persist().NewStream();
  const uint64_t garbage = 0x1234;
  ASSERT_OK(stream.StoreUnflushed(Geometry::ToMedia(page) + 800, std::span(&garbage, 1)));
  EXPECT_ERROR(EUCLEAN, core().reader.Verified(page, identity));
}

TEST_F(TransactionTest, TooManyGroupsOverflowAndLeaveNothing) {
  MakeWithRoot(1500 * kMiB);
  const SpaceCounts before = allocator().Count();
  {
    Transaction transaction(allocator(), core().reader);
    int overflowed_at = 0;
    for (int i = 0; i < 10; ++i) {
      auto claim = allocator().Take({.pages = 1,
                                     .goal = FirstPageOf(GroupIndex(static_cast<uint64_t>(i))),
                                     .purpose = ClaimPurpose::kMetadata});
      ASSERT_OK(claim);
      const auto result =
          transaction.Allocate(std::move(*claim), InodeNumber(1), ClaimPurpose::kMetadata);
      if (!result) {
        EXPECT_EQ(result.error().code, EOVERFLOW);
        overflowed_at = i;
        break;
      }
    }
    EXPECT_EQ(overflowed_at, 8);
  }
  EXPECT_EQ(allocator().Count().free_pages, before.free_pages);
}

}  // namespace
}  // namespace ingot::tests
