// SPDX-License-Identifier: BSD-3-Clause
// Partly written pieces of 2 MiB, found and completed, on an ext4 of 2 MiB clusters and on one of
// 4 KiB blocks, made in a file.
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "fs/core/backed_data.h"
#include "fs/core/partial_pieces.h"
#include "tests/system/ext4_host.h"
#include "tests/system/mapped_file.h"

namespace ingot::tests {
namespace {

struct Host {
  const char* name;
  const char* features;
  bool has_huge_clusters;
};

class PartialPieces : public testing::TestWithParam<Host> {
 protected:
  void SetUp() override {
    if (!host_.is_mounted()) GTEST_SKIP() << "no ext4 can be made and mounted here";
    const std::string path = host_.path() + "/file";
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    file_ = std::make_unique<BackingFile>(fd, 1, nullptr);
  }
  void Write(uint64_t offset, const std::string& text) {
    ASSERT_TRUE(file_->Write(offset, std::as_bytes(std::span(text))));
  }
  [[nodiscard]] uint64_t Blocks() const { return static_cast<uint64_t>(file_->Stat()->st_blocks); }
  // The pieces that are found, one after the other, as they are.
  std::vector<uint64_t> Found(bool fills_holes) {
    EXPECT_TRUE(file_->Sync(/*data_only=*/false));  // until then nothing has a place
    const auto size = static_cast<uint64_t>(file_->Stat()->st_size);
    std::vector<uint64_t> found;
    for (uint64_t offset = 0; offset < size;) {
      const auto search = FindPartialPiece(*file_, offset, size, fills_holes);
      EXPECT_TRUE(search);
      if (!search) break;
      offset = search->searched_to;
      if (!search->piece) continue;
      EXPECT_EQ(*search->piece, offset);
      found.push_back(offset / kHugePage);
      offset += kHugePage;
    }
    return found;
  }
  // How the host describes the piece: extents, all written, and none missing.
  [[nodiscard]] bool IsOneWrittenExtent(uint64_t piece) const {
    std::vector<std::byte> list(sizeof(fiemap) + sizeof(fiemap_extent));
    auto* const request = reinterpret_cast<fiemap*>(list.data());
    request->fm_start = piece * kHugePage;
    request->fm_length = kHugePage;
    request->fm_extent_count = 1;
    const int got = ioctl(file_->fd(), FS_IOC_FIEMAP, request);
    if (got != 0 || request->fm_mapped_extents != 1) return false;
    const fiemap_extent& extent = request->fm_extents[0];
    return extent.fe_logical <= piece * kHugePage &&
           extent.fe_logical + extent.fe_length >= (piece + 1) * kHugePage &&
           (extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0;
  }

  const Ext4Host host_{GetParam().features};
  std::unique_ptr<BackingFile> file_;
};

TEST_P(PartialPieces, HolesOfAnAllocatedPieceAreFilledWhereTheyTakeNoSpace) {
  ASSERT_TRUE(file_->Resize(20 * kHugePage + 5000));
  Write(2 * kHugePage + 77, "in the middle");
  Write(5 * kHugePage, "at the begin");
  Write(8 * kHugePage - 10, "over an edge, so that two are");
  Write(11 * kHugePage, Pattern(kHugePage, 3));  // a whole one
  Write(20 * kHugePage + 100, "the last, which the file ends in");
  if (!GetParam().has_huge_clusters) {
    EXPECT_EQ(Found(/*fills_holes=*/false), std::vector<uint64_t>());
    return;
  }
  const std::vector<uint64_t> all = {2, 5, 7, 8};
  ASSERT_EQ(Found(/*fills_holes=*/true), all);
  EXPECT_EQ(Found(/*fills_holes=*/false), std::vector<uint64_t>());
  std::string before(20 * kHugePage + 5000, '\0');
  ASSERT_EQ(*file_->Read(0, std::as_writable_bytes(std::span(before))), before.size());
  const struct stat old = *file_->Stat();

  for (const uint64_t piece : all) ASSERT_TRUE(CompletePiece(*file_, piece * kHugePage));
  const struct stat now = *file_->Stat();
  EXPECT_EQ(Found(/*fills_holes=*/true), std::vector<uint64_t>());
  for (const uint64_t piece : all) EXPECT_TRUE(IsOneWrittenExtent(piece)) << piece;
  std::string after(before.size(), '\0');
  ASSERT_EQ(*file_->Read(0, std::as_writable_bytes(std::span(after))), after.size());
  EXPECT_TRUE(after == before);
  EXPECT_EQ(now.st_size, old.st_size);
  EXPECT_EQ(now.st_blocks, old.st_blocks) << "it took space";
  EXPECT_EQ(now.st_mtim.tv_sec, old.st_mtim.tv_sec);
  EXPECT_EQ(now.st_mtim.tv_nsec, old.st_mtim.tv_nsec);
  EXPECT_EQ(now.st_atim.tv_nsec, old.st_atim.tv_nsec);
  const auto hole = backed::FirstPart(*file_, 0, 2 * kHugePage);
  ASSERT_TRUE(hole);
  EXPECT_TRUE(hole->is_hole && hole->size_bytes == 2 * kHugePage) << "whole holes stay";
}

TEST_P(PartialPieces, WhatWasPreallocatedAndPartlyWrittenIsCompleted) {
  ASSERT_TRUE(file_->Allocate(0, 8 * kHugePage, /*grow=*/true));
  for (uint64_t at = kHugePage; at < 2 * kHugePage; at += 64 << 10) Write(at, "here and there");
  Write(5 * kHugePage + 9000, "x");
  const std::vector<uint64_t> found = Found(GetParam().has_huge_clusters);
  if (GetParam().has_huge_clusters) {
    EXPECT_EQ(found, (std::vector<uint64_t>{1, 5}));
  } else {
    // Where blocks are small the piece may lie anywhere, and isn't worth it then.
    EXPECT_LE(found.size(), 2U);
  }
  const uint64_t blocks = Blocks();
  for (const uint64_t piece : found) ASSERT_TRUE(CompletePiece(*file_, piece * kHugePage));
  EXPECT_EQ(Found(GetParam().has_huge_clusters), std::vector<uint64_t>());
  for (const uint64_t piece : found) EXPECT_TRUE(IsOneWrittenExtent(piece)) << piece;
  EXPECT_EQ(Blocks(), blocks) << "it took space";
}

// Pieces of many extents each, of which only the last is worth it: several looks find it.
TEST_P(PartialPieces, ALongSearchGoesOnWhereItStopped) {
  if (!GetParam().has_huge_clusters) GTEST_SKIP() << "the pieces would lie anywhere";
  ASSERT_TRUE(file_->Resize(40 * kHugePage));
  for (uint64_t at = 0; at < 39 * kHugePage; at += 16 << 10) Write(at, "x");
  ASSERT_TRUE(file_->Allocate(39 * kHugePage, kHugePage, /*grow=*/false));
  Write(39 * kHugePage + 70'000, "x");
  EXPECT_EQ(Found(/*fills_holes=*/false), std::vector<uint64_t>{39});
  const auto first = FindPartialPiece(*file_, 0, 40 * kHugePage, /*fills_holes=*/false);
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->piece);
  EXPECT_LT(first->searched_to, 39 * kHugePage);
  EXPECT_GT(first->searched_to, 0U);
  EXPECT_EQ(Found(/*fills_holes=*/true).size(), 40U);
}

TEST_P(PartialPieces, AFileWithoutContentsHasNone) {
  EXPECT_EQ(Found(/*fills_holes=*/true), std::vector<uint64_t>());
  ASSERT_TRUE(file_->Resize(3 * kHugePage));
  EXPECT_EQ(Found(/*fills_holes=*/true), std::vector<uint64_t>());
  ASSERT_TRUE(file_->Allocate(0, 3 * kHugePage, /*grow=*/false));
  EXPECT_EQ(Found(/*fills_holes=*/true), std::vector<uint64_t>()) << "a first store maps it whole";
}

TEST(PartialPiecesOfTmpfs, AreNotTold) {
  std::string path = "/dev/shm/ingot-pieces-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  unlink(path.c_str());
  BackingFile file(fd, 1, nullptr);
  EXPECT_EQ(FindPartialPiece(file, 0, kHugePage, true).error_code(), EOPNOTSUPP);
}

INSTANTIATE_TEST_SUITE_P(Hosts, PartialPieces,
                         testing::Values(Host{"bigalloc", kHugeClusters, true},
                                         Host{"blocks", "", false}),
                         [](const auto& host) { return std::string(host.param.name); });

}  // namespace
}  // namespace ingot::tests
