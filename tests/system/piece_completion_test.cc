// SPDX-License-Identifier: BSD-3-Clause
// Which files' pieces are completed, and when: never while anybody could store into them. A
// directory pool on an ext4 of 2 MiB clusters, made in a file, with nobody but the test inside.
#include <sys/mman.h>

#include <gtest/gtest.h>

#include "fs/core/dax_flag.h"
#include "fs/core/piece_completion.h"
#include "pmemdev/base/descriptor.h"
#include "tests/fs/core/directory_pool_fixture.h"
#include "tests/system/ext4_host.h"

namespace ingot::tests {
namespace {

class Completion : public DirectoryPoolFixture {
 protected:
  void SetUp() override {
    if (!host_mount_.is_mounted()) GTEST_SKIP() << "no ext4 can be made and mounted here";
    pool_ = host_mount_.path() + "/pool";
    ASSERT_TRUE(std::filesystem::create_directory(pool_));
    MakePool();
    completion_ = std::make_unique<PieceCompletion>(core(), PieceCompletion::Where::kEverywhere);
  }
  void TearDown() override {
    completion_.reset();
    if (host_mount_.is_mounted()) DirectoryPoolFixture::TearDown();
  }

  // A backed file of three pieces, of which the second holds a few bytes.
  InodeNumber MakeSparse(std::string_view name) {
    const InodeNumber inode = MakeBacked(name);
    EXPECT_TRUE(data().Truncate(inode, 3 * kHugePageSize, false));
    Store(inode, kHugePageSize + 5000);
    names().Release(inode);  // the handle that made it
    return inode;
  }
  void Store(InodeNumber inode, uint64_t offset) {
    EXPECT_TRUE(data().Write(inode, offset, std::as_bytes(std::span(text_)), {}));
  }
  std::shared_ptr<BackingFile> File(InodeNumber inode) {
    return data().BackingFileOf(inode).value_or(nullptr);
  }
  std::string HostPath(InodeNumber inode) {
    return fmt::format("{}/backing/{}", pool_, Inode(inode).backing_file);
  }
  // Until nothing is left to be done, or the host's truth is not on the medium yet.
  void Work() {
    for (;;) {
      const Result<bool> more = completion_->Work([] { return true; });
      ASSERT_OK(more);
      if (!*more) return;
    }
  }
  // What is closed is looked at; how many pieces that completed.
  uint64_t Close(InodeNumber inode) {
    const uint64_t before = completion_->completed();
    EXPECT_TRUE(File(inode)->Sync(/*data_only=*/false));
    completion_->NoteClosed(inode, File(inode)->use());
    Work();
    return completion_->completed() - before;
  }

  const Ext4Host host_mount_{kHugeClusters};
  const std::string text_ = "what was written";
  std::unique_ptr<PieceCompletion> completion_;
};

TEST_F(Completion, APieceIsCompletedOnceAndAgainAfterItWasWrittenElsewhere) {
  const InodeNumber inode = MakeSparse("file");
  const Attributes before = Get(inode);
  EXPECT_EQ(Close(inode), 1U);
  EXPECT_EQ(Close(inode), 0U);
  const Attributes after = Get(inode);
  EXPECT_EQ(after.size_bytes, before.size_bytes);
  EXPECT_EQ(after.page_count, before.page_count);
  EXPECT_EQ(after.mtime.seconds, before.mtime.seconds);
  EXPECT_EQ(after.mtime.nanoseconds, before.mtime.nanoseconds);
  EXPECT_EQ(ReadAll(inode, 3 * kHugePageSize).substr(kHugePageSize + 5000, text_.size()), text_);
  Store(inode, 2 * kHugePageSize + 9);
  EXPECT_EQ(Close(inode), 1U);
}

TEST_F(Completion, NobodysHandlesAreWrittenUnder) {
  const InodeNumber inode = MakeSparse("file");
  ASSERT_OK(names().Open(inode));
  EXPECT_EQ(Close(inode), 0U);
  names().Release(inode);
  EXPECT_EQ(Close(inode), 1U);
}

// No handle of ours is left, but a mapping is, or a handle of an earlier mount.
TEST_F(Completion, WhoMapsItStillIsLeftAloneForAWhile) {
  const InodeNumber inode = MakeSparse("file");
  const int fd = open(HostPath(inode).c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  void* const map = mmap(nullptr, 3 * kHugePageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(map, MAP_FAILED);
  close(fd);
  EXPECT_EQ(Close(inode), 0U);
  static_cast<char*>(map)[kHugePageSize] = 's';
  ASSERT_EQ(munmap(map, 3 * kHugePageSize), 0);
  ASSERT_OK(File(inode)->Sync(/*data_only=*/false));
  Work();
  EXPECT_EQ(completion_->completed(), 1U) << "it is tried again without another close";
  EXPECT_EQ(ReadAll(inode, 3 * kHugePageSize)[kHugePageSize], 's');
}

TEST_F(Completion, WhoStaysIsNotWaitedForForEver) {
  const InodeNumber inode = MakeSparse("file");
  const int fd = open(HostPath(inode).c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Close(inode), 0U);
  for (int i = 0; i < 10; ++i) Work();
  close(fd);
  Work();
  EXPECT_EQ(completion_->completed(), 0U);
  EXPECT_EQ(Close(inode), 1U);
}

TEST_F(Completion, ANumberThatIsNobodysIsForgotten) {
  const InodeNumber inode = MakeSparse("file");
  completion_->NoteClosed(inode, File(inode)->use());
  ASSERT_OK(names().Unlink(kRoot, "file"));
  names().Forget(inode, 1);
  Work();
  EXPECT_EQ(completion_->completed(), 0U);
  completion_->NoteClosed(InodeNumber(uint64_t{1} << 50), {});
  Work();
}

TEST_F(Completion, AnErrorOfTheHostLeavesTheFileAsOldAsItWas) {
  const InodeNumber inode = MakeSparse("file");
  ASSERT_OK(File(inode)->Sync(/*data_only=*/false));
  const Attributes before = Get(inode);
  host_.Refuse(HostChange::Kind::kWrite, ENOSPC, /*allowed=*/1);  // of the two gaps
  EXPECT_EQ(Close(inode), 0U);
  host_.RefuseNothing();
  EXPECT_EQ(Get(inode).mtime.seconds, before.mtime.seconds);
  EXPECT_EQ(Get(inode).mtime.nanoseconds, before.mtime.nanoseconds);
  EXPECT_EQ(ReadAll(inode, 3 * kHugePageSize).substr(kHugePageSize + 5000, text_.size()), text_);
  EXPECT_EQ(Close(inode), 1U);
}

// tmpfs tells nothing, and has no such pieces. It is asked once.
class OnTmpfs : public DirectoryPoolFixture {};

TEST_F(OnTmpfs, NothingIsLeftToBeDone) {
  PieceCompletion completion(core());
  std::vector<InodeNumber> inodes;
  for (const char* name : {"one", "two", "three"}) {
    inodes.push_back(MakeBacked(name));
    EXPECT_TRUE(data().Truncate(inodes.back(), 3 * kHugePageSize, false));
    names().Release(inodes.back());
  }
  for (int i = 0; i < 2; ++i) {
    for (const InodeNumber inode : inodes) completion.NoteClosed(inode, {});
    const Result<bool> more = completion.Work([] { return true; });
    ASSERT_OK(more);
    EXPECT_FALSE(*more);
  }
  EXPECT_EQ(completion.completed(), 0U);
}

// A pool whose files are mapped directly by their own flag, which ext4 keeps without DAX as well.
class Forgetting : public Completion {
 protected:
  void SetUp() override {
    Completion::SetUp();
    if (IsSkipped()) return;
    const Descriptor directory(open((pool_ + "/backing").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_OK(SetDaxFlag(directory.get(), true));
    completion_.reset();
    ReopenPool();
    completion_ = std::make_unique<PieceCompletion>(core(), PieceCompletion::Where::kEverywhere);
  }
  bool HasFlag(InodeNumber inode) { return ReadDaxFlag(File(inode)->fd()).value_or(false); }
  // One that was open to be mapped while it grew, and what the core knew it as.
  InodeNumber MakeMapped(std::weak_ptr<BackingFile>& known) {
    const InodeNumber inode = MakeBacked("file");
    File(inode)->NoteMappable();
    Store(inode, 3 * kHugePageSize - text_.size());
    names().Release(inode);
    known = File(inode);
    return inode;
  }
};

TEST_F(Forgetting, AFileThatGrewWhileItCouldBeMappedIsOpenedAnew) {
  std::weak_ptr<BackingFile> known;
  const InodeNumber inode = MakeMapped(known);
  ASSERT_TRUE(HasFlag(inode));
  EXPECT_EQ(Close(inode), 1U) << "its last piece";
  EXPECT_TRUE(known.expired());
  EXPECT_TRUE(HasFlag(inode));
  EXPECT_EQ(ReadAll(inode, 3 * kHugePageSize).substr(3 * kHugePageSize - text_.size()), text_);
  known = File(inode);
  EXPECT_EQ(Close(inode), 0U);
  EXPECT_FALSE(known.expired()) << "nobody has changed it since then";
}

TEST_F(Forgetting, WhoHasItOpenInTheDaemonKeepsIt) {
  std::weak_ptr<BackingFile> known;
  const InodeNumber inode = MakeMapped(known);
  {
    const std::shared_ptr<BackingFile> holder = File(inode);
    Close(inode);
    EXPECT_EQ(File(inode), holder);
  }
  Work();
  EXPECT_TRUE(known.expired()) << "it is tried again";
}

TEST_F(Forgetting, AFileThatWasNeverToBeMappedStays) {
  const InodeNumber inode = MakeSparse("file");
  const std::weak_ptr<BackingFile> known = File(inode);
  EXPECT_EQ(Close(inode), 1U);
  EXPECT_FALSE(known.expired());
}

TEST_F(Forgetting, ACrashBetweenTheTwoChangesOfTheFlagIsMended) {
  std::weak_ptr<BackingFile> known;
  const InodeNumber inode = MakeMapped(known);
  ASSERT_OK(SetDaxFlag(File(inode)->fd(), false));
  EXPECT_FALSE(HasFlag(inode));
  completion_.reset();
  ReopenPool();
  EXPECT_TRUE(HasFlag(inode));
}

TEST_F(Completion, NothingIsDoneWhereItMayNot) {
  const InodeNumber inode = MakeSparse("file");
  ASSERT_OK(File(inode)->Sync(/*data_only=*/false));
  completion_->NoteClosed(inode, File(inode)->use());
  EXPECT_FALSE(*completion_->Work([] { return false; }));
  EXPECT_EQ(completion_->completed(), 0U);
  PieceCompletion ordinary(core());
  ordinary.NoteClosed(inode, {});
  EXPECT_FALSE(*ordinary.Work([] { return true; }));
  EXPECT_EQ(ordinary.completed(), 0U) << "a page cache has nothing to win";
  Work();
  EXPECT_EQ(completion_->completed(), 1U);
}

}  // namespace
}  // namespace ingot::tests
