// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a large file's last window when the file is closed: it leaves its huge page whole
// where whole ones are short, and stays where they are not.
#include <numeric>

#include "tests/fs/core/file_model.h"

namespace ingot::tests {
namespace {

class FileSettlingTest : public FileDataFixture {
 protected:
  void SetUp() override { Make(128 * kMiB); }
  void TearDown() override {
    for (const InodeNumber file : {file_, sieve_}) data().Closed(file);
    FileDataFixture::TearDown();
  }

  // Leaves free runs of `pages`, and as much between them, in `windows` broken huge pages.
  void BreakHugePages(uint64_t windows, uint64_t pages, bool at_begin = false) {
    ASSERT_OK(data().Fallocate(sieve_, 0, 0, windows * kHugePageSize));
    const uint64_t run = pages * kPageSize;
    for (uint64_t at = at_begin ? 0 : run; at < windows * kHugePageSize; at += 2 * run) {
      ASSERT_OK(data().Fallocate(sieve_, kPunch, at, run));
    }
    data().Closed(sieve_);
  }
  void AppendNoise(uint64_t size_bytes) {
    const uint64_t at = Get(file_).size_bytes;
    const auto bytes = Noise(size_bytes, at);
    // As a program that copies does it.
    for (uint64_t done = 0; done < size_bytes; done += 128 << 10) {
      const auto piece = std::span(bytes).subspan(done);
      ASSERT_OK(Append(file_, piece.first(std::min<size_t>(piece.size(), 128 << 10))));
    }
    model_.Write(at, bytes);
  }
  uint64_t WholeHugePages() { return core().allocator->Count().free_huge_pages; }
  size_t Pieces() { return data().Extents(file_, FilePage(0), SIZE_MAX)->size(); }

  static constexpr uint32_t kPunch = kFallocatePunchHole | kFallocateKeepSize;
  InodeNumber file_;
  InodeNumber sieve_;
  FileModel model_;

 private:
  void Make(uint64_t size_bytes) {
    FileDataFixture::Make(size_bytes);
    file_ = MakeFile(kRoot, "file");
    sieve_ = MakeFile(kRoot, "sieve");
  }
};

TEST_F(FileSettlingTest, TheLastWindowLeavesItsHugePageWhole) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 128));
  ASSERT_TRUE(core().allocator->IsShortOfHugePages());
  const uint64_t whole = WholeHugePages();
  ASSERT_NO_FATAL_FAILURE(AppendNoise(2 * kHugePageSize + 700'000));
  EXPECT_EQ(WholeHugePages(), whole - 3);
  data().Closed(file_);
  EXPECT_EQ(WholeHugePages(), whole - 2);
  EXPECT_EQ(HugeBytes(file_), 2 * kHugePageSize);
  ExpectSame(file_, model_);
}

TEST_F(FileSettlingTest, AFirstWindowThatIsTheLastDoesToo) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 256));
  const uint64_t whole = WholeHugePages();
  ASSERT_NO_FATAL_FAILURE(AppendNoise(1'800'000));
  EXPECT_EQ(WholeHugePages(), whole - 1);
  data().Closed(file_);
  EXPECT_EQ(WholeHugePages(), whole);
  ExpectSame(file_, model_);
}

TEST_F(FileSettlingTest, ItStaysWhereHugePagesArePlenty) {
  ASSERT_FALSE(core().allocator->IsShortOfHugePages());
  ASSERT_NO_FATAL_FAILURE(AppendNoise(kHugePageSize + 700'000));
  const auto before = data().Extents(file_, FilePage(0), SIZE_MAX);
  data().Closed(file_);
  EXPECT_EQ(*data().Extents(file_, FilePage(0), SIZE_MAX), *before);
  ExpectSame(file_, model_);
}

TEST_F(FileSettlingTest, IslandsAtBothEndsOfWindowsTakeNoHugePages) {
  const uint64_t whole = WholeHugePages();
  for (uint64_t window = 0; window < 10; ++window) {
    for (const uint64_t at : {uint64_t{0}, kHugePageSize - kPageSize}) {
      const auto bytes = Noise(kPageSize, window);
      ASSERT_OK(Write(file_, window * 2 * kHugePageSize + at, bytes));
      model_.Write(window * 2 * kHugePageSize + at, bytes);
    }
  }
  EXPECT_GE(WholeHugePages() + 2, whole);
  ExpectSame(file_, model_);
}

class WhereFragmentsBegin : public FileSettlingTest, public testing::WithParamInterface<bool> {};

INSTANTIATE_TEST_SUITE_P(Settling, WhereFragmentsBegin, testing::Bool());

TEST_P(WhereFragmentsBegin, AWindowThatIsFilledUpLaterIsHuge) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 128, GetParam()));
  for (int i = 0; i < 12; ++i) {
    ASSERT_NO_FATAL_FAILURE(AppendNoise(700'000));
    data().Closed(file_);
    ExpectSame(file_, model_);
  }
  EXPECT_EQ(HugeBytes(file_), 12 * 700'000 / kHugePageSize * kHugePageSize);
}

TEST_F(FileSettlingTest, WhatWasPreallocatedStaysUnwritten) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 64));
  const uint64_t whole = WholeHugePages();
  ASSERT_NO_FATAL_FAILURE(AppendNoise(kHugePageSize + 100'000));
  ASSERT_OK(data().Fallocate(file_, kFallocateKeepSize, kHugePageSize, 800'000));
  data().Closed(file_);
  EXPECT_EQ(WholeHugePages(), whole - 1);
  const auto extents = data().Extents(file_, FilePage(0), SIZE_MAX);
  ASSERT_OK(extents);
  const auto unwritten = [](uint64_t pages, const Extent& extent) {
    return pages + (extent.unwritten ? extent.pages : 0);
  };
  EXPECT_EQ(std::accumulate(extents->begin(), extents->end(), uint64_t{0}, unwritten),
            (RoundUp(800'000, kPageSize) - RoundUp(100'000, kPageSize)) / kPageSize);
  ExpectSame(file_, model_);
}

TEST_F(FileSettlingTest, ItStaysWhereOnlyShortFragmentsAre) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 8));
  ASSERT_TRUE(core().allocator->IsShortOfHugePages());
  const uint64_t whole = WholeHugePages();
  ASSERT_NO_FATAL_FAILURE(AppendNoise(kHugePageSize + 700'000));
  const size_t pieces = Pieces();
  data().Closed(file_);
  EXPECT_EQ(WholeHugePages(), whole - 2);
  EXPECT_EQ(Pieces(), pieces);
  ExpectSame(file_, model_);
}

// As when the mount becomes read-only while files are open.
TEST_F(FileSettlingTest, NothingMovesOnceReservationsAreGivenBack) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 128));
  ASSERT_NO_FATAL_FAILURE(AppendNoise(kHugePageSize + 700'000));
  const auto before = data().Extents(file_, FilePage(0), SIZE_MAX);
  data().DropReservations();
  data().Closed(file_);
  EXPECT_EQ(*data().Extents(file_, FilePage(0), SIZE_MAX), *before);
}

TEST_F(FileSettlingTest, AnUnlinkedFileIsLeftAlone) {
  ASSERT_NO_FATAL_FAILURE(BreakHugePages(20, 128));
  ASSERT_NO_FATAL_FAILURE(AppendNoise(kHugePageSize + 700'000));
  ASSERT_OK(names().Open(file_));
  ASSERT_OK(names().Unlink(kRoot, "file"));
  const size_t pieces = Pieces();
  names().Release(file_);
  EXPECT_EQ(Pieces(), pieces);
}

}  // namespace
}  // namespace ingot::tests
