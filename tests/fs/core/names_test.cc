// SPDX-License-Identifier: BSD-3-Clause
// Names: lookup, create, link, unlink, rmdir, symlinks, reading directories, references.
#include <dirent.h>

#include "fs/core/names.h"
#include "tests/fs/core/volume_fixture.h"
#include "tests/fs/core/volume_walk.h"

namespace ingot::tests {
namespace {

using NamesTest = VolumeFixture;

NewNode Regular(bool open = false) {
  NewNode node;
  node.mode = S_IFREG | 0600;
  node.open = open;
  return node;
}

TEST_F(NamesTest, CreateGivesWhatLookupFinds) {
  const auto made = names().Create(kRoot, "file", Regular(), kOwner);
  ASSERT_OK(made);
  EXPECT_EQ(made->mode, S_IFREG | 0600u);
  EXPECT_EQ(made->uid, kOwner.uid);
  EXPECT_EQ(made->gid, kOwner.gid);
  EXPECT_EQ(made->links, 1u);
  EXPECT_NE(made->generation, 0u);
  EXPECT_EQ(made->birth, made->ctime);
  EXPECT_EQ(Find(kRoot, "file"), made->inode);
  EXPECT_ERROR(ENOENT, names().Lookup(kRoot, "other"));
  Reopen();
  EXPECT_EQ(Find(kRoot, "file"), made->inode);
  Walk(volume());
}

TEST_F(NamesTest, EveryTypeCanBeMade) {
  for (const int format : {S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFBLK, S_IFCHR}) {
    NewNode node;
    const auto type = static_cast<uint32_t>(format);
    node.mode = type | 0640;
    node.device = 0x1234;
    const auto made = names().Create(kRoot, std::to_string(type), node, kOwner);
    ASSERT_OK(made);
    EXPECT_EQ(made->mode, type | 0640u);
    EXPECT_EQ(made->device, type == S_IFBLK || type == S_IFCHR ? 0x1234u : 0u);
    EXPECT_EQ(made->links, type == S_IFDIR ? 2u : 1u);
  }
  EXPECT_EQ(Get(kRoot).links, 3u);
  Walk(volume());
}

TEST_F(NamesTest, CreateRefusesWhatLinuxRefuses) {
  const InodeNumber file = MakeFile(kRoot, "file");
  EXPECT_ERROR(EEXIST, names().Create(kRoot, "file", Regular(), kOwner));
  EXPECT_ERROR(EEXIST, names().Create(kRoot, ".", Regular(), kOwner));
  EXPECT_ERROR(ENOTDIR, names().Create(file, "x", Regular(), kOwner));
  EXPECT_ERROR(ENOENT, names().Create(kRoot, "", Regular(), kOwner));
  EXPECT_ERROR(ENAMETOOLONG, names().Create(kRoot, std::string(256, 'x'), Regular(), kOwner));
  EXPECT_ERROR(EINVAL, names().Create(kRoot, "a/b", Regular(), kOwner));
  ASSERT_OK(names().Create(kRoot, std::string(255, 'x'), Regular(), kOwner));
  NewNode no_type;
  EXPECT_ERROR(EINVAL, names().Create(kRoot, "y", no_type, kOwner));
  EXPECT_ERROR(ENAMETOOLONG, names().Lookup(kRoot, std::string(256, 'x')));
  EXPECT_ERROR(ENOTDIR, names().Lookup(file, "x"));
  EXPECT_ERROR(ESTALE, names().Lookup(InodeNumber(7), "x"));
}

TEST_F(NamesTest, ImmutableAndAppendOnlyDirectories) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  MakeFile(directory, "old");
  ASSERT_OK(attributes().SetFlags(directory, media::kInodeImmutable, media::kInodeImmutable));
  EXPECT_ERROR(EPERM, names().Create(directory, "new", Regular(), kOwner));
  EXPECT_ERROR(EEXIST, names().Create(directory, "old", Regular(), kOwner));
  EXPECT_ERROR(EPERM, names().CreateUnnamed(directory, Regular(), kOwner));
  EXPECT_ERROR(EPERM, names().Unlink(directory, "old"));
  ASSERT_OK(attributes().SetFlags(directory, media::kInodeImmutable, 0));
  ASSERT_OK(attributes().SetFlags(directory, media::kInodeAppendOnly, media::kInodeAppendOnly));
  ASSERT_OK(names().Create(directory, "new", Regular(), kOwner));
  EXPECT_ERROR(EPERM, names().Unlink(directory, "old"));
}

TEST_F(NamesTest, FixedFilesKeepTheirNames) {
  const InodeNumber file = MakeFile(kRoot, "file");
  for (const uint32_t flag : {media::kInodeImmutable, media::kInodeAppendOnly}) {
    ASSERT_OK(attributes().SetFlags(file, flag, flag));
    EXPECT_ERROR(EPERM, names().Unlink(kRoot, "file"));
    EXPECT_ERROR(EPERM, names().Link(file, kRoot, "link"));
    EXPECT_ERROR(EPERM, names().Rename(kRoot, "file", kRoot, "other", 0, kOwner));
    ASSERT_OK(attributes().SetFlags(file, flag, 0));
  }
  ASSERT_OK(names().Unlink(kRoot, "file"));
}

TEST_F(NamesTest, DirectoriesHandOnGroupFlagsAndProject) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  AttributeChange change;
  change.mode = 02775;
  change.gid = 777;
  ASSERT_OK(attributes().Set(directory, change));
  constexpr uint32_t kFlags = media::kInodeSync | media::kInodeDirSync | media::kInodeNoDump |
                              media::kInodeDax | media::kInodeAtomic | media::kInodeNoAtime;
  ASSERT_OK(attributes().SetFlags(directory, kFlags, kFlags));
  ASSERT_OK(attributes().SetProject(directory, 42, true));

  const Attributes sub = Get(MakeDirectory(directory, "sub"));
  EXPECT_EQ(sub.mode, S_IFDIR | 02755u);
  EXPECT_EQ(sub.gid, 777u);
  EXPECT_EQ(sub.project, 42u);
  EXPECT_EQ(sub.flags, (kFlags & ~uint32_t{media::kInodeNoAtime}) | media::kInodeProjectInherit);
  const Attributes file = Get(MakeFile(directory, "file"));
  EXPECT_EQ(file.mode, S_IFREG | 0644u);
  EXPECT_EQ(file.gid, 777u);
  EXPECT_EQ(file.project, 42u);
  EXPECT_EQ(file.flags, uint32_t{media::kInodeSync | media::kInodeNoDump | media::kInodeDax |
                                 media::kInodeAtomic});
  EXPECT_EQ(Get(MakeNode(directory, "fifo", S_IFIFO | 0600)).flags, uint32_t{media::kInodeNoDump});
}

TEST_F(NamesTest, UmaskIsTaken) {
  NewNode node = Regular();
  node.mode = S_IFREG | 04777;
  node.umask = 027;
  const auto made = names().Create(kRoot, "file", node, kOwner);
  ASSERT_OK(made);
  EXPECT_EQ(made->mode, S_IFREG | 04750u);
}

TEST_F(NamesTest, SymlinksShortAndLong) {
  for (const size_t length : {1u, 100u, 336u, 337u, 1000u, 4095u}) {
    const std::string target(length, 'a');
    NewNode node;
    node.mode = S_IFLNK | 0777;
    node.symlink_target = target;
    const auto made = names().Create(kRoot, std::to_string(length), node, kOwner);
    ASSERT_OK(made);
    EXPECT_EQ(made->size_bytes, length);
    const auto read = names().ReadLink(made->inode);
    ASSERT_OK(read);
    EXPECT_EQ(*read, target);
    names().Forget(made->inode, 1);
  }
  NewNode node;
  node.mode = S_IFLNK | 0777;
  EXPECT_ERROR(ENOENT, names().Create(kRoot, "empty", node, kOwner));
  const std::string too_long(4096, 'a');
  node.symlink_target = too_long;
  EXPECT_ERROR(ENAMETOOLONG, names().Create(kRoot, "long", node, kOwner));
  EXPECT_ERROR(EINVAL, names().ReadLink(MakeFile(kRoot, "file")));
  Walk(volume());
}

TEST_F(NamesTest, LinkCountsAndRefuses) {
  const InodeNumber file = MakeFile(kRoot, "a");
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  MakeOld(file);
  MakeOld(directory);
  const auto linked = names().Link(file, directory, "b");
  ASSERT_OK(linked);
  EXPECT_EQ(linked->inode, file);
  EXPECT_EQ(linked->links, 2u);
  EXPECT_TRUE(IsChanged(file));
  EXPECT_FALSE(IsModified(file));
  EXPECT_TRUE(IsModified(directory));
  EXPECT_ERROR(EEXIST, names().Link(file, directory, "b"));
  EXPECT_ERROR(EPERM, names().Link(directory, kRoot, "e"));
  EXPECT_ERROR(ENOTDIR, names().Link(file, file, "e"));
  MakeOld(file);
  ASSERT_OK(names().Unlink(kRoot, "a"));
  EXPECT_EQ(Get(file).links, 1u);
  EXPECT_TRUE(IsChanged(file));
  EXPECT_EQ(Find(directory, "b"), file);
  Walk(volume());
}

TEST_F(NamesTest, UnlinkAndRmdirRefuse) {
  MakeFile(kRoot, "file");
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  MakeFile(directory, "x");
  EXPECT_ERROR(EISDIR, names().Unlink(kRoot, "d"));
  EXPECT_ERROR(ENOTDIR, names().Rmdir(kRoot, "file"));
  EXPECT_ERROR(ENOTEMPTY, names().Rmdir(kRoot, "d"));
  EXPECT_ERROR(ENOENT, names().Unlink(kRoot, "none"));
  EXPECT_ERROR(ENOENT, names().Rmdir(kRoot, "none"));
  EXPECT_ERROR(EINVAL, names().Rmdir(directory, "."));
  EXPECT_ERROR(ENOTEMPTY, names().Rmdir(directory, ".."));
  MakeOld(kRoot);
  ASSERT_OK(names().Unlink(directory, "x"));
  ASSERT_OK(names().Rmdir(kRoot, "d"));
  EXPECT_TRUE(IsModified(kRoot));
  EXPECT_EQ(Get(kRoot).links, 2u);
}

TEST_F(NamesTest, RemovedDirectoryTakesNothingMore) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  const InodeNumber file = MakeFile(kRoot, "file");
  ASSERT_OK(names().Rmdir(kRoot, "d"));
  EXPECT_EQ(Get(directory).links, 0u);
  EXPECT_ERROR(ENOENT, names().Create(directory, "x", Regular(), kOwner));
  EXPECT_ERROR(ENOENT, names().CreateUnnamed(directory, Regular(), kOwner));
  EXPECT_ERROR(ENOENT, names().Link(file, directory, "x"));
  EXPECT_ERROR(ENOENT, names().Rename(kRoot, "file", directory, "x", 0, kOwner));
  EXPECT_ERROR(ENOENT, names().Lookup(directory, "x"));
  EXPECT_ERROR(ENOENT, names().Lookup(directory, ".."));
  EXPECT_ERROR(ENOENT, names().ReadDirectory(directory, 0, 10));
  names().Forget(directory, 1);
  EXPECT_ERROR(ESTALE, attributes().Get(directory));
}

TEST_F(NamesTest, DotsAndHandles) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  const auto self = names().Lookup(directory, ".");
  ASSERT_OK(self);
  EXPECT_EQ(self->inode, directory);
  const auto up = names().Lookup(directory, "..");
  ASSERT_OK(up);
  EXPECT_EQ(up->inode, kRoot);
  EXPECT_EQ(names().Lookup(kRoot, "..")->inode, kRoot);
  const uint32_t generation = self->generation;
  ASSERT_OK(names().LookupByNumber(directory, generation));
  EXPECT_ERROR(ESTALE, names().LookupByNumber(directory, generation + 1));
  EXPECT_ERROR(ESTALE, names().LookupByNumber(InodeNumber(uint64_t{1} << 60), generation));
  EXPECT_ERROR(ESTALE, names().LookupByNumber(InodeNumber(0), 0));
}

TEST_F(NamesTest, ReadDirectoryInPieces) {
  for (int i = 0; i < 50; ++i) MakeForgotten(kRoot, "f" + std::to_string(i), S_IFREG | 0600);
  std::vector<std::string> seen;
  uint64_t cookie = 0;
  for (;;) {
    const auto some = names().ReadDirectory(kRoot, cookie, 7);
    ASSERT_OK(some);
    if (some->empty()) break;
    EXPECT_LE(some->size(), 7u);
    for (const DirectoryEntry& entry : *some) {
      EXPECT_GT(entry.key, cookie);
      cookie = entry.key;
      seen.push_back(entry.name);
      EXPECT_EQ(entry.type, entry.name.starts_with('f') ? DT_REG : DT_DIR);
    }
  }
  ASSERT_EQ(seen.size(), 52u);
  EXPECT_EQ(seen[0], ".");
  EXPECT_EQ(seen[1], "..");
  EXPECT_ERROR(ENOTDIR, names().ReadDirectory(Find(kRoot, "f1"), 0, 7));
}

TEST_F(NamesTest, OpenFileOutlivesItsName) {
  const auto made = names().Create(kRoot, "file", Regular(true), kOwner);
  ASSERT_OK(made);
  WriteAll(made->inode, "still here");
  names().Forget(made->inode, 1);
  ASSERT_OK(names().Unlink(kRoot, "file"));
  EXPECT_EQ(core().allocator->Count().orphans, 1u);
  EXPECT_EQ(ReadAll(made->inode), "still here");
  EXPECT_EQ(Get(made->inode).links, 0u);
  names().Release(made->inode);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  EXPECT_ERROR(ESTALE, attributes().Get(made->inode));
  EXPECT_ERROR(ESTALE, names().Open(made->inode));
}

TEST_F(NamesTest, LookedUpFileOutlivesItsName) {
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, std::string(100000, 'x'));
  ASSERT_OK(names().Lookup(kRoot, "file"));
  ASSERT_OK(names().Unlink(kRoot, "file"));
  names().Forget(file, 1);
  EXPECT_EQ(ReadAll(file).size(), 100000u);
  ASSERT_OK(names().Open(file));
  names().Forget(file, 1);
  EXPECT_EQ(ReadAll(file).size(), 100000u);
  names().Release(file);
  EXPECT_ERROR(ESTALE, attributes().Get(file));
}

TEST_F(NamesTest, ReusedSlotHasAnotherGeneration) {
  std::map<uint64_t, uint32_t> generations;
  bool reused = false;
  for (int i = 0; i < 40; ++i) {
    const InodeNumber file = MakeFile(kRoot, "file");
    const uint32_t generation = Get(file).generation;
    const auto [at, is_new] = generations.try_emplace(file.value, generation);
    if (!is_new) {
      reused = true;
      EXPECT_NE(at->second, generation);
      EXPECT_ERROR(ESTALE, names().LookupByNumber(file, at->second));
    }
    names().Forget(file, 1);
    ASSERT_OK(names().Unlink(kRoot, "file"));
  }
  EXPECT_TRUE(reused);
}

TEST_F(NamesTest, ReferencedSlotIsNotReused) {
  const InodeNumber file = MakeFile(kRoot, "file");
  ASSERT_OK(names().Unlink(kRoot, "file"));
  for (int i = 0; i < 40; ++i) EXPECT_NE(MakeFile(kRoot, std::to_string(i)), file);
}

TEST_F(NamesTest, UnnamedFileGetsItsName) {
  const auto made = names().CreateUnnamed(kRoot, Regular(true), kOwner);
  ASSERT_OK(made);
  EXPECT_EQ(made->links, 0u);
  EXPECT_EQ(core().allocator->Count().orphans, 1u);
  WriteAll(made->inode, "data");
  ASSERT_OK(names().Link(made->inode, kRoot, "named"));
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  names().Forget(made->inode, 2);
  names().Release(made->inode);
  EXPECT_EQ(ReadAll(Find(kRoot, "named")), "data");
  Walk(volume());

  const auto other = names().CreateUnnamed(kRoot, Regular(true), kOwner);
  ASSERT_OK(other);
  names().Release(other->inode);
  names().Forget(other->inode, 1);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  EXPECT_ERROR(ESTALE, attributes().Get(other->inode));
}

TEST_F(NamesTest, EachOperationIsOneTransaction) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  MakeForgotten(kRoot, "victim", S_IFREG | 0600);
  TransactionCounter transactions(volume().device().journal());

  MakeForgotten(kRoot, "a", S_IFREG | 0600);
  EXPECT_EQ(transactions.Take(), 1u);
  MakeForgotten(kRoot, "sub", S_IFDIR | 0700);
  EXPECT_EQ(transactions.Take(), 1u);
  ASSERT_OK(names().Link(Find(kRoot, "a"), directory, "b"));
  names().Forget(Find(kRoot, "a"), 1);
  EXPECT_EQ(transactions.Take(), 1u);
  ASSERT_OK(names().Rename(kRoot, "a", kRoot, "victim", 0, kOwner));
  EXPECT_EQ(transactions.Take(), 1u);
  ASSERT_OK(names().Rename(kRoot, "sub", directory, "sub", 0, kOwner));
  EXPECT_EQ(transactions.Take(), 1u);
  ASSERT_OK(names().Rename(directory, "sub", kRoot, "victim", kRenameExchange, kOwner));
  EXPECT_EQ(transactions.Take(), 1u);
  ASSERT_OK(names().Rename(directory, "b", kRoot, "b", kRenameWhiteout, kOwner));
  EXPECT_EQ(transactions.Take(), 1u);
  ASSERT_OK(names().Unlink(kRoot, "b"));
  ASSERT_OK(names().Unlink(directory, "sub"));
  EXPECT_EQ(transactions.Take(), 2u);
  ASSERT_OK(names().Rmdir(kRoot, "victim"));
  EXPECT_EQ(transactions.Take(), 1u);
  const InodeNumber held = MakeFile(kRoot, "held");
  transactions.Take();
  ASSERT_OK(names().Unlink(kRoot, "held"));
  EXPECT_EQ(transactions.Take(), 1u);
  names().Forget(held, 1);
  EXPECT_EQ(transactions.Take(), 1u);
}

// Fences are what a small operation costs. One for new blocks and inodes, if any, and three for the
// lane: record, words, invalidation.
TEST_F(NamesTest, FencesAreCounted) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  MakeForgotten(directory, "first", S_IFREG | 0600);
  auto fences = [&, last = uint64_t{0}]() mutable {
    const uint64_t now = volume().device().persist().counts().fences;
    return now - std::exchange(last, now);
  };
  fences();
  MakeForgotten(directory, "a", S_IFREG | 0600);
  EXPECT_EQ(fences(), 4u);
  ASSERT_OK(names().Rename(directory, "a", directory, "b", 0, kOwner));
  EXPECT_EQ(fences(), 3u);
  ASSERT_OK(names().Unlink(directory, "b"));
  EXPECT_EQ(fences(), 3u);
  EXPECT_EQ(Find(directory, "first") == InodeNumber(0), false);
  EXPECT_EQ(fences(), 0u);
}

TEST_F(NamesTest, AllSpaceComesBack) {
  const SpaceCounts before = core().allocator->Count();
  for (int i = 0; i < 300; ++i) {
    const InodeNumber directory = MakeDirectory(kRoot, "directory-" + std::to_string(i));
    const InodeNumber file = MakeFile(directory, "file");
    WriteAll(file, std::string(static_cast<size_t>(i) * 50, 'x'));
    ASSERT_OK(xattrs().Set(file, "user.x", std::vector<std::byte>(static_cast<size_t>(i) * 20),
                           XattrSetMode::kAny, false));
    names().Forget(directory, 1);
    names().Forget(file, 1);
  }
  Walk(volume());
  RemoveAll(volume());
  const SpaceCounts after = core().allocator->Count();
  EXPECT_EQ(after.free_pages, before.free_pages);
  EXPECT_EQ(after.free_inode_slots, before.free_inode_slots);
  EXPECT_EQ(after.orphans, 0u);
  EXPECT_EQ(Get(kRoot).page_count, 0u);
}

TEST_F(NamesTest, ReadOnlyVolumeRefusesAllChanges) {
  const InodeNumber file = MakeFile(kRoot, "file");
  Reopen(VolumeOptions{.read_only = true});
  EXPECT_EQ(Find(kRoot, "file"), file);
  EXPECT_ERROR(EROFS, names().Create(kRoot, "x", Regular(), kOwner));
  EXPECT_ERROR(EROFS, names().CreateUnnamed(kRoot, Regular(), kOwner));
  EXPECT_ERROR(EROFS, names().Link(file, kRoot, "x"));
  EXPECT_ERROR(EROFS, names().Unlink(kRoot, "file"));
  EXPECT_ERROR(EROFS, names().Rmdir(kRoot, "file"));
  EXPECT_ERROR(EROFS, names().Rename(kRoot, "file", kRoot, "x", 0, kOwner));
  EXPECT_ERROR(EROFS, attributes().Set(file, AttributeChange{}));
  EXPECT_ERROR(EROFS, attributes().SetFlags(file, 0, 0));
  EXPECT_ERROR(EROFS, attributes().SetProject(file, 1, false));
  EXPECT_ERROR(EROFS, xattrs().Set(file, "user.x", {}, XattrSetMode::kAny, false));
  EXPECT_ERROR(EROFS, xattrs().Remove(file, "user.x"));
}

}  // namespace
}  // namespace ingot::tests
