// SPDX-License-Identifier: BSD-3-Clause
// What single operations on file data promise: sizes, times, errors, holes, and that nobody sees
// bytes that are not the file's.
#include "tests/fs/core/file_model.h"

namespace ingot::tests {
namespace {

class FileDataTest : public FileDataFixture {
 protected:
  static constexpr uint32_t kPunch = kFallocatePunchHole | kFallocateKeepSize;

  void SetUp() override {
    Make(256 * kMiB);
    file_ = MakeFile(kRoot, "file");
    free_pages_ = FreePages();
  }
  // A file that lies in extents, though small.
  void FillPages(uint64_t size_bytes, uint64_t seed = 1) {
    const auto bytes = Noise(size_bytes, seed);
    ASSERT_OK(Write(file_, 0, bytes));
    model_.Write(0, bytes);
  }
  std::vector<Extent> Map() {
    auto extents = data().Extents(file_, FilePage(0), SIZE_MAX);
    EXPECT_TRUE(extents);
    return extents ? *extents : std::vector<Extent>{};
  }
  void SetFlags(uint32_t flags) {
    ASSERT_OK(
        attributes().SetFlags(file_, media::kInodeImmutable | media::kInodeAppendOnly, flags));
  }

  InodeNumber file_;
  FileModel model_;
  uint64_t free_pages_ = 0;
};

TEST_F(FileDataTest, SmallContentsNeedNoPage) {
  const auto bytes = Noise(media::kInodeTailSize, 1);
  ASSERT_OK(Write(file_, 0, std::span(bytes).first(100)));
  ASSERT_OK(Append(file_, std::span(bytes).subspan(100)));
  EXPECT_EQ(FreePages(), free_pages_);
  EXPECT_EQ(ReadBytes(file_, 0, 4096), bytes);
  EXPECT_EQ(ReadBytes(file_, 300, 10), std::vector(bytes.begin() + 300, bytes.begin() + 310));

  ASSERT_OK(Append(file_, Noise(1, 2)));
  EXPECT_EQ(PagesOf(file_), 1u);
  EXPECT_EQ(ReadBytes(file_, 0, media::kInodeTailSize), bytes);
  ASSERT_OK(data().Truncate(file_, 0, false));
  EXPECT_EQ(FreePages(), free_pages_);
}

TEST_F(FileDataTest, InlineContentsMakeRoomForAttributes) {
  const auto bytes = Noise(300, 1);
  ASSERT_OK(Write(file_, 0, bytes));
  ASSERT_OK(xattrs().Set(file_, "user.key", Noise(100, 2), XattrSetMode::kAny, false));
  EXPECT_EQ(ReadBytes(file_, 0, 300), bytes);
}

TEST_F(FileDataTest, ReadsStopAtTheEndAndRefuseOtherTypes) {
  FillPages(10'000);
  EXPECT_EQ(ReadBytes(file_, 9'990, 100).size(), 10u);
  EXPECT_TRUE(ReadBytes(file_, 10'000, 100).empty());
  EXPECT_TRUE(ReadBytes(file_, UINT64_MAX, 100).empty());
  ReadView view;
  EXPECT_ERROR(EISDIR, data().Read(kRoot, 0, 1, view));
  const InodeNumber pipe = MakeNode(kRoot, "pipe", S_IFIFO | 0600);
  EXPECT_ERROR(EINVAL, data().Read(pipe, 0, 1, view));
  EXPECT_ERROR(ESTALE, data().Read(InodeNumber(5), 0, 1, view));
  EXPECT_ERROR(EISDIR, Write(kRoot, 0, Noise(1, 1)));
}

TEST_F(FileDataTest, ABigHoleIsFewPiecesOfZeros) {
  ASSERT_OK(data().Truncate(file_, media::kMaxFileSize, false));
  ReadView view;
  ASSERT_OK(data().Read(file_, media::kMaxFileSize - kMiB, 2 * kMiB, view));
  EXPECT_EQ(view.size_bytes, kMiB);
  EXPECT_EQ(view.pieces.size(), 1u);
  EXPECT_EQ(FreePages(), free_pages_);
}

TEST_F(FileDataTest, OldBytesBehindTheEndNeverShow) {
  FillPages(8'000);
  ASSERT_OK(data().Truncate(file_, 5'000, false));
  ASSERT_OK(data().Truncate(file_, 6'000, false));
  model_.Truncate(5'000);
  model_.Truncate(6'000);
  ExpectSame(file_, model_);
  ASSERT_OK(data().Truncate(file_, 5'000, false));
  model_.Truncate(5'000);
  const auto late = Noise(10, 3);
  ASSERT_OK(Write(file_, 7'000, late));
  model_.Write(7'000, late);
  ExpectSame(file_, model_);
  ASSERT_OK(data().Truncate(file_, 5'000, false));
  ASSERT_OK(data().Fallocate(file_, 0, 0, 20'000));
  model_.Truncate(5'000);
  model_.Truncate(20'000);
  ExpectSame(file_, model_);
}

TEST_F(FileDataTest, LimitsAndFlags) {
  EXPECT_ERROR(EFBIG, Write(file_, media::kMaxFileSize, Noise(1, 1)));
  EXPECT_ERROR(EFBIG, data().Truncate(file_, media::kMaxFileSize + 1, false));
  const auto clipped = Write(file_, media::kMaxFileSize - 3, Noise(10, 1));
  ASSERT_OK(clipped);
  EXPECT_EQ(*clipped, 3u);
  ASSERT_OK(data().Truncate(file_, 0, false));

  SetFlags(media::kInodeImmutable);
  EXPECT_ERROR(EPERM, Write(file_, 0, Noise(1, 1)));
  EXPECT_ERROR(EPERM, Append(file_, Noise(1, 1)));
  EXPECT_ERROR(EPERM, data().Truncate(file_, 10, false));
  EXPECT_ERROR(EPERM, data().Fallocate(file_, 0, 0, 10));
  SetFlags(media::kInodeAppendOnly);
  EXPECT_ERROR(EPERM, Write(file_, 0, Noise(1, 1)));
  EXPECT_ERROR(EPERM, data().Truncate(file_, 0, false));
  EXPECT_ERROR(EPERM, data().Fallocate(file_, kPunch, 0, 10));
  ASSERT_OK(Append(file_, Noise(1, 1)));
  ASSERT_OK(data().Fallocate(file_, kFallocateKeepSize, 0, 10));
  FileData::WriteOptions writeback;
  writeback.from_page_cache = true;
  ASSERT_OK(data().Write(file_, 0, Noise(1, 1), writeback));
  SetFlags(0);

  EXPECT_ERROR(EOPNOTSUPP, data().Fallocate(file_, kFallocatePunchHole, 0, 10));
  EXPECT_ERROR(EOPNOTSUPP, data().Fallocate(file_, 8, 0, 10));
  EXPECT_ERROR(EINVAL, data().Fallocate(file_, 0, 0, 0));
  EXPECT_ERROR(EFBIG, data().Fallocate(file_, 0, media::kMaxFileSize, 1));
}

TEST_F(FileDataTest, PrivilegesGoWithTheWrite) {
  for (const bool by_truncate : {false, true}) {
    AttributeChange change;
    change.mode = 06755;
    ASSERT_OK(attributes().Set(file_, change));
    ASSERT_OK(xattrs().Set(file_, "security.capability", Noise(20, 1), XattrSetMode::kAny, false));
    FileData::WriteOptions options;
    options.kill_privileges = true;
    if (by_truncate) {
      ASSERT_OK(data().Truncate(file_, 10, true));
    } else {
      ASSERT_OK(data().Write(file_, 0, Noise(9'000, 1), options));
    }
    EXPECT_EQ(Get(file_).mode & 07777, 0755u);
    EXPECT_ERROR(ENODATA, xattrs().Get(file_, "security.capability"));
  }
}

TEST_F(FileDataTest, TimesFollowChanges) {
  FillPages(20'000);
  MakeOld(file_);
  ASSERT_OK(Write(file_, 0, Noise(100, 2)));
  EXPECT_TRUE(IsModified(file_) && IsChanged(file_));
  MakeOld(file_);
  ASSERT_OK(data().Truncate(file_, 10'000, false));
  EXPECT_TRUE(IsModified(file_) && IsChanged(file_));
  MakeOld(file_);
  ASSERT_OK(data().Fallocate(file_, kPunch, 0, 100));
  EXPECT_TRUE(IsModified(file_) && IsChanged(file_));
  MakeOld(file_);
  {
    ReadView view;
    ASSERT_OK(data().Read(file_, 0, 1, view));
    EXPECT_TRUE(view.atime_is_stale);
  }
  EXPECT_FALSE(IsModified(file_));
}

TEST_F(FileDataTest, AnOverwriteWithinATickIsOneFence) {
  FillPages(100'000);
  uint64_t best = UINT64_MAX;
  const auto bytes = Noise(kPageSize, 2);
  for (int i = 0; i < 100; ++i) {  // some of them fall on a tick's border
    const uint64_t before = volume().device().persist().counts().fences;
    ASSERT_OK(Write(file_, 3 * kPageSize, bytes));
    best = std::min(best, volume().device().persist().counts().fences - before);
  }
  EXPECT_EQ(best, 1u);
  model_.Write(3 * kPageSize, bytes);
  ExpectSame(file_, model_);
}

TEST_F(FileDataTest, SeekFindsDataAndHoles) {
  FillPages(5 * kPageSize);
  ASSERT_OK(data().Fallocate(file_, kPunch, kPageSize, kPageSize));
  ASSERT_OK(data().Fallocate(file_, kFallocateZeroRange, 3 * kPageSize, kPageSize));
  const auto data_at = [&](uint64_t offset) { return data().SeekData(file_, offset).value_or(1); };
  const auto hole_at = [&](uint64_t offset) { return data().SeekHole(file_, offset).value_or(1); };
  EXPECT_EQ(data_at(5), 5u);
  EXPECT_EQ(hole_at(5), kPageSize);
  EXPECT_EQ(data_at(kPageSize), 2 * kPageSize);
  EXPECT_EQ(hole_at(2 * kPageSize), 3 * kPageSize);
  EXPECT_EQ(data_at(3 * kPageSize), 4 * kPageSize);
  EXPECT_EQ(hole_at(4 * kPageSize), 5 * kPageSize);
  EXPECT_ERROR(ENXIO, data().SeekData(file_, 5 * kPageSize));
  EXPECT_ERROR(ENXIO, data().SeekHole(file_, 5 * kPageSize));
  ASSERT_OK(data().Truncate(file_, 9 * kPageSize, false));
  EXPECT_ERROR(ENXIO, data().SeekData(file_, 6 * kPageSize));
  EXPECT_EQ(hole_at(6 * kPageSize), 6 * kPageSize);
}

TEST_F(FileDataTest, ZeroingKeepsPagesAndPunchingFreesThem) {
  FillPages(64 * kPageSize);
  const uint64_t pages = PagesOf(file_);
  ASSERT_OK(data().Fallocate(file_, kFallocateZeroRange, 100, 60 * kPageSize));
  model_.Zero(100, 100 + 60 * kPageSize);
  EXPECT_EQ(PagesOf(file_), pages);
  ExpectSame(file_, model_);
  ASSERT_OK(data().Fallocate(file_, kPunch, 100, 60 * kPageSize));
  EXPECT_EQ(PagesOf(file_), pages - 59);
  ExpectSame(file_, model_);
}

TEST_F(FileDataTest, CopiesKeepHolesAndClearTheTarget) {
  const InodeNumber target = MakeFile(kRoot, "target");
  FillPages(3 * kPageSize);
  ASSERT_OK(data().Truncate(file_, 40 * kMiB, false));
  const auto copied = data().CopyRange(file_, 0, target, 0, UINT64_MAX / 2);
  ASSERT_OK(copied);
  EXPECT_EQ(*copied, 40 * kMiB);
  EXPECT_EQ(PagesOf(target), 3u);
  EXPECT_EQ(Get(target).size_bytes, 40 * kMiB);
  ExpectRange(target, model_, 0, 3 * kPageSize);
  // Its hole, over the target's data.
  ASSERT_OK(data().CopyRange(file_, 10 * kMiB, target, 0, kPageSize + 10));
  EXPECT_EQ(ReadBytes(target, 0, kPageSize + 10), std::vector<std::byte>(kPageSize + 10));
  EXPECT_ERROR(EINVAL, data().CopyRange(file_, 0, file_, 100, 200));
  EXPECT_ERROR(EISDIR, data().CopyRange(kRoot, 0, file_, 100, 200));
}

TEST_F(FileDataTest, ATruncationOfManyPiecesIsFinishedOrGoesOn) {
  // Every other page: an extent each.
  const auto bytes = Noise(kPageSize, 1);
  constexpr uint64_t kPieces = 5000;
  for (uint64_t i = 0; i < kPieces; ++i) ASSERT_OK(Write(file_, 2 * i * kPageSize, bytes));
  EXPECT_GE(PagesOf(file_), kPieces);
  ASSERT_OK(data().Truncate(file_, 100, false));
  EXPECT_EQ(PagesOf(file_), 1u);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  ASSERT_OK(data().Truncate(file_, 0, false));
  EXPECT_EQ(FreePages(), free_pages_);
}

TEST_F(FileDataTest, APendingTruncationIsFinishedBeforeTheFileGrows) {
  FillPages(100 * kPageSize);
  {  // what a crash in the middle of a large truncation leaves
    const ExclusiveInodeLocks lock(core().locks, file_);
    Transaction transaction(*core().allocator, core().reader);
    const Result<media::Inode*> inode = transaction.EditInode(file_);
    ASSERT_OK(inode);
    (*inode)->size_bytes = 10;
    ASSERT_OK(transaction.MarkToRecover(**inode, media::kInodeOrphan));
    ASSERT_OK(transaction.Commit());
  }
  ASSERT_OK(Write(file_, 50 * kPageSize, Noise(10, 2)));
  model_.Truncate(10);
  model_.Write(50 * kPageSize, Noise(10, 2));
  ExpectSame(file_, model_);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
}

TEST_F(FileDataTest, ReadOnlyVolumesRefuse) {
  FillPages(5000);
  VolumeOptions options;
  options.read_only = true;
  Reopen(options);
  EXPECT_ERROR(EROFS, Write(file_, 0, Noise(1, 1)));
  EXPECT_ERROR(EROFS, data().Truncate(file_, 0, false));
  EXPECT_ERROR(EROFS, data().Fallocate(file_, 0, 0, 1));
  ExpectSame(file_, model_);
}

}  // namespace
}  // namespace ingot::tests
