// SPDX-License-Identifier: BSD-3-Clause
// Where data goes: large files in whole huge pages whatever the size of the writes, small ones
// packed.
#include "fs/core/append_reservations.h"
#include "tests/fs/core/file_model.h"

namespace ingot::tests {
namespace {

class FilePlacementTest : public FileDataFixture {
 protected:
  void AppendInPieces(InodeNumber file, uint64_t size_bytes, uint64_t piece_bytes) {
    const auto bytes = Noise(piece_bytes, file.value);
    for (uint64_t done = 0; done < size_bytes; done += piece_bytes) {
      ASSERT_OK(Append(file, bytes));
    }
  }
};

TEST_F(FilePlacementTest, SmallAppendsGrowIntoHugePages) {
  Make(256 * kMiB);
  const InodeNumber file = MakeFile(kRoot, "file");
  AppendInPieces(file, 64 * kMiB, kPageSize);
  EXPECT_EQ(HugeBytes(file), 64 * kMiB);
  EXPECT_EQ(Get(file).size_bytes, 64 * kMiB);
}

TEST_F(FilePlacementTest, OddAppendsToo) {
  Make(256 * kMiB);
  const InodeNumber file = MakeFile(kRoot, "file");
  AppendInPieces(file, 16 * kMiB, 3001);
  EXPECT_GE(HugeBytes(file), 16 * kMiB - kHugePageSize);
}

TEST_F(FilePlacementTest, LargeWritesAndPreallocationsTakeWholeHugePages) {
  Make(256 * kMiB);
  const InodeNumber written = MakeFile(kRoot, "written");
  ASSERT_OK(Write(written, 0, Noise(9 * kMiB, 1)));
  EXPECT_EQ(HugeBytes(written), 8 * kMiB);
  const InodeNumber allocated = MakeFile(kRoot, "allocated");
  ASSERT_OK(data().Fallocate(allocated, 0, 0, 40 * kMiB));
  EXPECT_EQ(HugeBytes(allocated), 40 * kMiB);
}

TEST_F(FilePlacementTest, LargeAppendersSideBySideStayHuge) {
  Make(512 * kMiB);
  constexpr uint64_t kFiles = 60;
  constexpr uint64_t kSize = 3 * kMiB;
  std::vector<InodeNumber> files;
  for (uint64_t i = 0; i < kFiles; ++i) files.push_back(MakeFile(kRoot, std::to_string(i)));
  const uint64_t free_pages = FreePages();
  const auto bytes = Noise(16 << 10, 1);
  for (uint64_t done = 0; done < kSize; done += bytes.size()) {
    for (const InodeNumber file : files) ASSERT_OK(Append(file, bytes));
  }
  uint64_t pages = 0;
  for (const InodeNumber file : files) {
    EXPECT_EQ(HugeBytes(file), kHugePageSize);
    pages += PagesOf(file);
    data().Closed(file);
  }
  EXPECT_EQ(free_pages - FreePages(), pages);
}

TEST_F(FilePlacementTest, AThousandSmallAppendersStayInFewPieces) {
  Make(256 * kMiB);
  constexpr uint64_t kFiles = 1000;
  constexpr int kAppends = 20;
  std::vector<InodeNumber> files;
  for (uint64_t i = 0; i < kFiles; ++i) files.push_back(MakeFile(kRoot, std::to_string(i)));
  const uint64_t free_pages = FreePages();
  const auto bytes = Noise(kPageSize, 1);
  for (int i = 0; i < kAppends; ++i) {
    for (const InodeNumber file : files) ASSERT_OK(Append(file, bytes));
  }
  EXPECT_EQ(free_pages - FreePages(), kFiles * kAppends);
  for (const InodeNumber file : files) {
    const auto extents = data().Extents(file, FilePage(0), SIZE_MAX);
    ASSERT_OK(extents);
    EXPECT_LE(extents->size(), 6u);
  }
}

TEST_F(FilePlacementTest, SparseIslandsTakeNoHugePages) {
  Make(256 * kMiB);
  const InodeNumber file = MakeFile(kRoot, "file");
  const uint64_t huge_pages = core().allocator->Count().free_huge_pages;
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_OK(Write(file, i * 64 * kMiB, Noise(kPageSize, i)));
  }
  EXPECT_GE(core().allocator->Count().free_huge_pages + 2, huge_pages);
}

TEST_F(FilePlacementTest, AtomicOverwritesLeaveHugePagesWhole) {
  VolumeOptions options;
  options.atomic = true;
  Make(256 * kMiB, options);
  const InodeNumber file = MakeFile(kRoot, "file");
  FileModel model;
  const auto all = Noise(8 * kMiB, 1);
  ASSERT_OK(Write(file, 0, all));
  model.Write(0, all);
  uint64_t seed = 2;
  for (const uint64_t size : {uint64_t{10}, kPageSize, uint64_t{24'000}, uint64_t{100'000}, kMiB}) {
    const auto bytes = Noise(size, seed++);
    const uint64_t offset = 3 * kMiB - 777 + seed;
    ASSERT_OK(Write(file, offset, bytes));
    model.Write(offset, bytes);
  }
  ExpectSame(file, model);
  EXPECT_EQ(HugeBytes(file), 8 * kMiB);
}

}  // namespace
}  // namespace ingot::tests
