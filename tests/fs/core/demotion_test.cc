// SPDX-License-Identifier: BSD-3-Clause
// Short backed files go back into extents at a mount: which, with all they hold, and never under
// anybody's hands.
#include <sys/mman.h>

#include <gtest/gtest.h>

#include "tests/fs/core/directory_pool_fixture.h"

namespace ingot::tests {
namespace {


class Demotion : public DirectoryPoolFixture {
 protected:
  // What a mount does in the background; how many inodes it has dealt with.
  uint64_t Recover() {
    const std::atomic<bool> stop{false};
    const Result<uint64_t> recovered = volume_->orphans().Recover(stop);
    EXPECT_TRUE(recovered) << Describe(recovered.error());
    EXPECT_TRUE(backing().Upkeep());
    return recovered ? *recovered : 0;
  }
  // A killed daemon, and the next mount.
  uint64_t Remount(const VolumeOptions& options = {}) {
    ReopenPool(options);
    return Recover();
  }
  InodeNumber MakeBackedWith(std::string_view name, std::string_view text) {
    const InodeNumber inode = MakeBacked(name);
    if (!text.empty()) WriteAll(inode, text);
    return inode;
  }
  void FillRegion() {
    core().direct = DirectMode::kNever;
    const InodeNumber inode = MakeFile(kRoot, "filler");
    const std::string text = Pattern(kMiB);
    for (uint64_t offset = 0;; offset += kMiB) {
      const auto written = data().Write(inode, offset, std::as_bytes(std::span(text)), {});
      if (!written || *written < text.size()) break;
    }
    core().direct = DirectMode::kAuto;
  }
  uint32_t Marks(InodeNumber inode) { return Inode(inode).flags & media::kInodeToRecover; }
  std::string HostPath(InodeNumber inode) {
    return fmt::format("{}/backing/{}", pool_, Inode(inode).backing_file);
  }
};

TEST_F(Demotion, ShortFilesAreInExtentsAfterAMount) {
  const std::string inline_text = "few bytes";
  const std::string text = Pattern(300'000);
  const InodeNumber empty = MakeBackedWith("empty", "");
  const InodeNumber tiny = MakeBackedWith("tiny", inline_text);
  const InodeNumber medium = MakeBackedWith("medium", text);
  const InodeNumber limit = MakeBackedWith("limit", Pattern(kMiB, 3));
  MakeOld(medium);
  const Attributes before = Get(medium);
  EXPECT_EQ(core().allocator->Count().orphans, 4u);

  EXPECT_EQ(Remount(), 4u);
  for (const InodeNumber inode : {empty, tiny, medium, limit}) {
    EXPECT_FALSE(IsBacked(inode)) << inode.value;
    EXPECT_EQ(Marks(inode), 0u);
  }
  EXPECT_EQ(Get(empty).size_bytes, 0u);
  EXPECT_EQ(ReadAll(tiny), inline_text);
  EXPECT_TRUE(ReadAll(medium, kMiB) == text);
  EXPECT_TRUE(ReadAll(limit, 2 * kMiB) == Pattern(kMiB, 3));
  const Attributes after = Get(medium);
  EXPECT_EQ(after.mtime, before.mtime);
  EXPECT_EQ(after.atime, before.atime);
  EXPECT_EQ(after.ctime, before.ctime);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  EXPECT_EQ(HostFiles(), Listed()) << "only spares are left";
  EXPECT_EQ(Remount(), 0u);
  EXPECT_TRUE(ReadAll(medium, kMiB) == text);
}

TEST_F(Demotion, LongFilesStayAndAreNotAskedAgain) {
  const InodeNumber inode = MakeBackedWith("long", Pattern(kMiB + 1));
  EXPECT_EQ(Marks(inode), media::kInodeMayDemote);
  EXPECT_EQ(Remount(), 0u);
  EXPECT_TRUE(IsBacked(inode));
  EXPECT_EQ(Marks(inode), 0u);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);

  // Until somebody cuts it.
  ASSERT_OK(data().Truncate(inode, kMiB + 1, false));
  EXPECT_EQ(Marks(inode), 0u);
  ASSERT_OK(data().Truncate(inode, kMiB, false));
  EXPECT_EQ(Marks(inode), media::kInodeMayDemote);
  EXPECT_TRUE(IsBacked(inode)) << "never while it may be in use";
  EXPECT_EQ(Remount(), 1u);
  EXPECT_FALSE(IsBacked(inode));
  EXPECT_TRUE(ReadAll(inode, 2 * kMiB) == Pattern(kMiB + 1).substr(0, kMiB));
}

TEST_F(Demotion, NotWhatSomebodyHasLookedUp) {
  const InodeNumber inode = MakeBackedWith("known", "bytes");
  ReopenPool();
  ASSERT_OK(names().Lookup(kRoot, "known"));
  EXPECT_EQ(Recover(), 0u);
  EXPECT_TRUE(IsBacked(inode));
  EXPECT_EQ(Remount(), 1u) << "the next mount asks again";
  EXPECT_FALSE(IsBacked(inode));
}

TEST_F(Demotion, NotWhatAHandleOrAMappingOfAnEarlierMountHolds) {
  const InodeNumber inode = MakeBackedWith("held", Pattern(5000));
  const std::string path = HostPath(inode);
  ReopenPool();
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Recover(), 0u) << "an open handle";
  void* at = mmap(nullptr, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(at, MAP_FAILED);
  close(fd);
  EXPECT_EQ(Remount(), 0u) << "a mapping";
  std::memset(at, 'x', 10);
  EXPECT_EQ(ReadAll(inode, 10000).substr(0, 12),
            std::string(10, 'x') + Pattern(5000).substr(10, 2));
  munmap(at, 5000);
  EXPECT_EQ(Remount(), 1u);
  EXPECT_EQ(ReadAll(inode, 10000).substr(0, 10), std::string(10, 'x'));
}

// Its pages may be pinned, for which no lease tells.
TEST_F(Demotion, NotWhatWasWrittenPastUsInThisMountNorLater) {
  const InodeNumber written = MakeBackedWith("written", "bytes");
  const InodeNumber other = MakeBackedWith("other", "bytes");
  ReopenPool();
  backing().NoteTouched(Inode(written).backing_file);
  EXPECT_EQ(Recover(), 1u);
  EXPECT_TRUE(IsBacked(written));
  EXPECT_FALSE(IsBacked(other));
  const InodeNumber late = MakeBackedWith("late", "bytes");
  names().Forget(late, 1);
  EXPECT_EQ(Recover(), 0u) << "once a mount";
  EXPECT_EQ(Remount(), 2u);
}

TEST_F(Demotion, LongFilesLoseTheirMarkWhateverTheMode) {
  const InodeNumber inode = MakeBackedWith("long", Pattern(kMiB + 1));
  VolumeOptions always;
  always.direct = DirectMode::kAlways;
  EXPECT_EQ(Remount(always), 0u);
  EXPECT_EQ(Marks(inode), 0u);
}

TEST_F(Demotion, HolesStayAndSoDoesPreallocatedSpace) {
  const InodeNumber sparse = MakeBacked("sparse");
  const std::string text = Pattern(5000);
  ASSERT_OK(data().Write(sparse, 700 << 10, std::as_bytes(std::span(text)), {}));
  const InodeNumber allocated = MakeBacked("allocated");
  ASSERT_OK(data().Fallocate(allocated, 0, 0, 600 << 10));
  const InodeNumber behind = MakeBackedWith("behind", "few bytes");
  ASSERT_OK(data().Fallocate(behind, kFallocateKeepSize, 0, 8 * kMiB));
  EXPECT_EQ(Remount(), 2u);
  EXPECT_FALSE(IsBacked(sparse));
  EXPECT_EQ(*data().SeekData(sparse, 0), 700u << 10);
  EXPECT_LT(Get(sparse).page_count, 10u);
  EXPECT_TRUE(ReadAll(sparse, kMiB) == std::string(700 << 10, '\0') + text);
  EXPECT_FALSE(IsBacked(allocated));
  EXPECT_GE(Get(allocated).page_count, 150u) << "somebody wanted that space";
  EXPECT_TRUE(ReadAll(allocated, kMiB) == std::string(600 << 10, '\0'));
  EXPECT_TRUE(IsBacked(behind)) << "space behind the end is somebody's wish";
}

TEST_F(Demotion, NotWhatIsMeantToBeDirect) {
  const InodeNumber directory = MakeDirectory(kRoot, "dax");
  ASSERT_OK(volume_->attributes().SetFlags(directory, media::kInodeDax, media::kInodeDax));
  NewNode node;
  node.mode = S_IFREG | 0644;
  const auto made = names().Create(directory, "file", node, kOwner);
  ASSERT_OK(made);
  const InodeNumber flagged = made->inode;
  WriteAll(flagged, "bytes");
  const InodeNumber plain = MakeBackedWith("plain", "bytes");

  VolumeOptions always;
  always.direct = DirectMode::kAlways;
  EXPECT_EQ(Remount(always), 0u);
  EXPECT_TRUE(IsBacked(plain));
  EXPECT_EQ(Remount(), 1u);
  EXPECT_FALSE(IsBacked(plain));
  EXPECT_TRUE(IsBacked(flagged));
  EXPECT_EQ(Marks(flagged), 0u);

  ASSERT_OK(volume_->attributes().SetFlags(flagged, media::kInodeDax, 0));
  EXPECT_EQ(Marks(flagged), media::kInodeMayDemote);
  EXPECT_EQ(Remount(), 1u);
  EXPECT_FALSE(IsBacked(flagged));
  EXPECT_EQ(ReadAll(flagged), "bytes");
}

TEST_F(Demotion, AFullRegionLeavesTheFileWhereItIs) {
  const InodeNumber inode = MakeBackedWith("short", Pattern(900'000));
  FillRegion();
  EXPECT_EQ(Remount(), 0u);
  EXPECT_TRUE(IsBacked(inode));
  EXPECT_EQ(Marks(inode), media::kInodeMayDemote);
  EXPECT_TRUE(ReadAll(inode, kMiB) == Pattern(900'000));
}

TEST_F(Demotion, ADeletedFileIsCountedOnceAndGoes) {
  const InodeNumber inode = MakeBacked("gone");
  ASSERT_OK(names().Open(inode));
  ASSERT_OK(names().Unlink(kRoot, "gone"));
  EXPECT_EQ(Marks(inode), media::kInodeToRecover);
  EXPECT_EQ(core().allocator->Count().orphans, 1u);
  EXPECT_EQ(Remount(), 1u);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  EXPECT_EQ(HostFiles(), Listed());
}

}  // namespace
}  // namespace ingot::tests
