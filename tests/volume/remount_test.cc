// SPDX-License-Identifier: BSD-3-Clause
// I9: a pool whose superblocks were restored or made again, or whose bytes were rolled back, is
// mounted with page arrays full of plausible descriptors of earlier mounts. None is believed.
#include <sys/mman.h>
#include <unistd.h>

#include <random>

#include "fs/admin/restore_superblocks.h"
#include "tests/model/generator.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kPoolBytes = 300 * kMiB;
constexpr uint64_t kBefore = 3000, kAfter = 2000;  // operations

PoolOptions OnDevice() {
  PoolOptions options;
  options.device.page_array = PageArrayChoice::kDevice;
  return options;
}

class RemountTest : public ::testing::Test {
 protected:
  void RunSome(uint64_t operations) {
    for (uint64_t i = 0; i < operations; ++i) {
      pool_.Run(generator_.Next());
      ASSERT_FALSE(HasFailure()) << "operation " << i;
    }
  }

  static void Erase(int fd, MediaOffset at, uint64_t size_bytes) {
    const std::vector<char> zeros(size_bytes);
    ASSERT_EQ(pwrite(fd, zeros.data(), size_bytes, static_cast<off_t>(at.value)),
              static_cast<ssize_t>(size_bytes));
  }
  static void EraseCopies(int fd, std::initializer_list<uint32_t> copies) {
    for (const uint32_t copy : copies) {
      Erase(fd, Geometry::SuperblockCopy(copy, kPoolBytes), sizeof(media::Superblock));
    }
  }

  // Keeps what the last mount left where it was, and makes the rest as damaging as can be: pages
  // verified, inodes looked up and open, others' owners.
  static void FillWithLies(int fd, uint64_t epoch) {
    void* at = mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_NE(at, MAP_FAILED);
    std::mt19937_64 random(epoch);
    const Geometry geometry = Geometry::ForRegion(kPoolBytes).value();
    for (GroupIndex group(0); group.value < geometry.group_count(); ++group) {
      auto* descriptors = reinterpret_cast<PageDescriptor*>(
          static_cast<std::byte*>(at) + Geometry::PageArrayOf(group).value);
      for (uint64_t i = 0; i < kPagesPerGroup; ++i) {
        PageDescriptor& descriptor = descriptors[i];
        descriptor.state = static_cast<PageState>(random() % 6);
        descriptor.flags = random() % 2 == 0 ? kPageVerified : kPageVerified | kPageWholeHuge;
        descriptor.pins = 1;
        descriptor.verified_inodes = 0xFF;
        descriptor.owner = random() % 4000;
        for (auto& lookups : descriptor.references.lookups) lookups = 3;
        for (auto& opens : descriptor.references.opens) opens = 1;
      }
      descriptors[media::kAllocatedBitmapPage].group.nonce = epoch;
      descriptors[media::kAllocatedBitmapPage].group.mask = ~uint64_t{0};
    }
    munmap(at, kPoolBytes);
  }

  // The bytes of another image, but for the page arrays.
  static void RollBack(int fd, int older) {
    const Geometry geometry = Geometry::ForRegion(kPoolBytes).value();
    std::vector<char> buffer(kHugePageSize);
    for (uint64_t at = 0; at < kPoolBytes; at += kHugePageSize) {
      bool is_array = false;
      for (GroupIndex group(0); group.value < geometry.group_count(); ++group) {
        is_array = is_array || Geometry::PageArrayOf(group).value == at;
      }
      if (is_array) continue;
      const auto place = static_cast<off_t>(at);
      ASSERT_EQ(pread(older, buffer.data(), buffer.size(), place), ssize_t{kHugePageSize});
      ASSERT_EQ(pwrite(fd, buffer.data(), buffer.size(), place), ssize_t{kHugePageSize});
    }
  }

  // Opens the bytes: nothing is known of any page, and everything is as `expected` says. Then the
  // volume goes on as if nothing had been.
  void OpenAndGoOn(int fd, const std::string& expected) {
    pool_.Use(fd);
    const Device& device = pool_.device();
    ASSERT_EQ(pool_.device().page_array().placement(), PageArrayPlacement::kDevice);
    uint64_t known = 0;
    for (uint64_t page = 0; page < device.geometry().page_count(); page += 7) {
      // Opening has looked at the root, and at no other layer.
      if (pool_.device().page_array().Peek(LogicalPage(page)) != nullptr) {
        ++known;
        ASSERT_LT(page, kPagesPerHugePage);
      }
    }
    EXPECT_LE(known, kPagesPerHugePage);
    EXPECT_EQ(TreeDifference(expected, TreeOf(pool_.volume())), "");
    EXPECT_FSCK_CLEAN(pool_.device());
    EXPECT_EQ(pool_.volume().core().allocator->Count().orphans, 0u);
  }

  // Slots that stale counts call referenced are given out, freed ones are gone, all space returns.
  void ExpectAlive() {
    ASSERT_NO_FATAL_FAILURE(RunSome(kAfter));
    pool_.ExpectWhole();
  }

  ModelledPool pool_{kPoolBytes, OnDevice()};
  Generator generator_{GeneratorOptions{.seed = 77}};
};

TEST_F(RemountTest, ARestoredSuperblock) {
  ASSERT_NO_FATAL_FAILURE(RunSome(kBefore));
  for (const auto& lost : {std::initializer_list<uint32_t>{0, 1}, {1, 2}, {0, 2}, {0}}) {
    const uint64_t epoch = pool_.device().page_array().epoch();
    const int fd = DuplicateOf(pool_.fd());
    pool_.Close();
    EraseCopies(fd, lost);
    FillWithLies(fd, epoch);
    ASSERT_NO_FATAL_FAILURE(OpenAndGoOn(fd, DumpTree(pool_.model())));
    ASSERT_NO_FATAL_FAILURE(RunSome(300));
  }
  ExpectAlive();
}

TEST_F(RemountTest, AllSuperblocksMadeAgain) {
  ASSERT_NO_FATAL_FAILURE(RunSome(kBefore));
  const uint64_t epoch = pool_.device().page_array().epoch();
  const int fd = DuplicateOf(pool_.fd());
  pool_.Close();
  EraseCopies(fd, {0, 1, 2});
  FillWithLies(fd, epoch);
  EXPECT_ERROR(EUCLEAN, OpenPool(CopyOfPool(fd), OnDevice()));
  {
    auto mapping = Mapping::FromDescriptor(DuplicateOf(fd), TestMappingOptions());
    ASSERT_OK(mapping);
    const auto repaired = admin::RestoreSuperblocks(**mapping);
    ASSERT_OK(repaired);
    EXPECT_EQ(*repaired, admin::SuperblockRepair::kRecreated);
  }
  ASSERT_NO_FATAL_FAILURE(OpenAndGoOn(fd, DumpTree(pool_.model())));
  ExpectAlive();
}

// An older image comes back under page arrays that later mounts have written: what they say of
// blocks, inodes and claims was true once, of other bytes.
TEST_F(RemountTest, AnImageRolledBack) {
  for (const bool arrays_too : {false, true}) {
    pool_.Reopen();
    ASSERT_NO_FATAL_FAILURE(RunSome(kBefore));
    const std::string then = TreeOf(pool_.volume());
    const int snapshot = CopyOfPool(pool_.fd());
    const uint64_t free_then = pool_.volume().Statistics().free_bytes;
    // Later mounts go on: their arrays know other inodes, blocks and data.
    for (int mount = 0; mount < 2; ++mount) {
      ASSERT_NO_FATAL_FAILURE(RunSome(kBefore / 3));
      pool_.Reopen();
    }
    const std::string now = DumpTree(pool_.model());
    ASSERT_NE(TreeDifference(then, now), "");
    const int later = CopyOfPool(pool_.fd());
    const int fd = DuplicateOf(pool_.fd());
    pool_.Close();
    if (arrays_too) {
      close(fd);
      ASSERT_NO_FATAL_FAILURE(OpenAndGoOn(DuplicateOf(snapshot), then));
    } else {
      ASSERT_NO_FATAL_FAILURE(RollBack(fd, snapshot));
      ASSERT_NO_FATAL_FAILURE(OpenAndGoOn(fd, then));
    }
    EXPECT_EQ(pool_.volume().Statistics().free_bytes, free_then);
    VolumeSubject subject(pool_.volume());
    Generator other(GeneratorOptions{.seed = 5});
    for (uint64_t i = 0; i < kAfter; ++i) (void)subject.Run(other.Next());
    EXPECT_FSCK_CLEAN(pool_.device());
    close(snapshot);
    // And forward again, to what the model knows.
    ASSERT_NO_FATAL_FAILURE(OpenAndGoOn(later, now));
    ExpectAlive();
  }
}

// The converse: descriptors that say "verified" of a block which isn't whole any more.
TEST_F(RemountTest, AStaleVerdictDoesNotHideDamage) {
  pool_.Run({.kind = Kind::kMkdir, .path = "/d", .mode = 0700});
  for (int i = 0; i < 100; ++i) {
    pool_.Run({.kind = Kind::kCreate, .path = fmt::format("/d/{}", i), .mode = 0600});
  }
  const InodeNumber directory = InodeAt(pool_.volume(), "/d");
  const auto inode = pool_.volume().core().reader.ReadInode(directory);
  ASSERT_OK(inode);
  media::Record record;
  std::memcpy(&record, inode->tail.data(), sizeof(record));
  const LogicalPage leaf(record.value);
  const uint64_t epoch = pool_.device().page_array().epoch();
  const int fd = DuplicateOf(pool_.fd());
  pool_.Close();
  FillWithLies(fd, epoch);
  ASSERT_NO_FATAL_FAILURE(Erase(fd, Geometry::ToMedia(leaf) + (kPageSize - 64), 64));
  pool_.Use(fd);
  EXPECT_ERROR(EUCLEAN, pool_.volume().names().Lookup(directory, "50"));
  EXPECT_FALSE(IsFsckClean(pool_.device()));
}

}  // namespace
}  // namespace ingot::tests
