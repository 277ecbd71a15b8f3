// SPDX-License-Identifier: BSD-3-Clause
// Files of a directory pool whose contents are host files: made, grown into, used, deleted, and
// what a kill leaves of each.
#include <numeric>

#include <gtest/gtest.h>

#include "tests/fs/core/directory_pool_fixture.h"

namespace ingot::tests {
namespace {

using Kind = HostChange::Kind;

class BackedFiles : public DirectoryPoolFixture {
 protected:
  void WriteAt(InodeNumber inode, uint64_t offset, std::string_view text) {
    uint64_t done = 0;
    while (done < text.size()) {
      const auto written =
          data().Write(inode, offset + done, std::as_bytes(std::span(text.substr(done))), {});
      ASSERT_OK(written);
      ASSERT_GT(*written, 0u);
      done += *written;
    }
  }
  uint64_t FreePages() { return core().allocator->Count().free_pages; }
};

TEST_F(BackedFiles, AFileMadeToBeMappedIsBackedFromTheStart) {
  const InodeNumber inode = MakeBacked("db");
  const std::string text = Pattern(10000);
  WriteAt(inode, 0, text);
  EXPECT_TRUE(ReadAll(inode) == text);
  const Attributes attributes = Get(inode);
  EXPECT_EQ(attributes.size_bytes, text.size());
  EXPECT_GE(attributes.page_count, 3u);
  EXPECT_TRUE(attributes.is_backed);
  EXPECT_EQ(Inode(inode).size_bytes, 0u) << "the host is the truth";

  ReopenPool();
  EXPECT_TRUE(ReadAll(Find(kRoot, "db")) == text);
  EXPECT_TRUE(IsBacked(Find(kRoot, "db")));
}

TEST_F(BackedFiles, TimesOfANewFileAreNowAndNotTheSpares) {
  (void)MakeBacked("first");  // makes the spares
  const auto spares = HostFiles();
  for (const uint64_t number : spares) {
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    ASSERT_EQ(utimensat(backing().directory().fd(), std::to_string(number).c_str(), old, 0), 0);
  }
  const Attributes attributes = Get(MakeBacked("second"));
  EXPECT_GT(attributes.mtime.seconds, 1'000'000);
  EXPECT_GT(attributes.atime.seconds, 1'000'000);
}

TEST_F(BackedFiles, OthersStayInExtentsUntilTheyCrossOneMebibyte) {
  const InodeNumber inode = MakeFile(kRoot, "large");
  const uint64_t free_before = FreePages();
  const std::string text = Pattern(kMiB + 1);
  WriteAt(inode, 0, std::string_view(text).substr(0, kMiB));
  EXPECT_FALSE(IsBacked(inode));
  EXPECT_LT(FreePages(), free_before);
  WriteAt(inode, kMiB, std::string_view(text).substr(kMiB));
  EXPECT_TRUE(IsBacked(inode));
  EXPECT_TRUE(ReadAll(inode, 2 * kMiB) == text);
  EXPECT_EQ(FreePages(), free_before) << "its extents are free again";
  EXPECT_EQ(Get(inode).size_bytes, text.size());
  ReopenPool();
  EXPECT_TRUE(ReadAll(Find(kRoot, "large"), 2 * kMiB) == text);
}

TEST_F(BackedFiles, PromotionKeepsHolesAndTimes) {
  const InodeNumber inode = MakeFile(kRoot, "sparse");
  WriteAt(inode, 0, Pattern(4096));
  WriteAt(inode, 900 << 10, Pattern(5000, 2));
  MakeOld(inode);
  ASSERT_EQ(*data().MakeDirect(inode), true);
  EXPECT_EQ(*data().MakeDirect(inode), false) << "it is already";
  const Attributes attributes = Get(inode);
  EXPECT_EQ(attributes.mtime.seconds, 1000);
  EXPECT_EQ(attributes.size_bytes, (900u << 10) + 5000);
  EXPECT_EQ(*data().SeekHole(inode, 0), 4096u);
  EXPECT_EQ(*data().SeekData(inode, 4096), 900u << 10);
  std::string expected = Pattern(4096) + std::string((900 << 10) - 4096, '\0') + Pattern(5000, 2);
  EXPECT_TRUE(ReadAll(inode, 2 * kMiB) == expected);
}

TEST_F(BackedFiles, InlineContentsArePromotedToo) {
  const InodeNumber inode = MakeFile(kRoot, "small");
  WriteAll(inode, "few bytes");
  ASSERT_EQ(*data().MakeDirect(inode), true);
  EXPECT_EQ(ReadAll(inode), "few bytes");
  ReopenPool();
  EXPECT_EQ(ReadAll(Find(kRoot, "small")), "few bytes");
}

TEST_F(BackedFiles, NobodyElseFindsWhatAFailedPromotionHasCopied) {
  const std::string text = Pattern(kMiB);
  WriteAt(MakeForgotten(kRoot, "secret", S_IFREG | 0644), 0, text);
  for (const Kind kind : {Kind::kWrite, Kind::kSync, Kind::kCreate, Kind::kSyncDirectory}) {
    ReopenPool();  // without spares
    const InodeNumber inode = Find(kRoot, "secret");
    host_.Refuse(kind, ENOSPC);
    EXPECT_FALSE(data().MakeDirect(inode));
    host_.RefuseNothing();
    EXPECT_FALSE(IsBacked(inode));
    EXPECT_TRUE(ReadAll(inode, 2 * kMiB) == text);
    ReopenPool();  // a failed sync ends the trust in the host for the mount
    ASSERT_OK(backing().Upkeep());
    EXPECT_EQ(HostFiles(), Listed());
    for (const uint64_t number : HostFiles()) {
      EXPECT_EQ(backing().directory().Stat(number)->st_size, 0) << number;
    }
  }
  ASSERT_EQ(*data().MakeDirect(Find(kRoot, "secret")), true);
  EXPECT_TRUE(ReadAll(Find(kRoot, "secret"), 2 * kMiB) == text);
}

TEST_F(BackedFiles, ASpareThatWasWrittenIsNeverAnotherFiles) {
  {
    auto spare = backing().TakeSpare();
    ASSERT_OK(spare);
    ASSERT_OK(spare->file().Write(0, Bytes("secret")));
    ASSERT_OK(spare->file().Sync(false));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(ReadAll(MakeBacked("other" + std::to_string(i))), "");
  }
}

TEST_F(BackedFiles, DeletionGoesOnBesideWhatCanNotBeDeleted) {
  const InodeNumber one = MakeBacked("one");
  const InodeNumber two = MakeBacked("two");
  const uint64_t stuck = Inode(one).backing_file;
  const uint64_t other = Inode(two).backing_file;
  for (const InodeNumber inode : {one, two}) names().Forget(inode, 1);
  ASSERT_OK(names().Unlink(kRoot, "one"));
  ASSERT_OK(names().Unlink(kRoot, "two"));
  const std::string path = pool_ + "/backing/" + std::to_string(stuck);
  ASSERT_TRUE(std::filesystem::remove(path));
  ASSERT_TRUE(std::filesystem::create_directory(path));
  int wakes = 0;
  backing().set_waker([&] { ++wakes; });
  EXPECT_EQ(backing().Upkeep().error_code(), EISDIR);
  EXPECT_EQ(wakes, 0) << "it would be tried again at once, for ever";
  backing().set_waker({});
  EXPECT_FALSE(Listed().contains(other));
  EXPECT_TRUE(Listed().contains(stuck));
  ASSERT_TRUE(std::filesystem::remove(path));
  ASSERT_OK(backing().Upkeep());
  EXPECT_FALSE(Listed().contains(stuck));
}

TEST_F(BackedFiles, AHostThatIsFullOfDeletedFilesIsNotFull) {
  const InodeNumber inode = MakeBacked("grows");
  names().Forget(MakeBacked("goes"), 1);
  ASSERT_OK(names().Unlink(kRoot, "goes"));
  const auto files_before = HostFiles().size();
  host_.RefuseOnce(Kind::kWrite, ENOSPC);
  WriteAt(inode, 0, "text");
  EXPECT_EQ(HostFiles().size(), files_before - 1);
  host_.RefuseOnce(Kind::kAllocate, ENOSPC);
  ASSERT_OK(data().Fallocate(inode, 0, 0, kMiB));
  host_.Refuse(Kind::kWrite, ENOSPC);
  EXPECT_EQ(data().Write(inode, 0, Bytes("x"), {}).error_code(), ENOSPC);
}

TEST_F(BackedFiles, AFullHostLeavesFilesInExtentsAndWritesGoOn) {
  const InodeNumber inode = MakeFile(kRoot, "large");
  const std::string text = Pattern(3 * kMiB);
  WriteAt(inode, 0, std::string_view(text).substr(0, kMiB));
  host_.Refuse(Kind::kWrite, ENOSPC);
  WriteAt(inode, kMiB, std::string_view(text).substr(kMiB));
  EXPECT_FALSE(IsBacked(inode));
  EXPECT_TRUE(ReadAll(inode, 4 * kMiB) == text);
}

TEST_F(BackedFiles, WithoutAnyMoreNumbersFilesStayInExtents) {
  {
    BackingLedger& ledger = const_cast<BackingLedger&>(backing().ledger());
    Transaction transaction(*core().allocator, core().reader);
    transaction.HandOutBackingFiles(ledger, media::kMaxBackingNumber - 20, 4, ledger.Reserve(4));
    ASSERT_OK(transaction.Commit());
  }
  for (int i = 0; i < 16; ++i) (void)MakeBacked("last" + std::to_string(i));
  EXPECT_EQ(backing().ledger().next_number(), media::kMaxBackingNumber);
  EXPECT_EQ(*HostFiles().rbegin(), media::kMaxBackingNumber - 1);
  const auto none = backing().TakeSpare();
  ASSERT_EQ(none.error_code(), EOVERFLOW);
  EXPECT_NE(none.error().context.find("used up"), std::string::npos);
  NewNode node;
  node.mode = S_IFREG | 0644;
  node.likely_mapped = true;
  const auto made = names().Create(kRoot, "more", node, kOwner);
  ASSERT_OK(made);
  EXPECT_FALSE(made->is_backed);
  const std::string text = Pattern(2 * kMiB);
  WriteAt(made->inode, 0, text);
  EXPECT_FALSE(IsBacked(made->inode));
  ReopenPool();
  EXPECT_TRUE(ReadAll(Find(kRoot, "more"), 3 * kMiB) == text);
  EXPECT_TRUE(IsBacked(Find(kRoot, "last15")));
}

TEST_F(BackedFiles, DeletedFilesGoAndTheirNumbersAreFreed) {
  (void)MakeBacked("keeps");
  const InodeNumber inode = MakeBacked("goes");
  const uint64_t number = Inode(inode).backing_file;
  WriteAt(inode, 0, Pattern(8192));
  EXPECT_FALSE(Listed().contains(number));
  ASSERT_OK(names().Unlink(kRoot, "goes"));
  EXPECT_TRUE(HostFiles().contains(number)) << "somebody refers to it";
  EXPECT_TRUE(ReadAll(inode) == Pattern(8192));
  names().Forget(inode, 1);
  EXPECT_TRUE(Listed().contains(number));
  ASSERT_OK(backing().Upkeep());
  EXPECT_FALSE(HostFiles().contains(number));
  EXPECT_FALSE(Listed().contains(number));
  EXPECT_EQ(core().allocator->Count().orphans, 1u) << "the other one may be demoted";
}

TEST_F(BackedFiles, AKillBeforeTheDeletionLeavesItToTheNextMount) {
  const InodeNumber inode = MakeBacked("goes");
  const uint64_t number = Inode(inode).backing_file;
  names().Forget(inode, 1);
  ASSERT_OK(names().Unlink(kRoot, "goes"));
  ReopenPool();
  EXPECT_TRUE(HostFiles().contains(number));
  const uint64_t next = backing().ledger().next_number();
  ASSERT_OK(backing().Upkeep());
  EXPECT_FALSE(HostFiles().contains(number));
  EXPECT_EQ(HostFiles(), Listed()) << "what there is are spares";
  for (const uint64_t spare : Listed()) EXPECT_GE(spare, next) << "numbers are used once";
}

TEST_F(BackedFiles, AnUnnamedFileKeepsItsBackingFileUntilItGoes) {
  NewNode node;
  node.mode = S_IFREG | 0600;
  node.likely_mapped = true;
  const auto made = names().CreateUnnamed(kRoot, node, kOwner);
  ASSERT_OK(made);
  const uint64_t number = Inode(made->inode).backing_file;
  WriteAt(made->inode, 0, "unnamed");
  ReopenPool();
  std::atomic<bool> stop{false};
  ASSERT_OK(volume().orphans().Recover(stop));
  ASSERT_OK(backing().Upkeep());
  EXPECT_FALSE(HostFiles().contains(number));
}

TEST_F(BackedFiles, WhatReplacesAFileIsDurableBefore) {
  (void)MakeForgotten(kRoot, "old", S_IFREG | 0644);
  const InodeNumber fresh = MakeBacked("new");
  WriteAt(fresh, 0, Pattern(5000));
  host_.Clear();
  ASSERT_OK(names().Rename(kRoot, "new", kRoot, "old", 0, kOwner));
  EXPECT_EQ(host_.Count(Kind::kSync), 1u);
  ASSERT_OK(names().Rename(kRoot, "old", kRoot, "free", 0, kOwner));
  EXPECT_EQ(host_.Count(Kind::kSync), 1u) << "nothing is replaced, and nothing is dirty";
  WriteAt(fresh, 0, "x");
  host_.Refuse(Kind::kSync, EIO);
  (void)MakeForgotten(kRoot, "old", S_IFREG | 0644);
  EXPECT_EQ(names().Rename(kRoot, "free", kRoot, "old", 0, kOwner).error_code(), EIO);
  EXPECT_NE(Find(kRoot, "free").value, 0u);
}

TEST_F(BackedFiles, AFileCutToNothingAndWrittenAnewIsSyncedAfterItsLastClose) {
  const InodeNumber inode = MakeBacked("config");
  WriteAt(inode, 0, "old");
  ASSERT_OK(data().Sync(inode, false));
  ASSERT_OK(names().Open(inode));
  ASSERT_OK(data().Truncate(inode, 0, false));
  WriteAt(inode, 0, "new");
  ASSERT_OK(backing().Upkeep());
  host_.Clear();
  ASSERT_OK(backing().Upkeep());
  EXPECT_EQ(host_.Count(Kind::kSync), 0u) << "somebody is writing it";
  names().Release(inode);
  ASSERT_OK(backing().Upkeep());
  EXPECT_EQ(host_.Count(Kind::kSync), 1u);
  ASSERT_OK(names().Open(inode));
  names().Release(inode);
  ASSERT_OK(backing().Upkeep());
  EXPECT_EQ(host_.Count(Kind::kSync), 1u) << "nothing was done to it";
}

TEST_F(BackedFiles, SyncIsTheHosts) {
  const InodeNumber inode = MakeBacked("db");
  WriteAt(inode, 0, "x");
  host_.Clear();
  ASSERT_OK(data().Sync(inode, false));
  EXPECT_EQ(host_.Count(Kind::kSync), 1u);
  FileData::WriteOptions options;
  options.sync = true;
  ASSERT_OK(data().Write(inode, 1, Bytes("y"), options));
  EXPECT_EQ(host_.Count(Kind::kSync), 2u);
}

TEST_F(BackedFiles, SizesRangesAndCopies) {
  const InodeNumber inode = MakeBacked("file");
  const std::string text = Pattern(5 * kMiB);
  WriteAt(inode, 0, text);
  ASSERT_OK(data().Fallocate(inode, kFallocatePunchHole | kFallocateKeepSize, kMiB + 5, 3 * kMiB));
  std::string expected = text;
  std::fill_n(expected.begin() + kMiB + 5, 3 * kMiB, '\0');
  EXPECT_TRUE(ReadAll(inode, 8 * kMiB) == expected);
  ASSERT_OK(data().Truncate(inode, 4 * kMiB + 7, false));
  expected.resize(4 * kMiB + 7);
  EXPECT_TRUE(ReadAll(inode, 8 * kMiB) == expected);
  ASSERT_OK(data().Fallocate(inode, 0, 4 * kMiB, 2 * kMiB));
  expected.resize(6 * kMiB);
  EXPECT_TRUE(ReadAll(inode, 8 * kMiB) == expected);
  ASSERT_OK(data().Fallocate(inode, kFallocateZeroRange | kFallocateKeepSize, 10, 100));
  std::fill_n(expected.begin() + 10, 100, '\0');
  EXPECT_TRUE(ReadAll(inode, 8 * kMiB) == expected);

  const InodeNumber copy = MakeFile(kRoot, "copy");
  for (uint64_t done = 0; done < expected.size();) {
    const auto copied = data().CopyRange(inode, done, copy, done, expected.size() - done);
    ASSERT_OK(copied);
    ASSERT_GT(*copied, 0u);
    done += *copied;
  }
  EXPECT_TRUE(IsBacked(copy));
  EXPECT_TRUE(ReadAll(copy, 8 * kMiB) == expected);
  const InodeNumber part = MakeFile(kRoot, "part");
  EXPECT_EQ(*data().CopyRange(inode, 1000, part, 10, 5000), 5000u);
  EXPECT_FALSE(IsBacked(part));
  EXPECT_TRUE(ReadAll(part) == std::string(10, '\0') + expected.substr(1000, 5000));
}

TEST_F(BackedFiles, AppendsGoToTheHostsEnd) {
  const InodeNumber inode = MakeBacked("log");
  FileData::WriteOptions append;
  append.append = true;
  ASSERT_OK(data().Write(inode, 0, Bytes("one"), append));
  // Somebody writes past the daemon.
  const auto file = core().FileOf(Inode(inode));
  ASSERT_OK(file);
  ASSERT_EQ(pwrite((*file)->fd(), "two", 3, 3), 3);
  ASSERT_OK(data().Write(inode, 0, Bytes("three"), append));
  EXPECT_EQ(ReadAll(inode), "onetwothree");
}

TEST_F(BackedFiles, AMissingHostFileIsAnErrorOfItsContentsAlone) {
  const InodeNumber inode = MakeBacked("lost");
  const InodeNumber other = MakeBacked("other");
  WriteAt(other, 0, "here");
  const std::string path = pool_ + "/backing/" + std::to_string(Inode(inode).backing_file);
  names().Forget(inode, 1);
  ReopenPool();
  ASSERT_TRUE(std::filesystem::remove(path));
  const InodeNumber found = Find(kRoot, "lost");
  ASSERT_NE(found.value, 0u);
  std::array<std::byte, 8> buffer;
  EXPECT_EQ(data().ReadInto(found, 0, buffer).error_code(), EIO);
  EXPECT_EQ(data().Write(found, 0, Bytes("x"), {}).error_code(), EIO);
  EXPECT_EQ(data().Truncate(found, 0, false).error_code(), EIO);
  EXPECT_EQ(ReadAll(Find(kRoot, "other")), "here");
  ASSERT_OK(names().Unlink(kRoot, "lost"));
  ASSERT_OK(backing().Upkeep());
}

TEST_F(BackedFiles, JournalsMadeAgainAndAgainStayInExtents) {
  const InodeNumber first = MakeBacked("db-journal");
  names().Forget(first, 1);
  ASSERT_OK(names().Unlink(kRoot, "db-journal"));
  NewNode node;
  node.mode = S_IFREG | 0644;
  node.likely_mapped = true;
  const auto second = names().Create(kRoot, "db-journal", node, kOwner);
  ASSERT_OK(second);
  EXPECT_FALSE(second->is_backed);
}

TEST_F(BackedFiles, DirectoriesWithTheFlagMakeAllFilesBacked) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  ASSERT_OK(attributes().SetFlags(directory, media::kInodeDax, media::kInodeDax));
  EXPECT_TRUE(IsBacked(MakeFile(directory, "f")));
  EXPECT_FALSE(IsBacked(MakeFile(kRoot, "f")));
  VolumeOptions never;
  never.direct = DirectMode::kNever;
  ReopenPool(never);
  EXPECT_FALSE(IsBacked(MakeFile(Find(kRoot, "d"), "g")));
  VolumeOptions always;
  always.direct = DirectMode::kAlways;
  ReopenPool(always);
  EXPECT_TRUE(IsBacked(MakeFile(kRoot, "h")));
}

// Every other page, so that the extents are many more than one transaction can free.
TEST_F(BackedFiles, AScatteredFileIsPromotedAndFreedInSteps) {
  const InodeNumber inode = MakeFile(kRoot, "scattered");
  const uint64_t free_before = FreePages();
  core().direct = DirectMode::kNever;
  const std::string page = Pattern(4096);
  for (uint64_t i = 0; i < 3000; ++i) WriteAt(inode, i * 2 * kPageSize, page);
  ASSERT_EQ(*data().MakeDirect(inode), true);
  EXPECT_EQ(Inode(inode).body_bytes, 0);
  EXPECT_EQ(FreePages(), free_before);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  std::string got(4096, '\0');
  for (uint64_t i = 0; i < 3000; i += 97) {
    ASSERT_OK(data().ReadInto(inode, i * 2 * kPageSize, std::as_writable_bytes(std::span(got))));
    ASSERT_EQ(got, page) << i;
  }
}

TEST_F(BackedFiles, MoreDeletionsThanTheLedgerHoldsAtOnce) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 300; ++i) {
      const std::string name = std::to_string(round) + "." + std::to_string(i);
      names().Forget(MakeBacked(name), 1);
      ASSERT_OK(names().Unlink(kRoot, name));
    }
  }
  ASSERT_OK(backing().Upkeep());
  EXPECT_EQ(HostFiles(), Listed());
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
}

TEST_F(BackedFiles, AReadOnlyVolumeTouchesNothing) {
  const InodeNumber inode = MakeBacked("db");
  WriteAt(inode, 0, "text");
  names().Forget(inode, 1);
  VolumeOptions read_only;
  read_only.read_only = true;
  ReopenPool(read_only);
  host_.Clear();
  EXPECT_EQ(ReadAll(Find(kRoot, "db")), "text");
  EXPECT_EQ(data().Write(Find(kRoot, "db"), 0, Bytes("x"), {}).error_code(), EROFS);
  EXPECT_EQ(backing().Upkeep().error_code(), EROFS);
  for (const Kind kind : {Kind::kCreate, Kind::kUnlink, Kind::kWrite, Kind::kResize}) {
    EXPECT_EQ(host_.Count(kind), 0u);
  }
}

}  // namespace
}  // namespace ingot::tests
