// SPDX-License-Identifier: BSD-3-Clause
// Full pools: what fails changes nothing, what is freed comes back, claims are given up before
// ENOSPC.
#include "tests/fs/core/file_model.h"

namespace ingot::tests {
namespace {

class FileSpaceTest : public FileDataFixture {
 protected:
  void SetUp() override {
    Make(32 * kMiB);
    file_ = MakeFile(kRoot, "file");
    filler_ = MakeFile(kRoot, "filler");
    reserve_ = core().allocator->Count().reserve_pages;
  }
  // Leaves `pages` that may be taken.
  void FillUpTo(uint64_t pages) {
    ASSERT_OK(data().Truncate(filler_, 0, false));
    data().Closed(file_);
    const uint64_t usable = FreePages() - reserve_;
    ASSERT_GE(usable, pages);
    if (usable == pages) return;
    ASSERT_OK(data().Fallocate(filler_, 0, 0, (usable - pages) * kPageSize));
    data().Closed(filler_);
    ASSERT_EQ(FreePages() - reserve_, pages);
  }

  InodeNumber file_;
  InodeNumber filler_;
  uint64_t reserve_ = 0;
};

TEST_F(FileSpaceTest, AWriteThatDoesNotFitIsShortOrFails) {
  for (uint64_t left = 0; left < 12; ++left) {
    SCOPED_TRACE(left);
    ASSERT_NO_FATAL_FAILURE(FillUpTo(left));
    const auto bytes = Noise(10 * kPageSize, left);
    const Result<uint64_t> written = Write(file_, 100, bytes);
    FileModel model;
    if (left == 0) {
      EXPECT_ERROR(ENOSPC, written);
    } else {
      ASSERT_OK(written);
      EXPECT_LE(*written, bytes.size());
      EXPECT_GE(*written, std::min<uint64_t>(left, 10) * kPageSize - 100);
      model.Write(100, std::span(bytes).first(*written));
    }
    ExpectSame(file_, model);
    ASSERT_OK(data().Truncate(file_, 0, false));
  }
}

TEST_F(FileSpaceTest, OverwritingAtomicallyWithoutSpaceLeavesTheOldBytes) {
  FileModel model;
  const auto old = Noise(100 * kPageSize, 1);
  ASSERT_OK(Write(file_, 0, old));
  model.Write(0, old);
  ASSERT_OK(attributes().SetFlags(file_, media::kInodeAtomic, media::kInodeAtomic));
  for (uint64_t left = 0; left < 20; left += 3) {
    ASSERT_NO_FATAL_FAILURE(FillUpTo(left));
    EXPECT_ERROR(ENOSPC, Write(file_, 50, Noise(30 * kPageSize, 2)));
    ExpectSame(file_, model);
  }
  const auto small = Noise(20'000, 3);  // goes through the lane, needs no space
  ASSERT_OK(Write(file_, 50, small));
  model.Write(50, small);
  ExpectSame(file_, model);
}

TEST_F(FileSpaceTest, APreallocationThatDoesNotFitTakesNothing) {
  ASSERT_NO_FATAL_FAILURE(FillUpTo(100));
  const uint64_t free_pages = FreePages();
  EXPECT_ERROR(ENOSPC, data().Fallocate(file_, 0, 0, 101 * kPageSize));
  EXPECT_ERROR(ENOSPC, data().Fallocate(file_, 0, 0, uint64_t{1} << 50));
  EXPECT_EQ(FreePages(), free_pages);
  EXPECT_EQ(Get(file_).size_bytes, 0u);
  ASSERT_OK(data().Fallocate(file_, kFallocateKeepSize, 0, 90 * kPageSize));
  EXPECT_EQ(PagesOf(file_), 90u);
  // Its own space can be used on a full pool.
  ASSERT_OK(Write(file_, 0, Noise(90 * kPageSize, 1)));
}

TEST_F(FileSpaceTest, AFullPoolCanBePunchedAndTruncated) {
  ASSERT_OK(Write(file_, 0, Noise(8 * kMiB, 1)));
  ASSERT_NO_FATAL_FAILURE(FillUpTo(0));
  const uint32_t punch = kFallocatePunchHole | kFallocateKeepSize;
  for (uint64_t page = 1; page < 300; page += 2) {
    ASSERT_OK(data().Fallocate(file_, punch, page * kPageSize, kPageSize));
  }
  ASSERT_OK(data().Truncate(file_, 0, false));
  EXPECT_EQ(PagesOf(file_), 0u);
}

TEST_F(FileSpaceTest, ClaimsOfAppendersAreGivenUpBeforeENOSPC) {
  const uint64_t usable = FreePages() - reserve_;
  std::vector<InodeNumber> files;
  for (int i = 0; i < 5; ++i) files.push_back(MakeFile(kRoot, std::to_string(i)));
  // Each claims the rest of a huge page, or more.
  for (const InodeNumber file : files) ASSERT_OK(Append(file, Noise(1100 << 10, 1)));
  const uint64_t left = FreePages() - reserve_;
  EXPECT_GE(left + files.size() * 300, usable);
  const auto written = Write(file_, 0, Noise(left * kPageSize, 2));
  ASSERT_OK(written);
  EXPECT_GE(*written, (left - 8) * kPageSize);  // but for a few tree nodes
}

TEST_F(FileSpaceTest, DeletingAllGivesBackAll) {
  const uint64_t before = FreePages();
  std::mt19937_64 random(1);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<std::string, InodeNumber>> files;
    for (int i = 0; i < 30; ++i) {
      const std::string name = fmt::format("{}-{}", round, i);
      files.emplace_back(name, MakeFile(kRoot, name));
    }
    for (const auto& [name, inode] : files) {  // more than there is room for
      const auto written = Write(inode, random() % kMiB, Noise(random() % (2 * kMiB), 1));
      EXPECT_TRUE(written || written.error_code() == ENOSPC) << Describe(written.error());
    }
    for (const auto& [name, inode] : files) {
      ASSERT_OK(names().Unlink(kRoot, name));
      names().Forget(inode, 1);
    }
  }
  EXPECT_LE(before - FreePages(), 1u);  // the root keeps a leaf
}

}  // namespace
}  // namespace ingot::tests
