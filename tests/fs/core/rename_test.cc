// SPDX-License-Identifier: BSD-3-Clause
// Rename in all its forms, and a storm of all operations on names from several threads.
#include <dirent.h>

#include <algorithm>
#include <random>
#include <thread>

#include "fs/core/names.h"
#include "tests/fs/core/volume_fixture.h"
#include "tests/fs/core/volume_walk.h"

namespace ingot::tests {
namespace {

class RenameTest : public VolumeFixture {
 protected:
  Result<void> Rename(InodeNumber parent, std::string_view name, InodeNumber new_parent,
                      std::string_view new_name, uint32_t flags = 0) {
    return names().Rename(parent, name, new_parent, new_name, flags, kOwner);
  }
  SpaceCounts empty_;
  InodeNumber one_, two_;  // two directories
  void SetUp() override {
    VolumeFixture::SetUp();
    empty_ = core().allocator->Count();
    one_ = MakeDirectory(kRoot, "one");
    two_ = MakeDirectory(kRoot, "two");
  }
  void TearDown() override { Walk(volume()); }
};

TEST_F(RenameTest, WithinAndBetweenDirectories) {
  const InodeNumber file = MakeFile(one_, "a");
  MakeOld(file);
  MakeOld(one_);
  MakeOld(two_);
  ASSERT_OK(Rename(one_, "a", one_, "b"));
  EXPECT_EQ(Find(one_, "a"), InodeNumber(0));
  EXPECT_EQ(Find(one_, "b"), file);
  EXPECT_TRUE(IsChanged(file));
  EXPECT_FALSE(IsModified(file));
  EXPECT_TRUE(IsModified(one_));
  MakeOld(one_);
  ASSERT_OK(Rename(one_, "b", two_, "c"));
  EXPECT_EQ(Find(one_, "b"), InodeNumber(0));
  EXPECT_EQ(Find(two_, "c"), file);
  EXPECT_TRUE(IsModified(one_));
  EXPECT_TRUE(IsModified(two_));
}

TEST_F(RenameTest, OverAFile) {
  const InodeNumber file = MakeFile(one_, "a");
  const InodeNumber held = MakeFile(two_, "b");
  WriteAll(held, "old");
  WriteAll(file, "new");
  ASSERT_OK(Rename(one_, "a", two_, "b"));
  EXPECT_EQ(Find(two_, "b"), file);
  EXPECT_EQ(ReadAll(held), "old");
  EXPECT_EQ(Get(held).links, 0u);
  names().Forget(held, 1);
  EXPECT_ERROR(ESTALE, attributes().Get(held));

  MakeForgotten(two_, "c", S_IFREG | 0600);
  ASSERT_OK(Rename(two_, "b", two_, "c"));
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  EXPECT_EQ(Find(two_, "c"), file);
}

TEST_F(RenameTest, OverOneOfTwoLinks) {
  const InodeNumber kept = MakeFile(two_, "b");
  ASSERT_OK(names().Link(kept, one_, "other"));
  MakeFile(one_, "a");
  MakeOld(kept);
  ASSERT_OK(Rename(one_, "a", two_, "b"));
  EXPECT_EQ(Get(kept).links, 1u);
  EXPECT_TRUE(IsChanged(kept));
  EXPECT_EQ(Find(one_, "other"), kept);
}

TEST_F(RenameTest, LinksOfOneInodeStay) {
  const InodeNumber file = MakeFile(one_, "a");
  ASSERT_OK(names().Link(file, two_, "b"));
  MakeOld(one_);
  ASSERT_OK(Rename(one_, "a", two_, "b"));
  ASSERT_OK(Rename(one_, "a", one_, "a"));
  ASSERT_OK(Rename(one_, "a", two_, "b", kRenameExchange));
  EXPECT_EQ(Find(one_, "a"), file);
  EXPECT_EQ(Find(two_, "b"), file);
  EXPECT_FALSE(IsModified(one_));
  EXPECT_ERROR(EEXIST, Rename(one_, "a", two_, "b", kRenameNoReplace));
}

TEST_F(RenameTest, DirectoriesMove) {
  const InodeNumber moved = MakeDirectory(one_, "d");
  MakeFile(moved, "inside");
  ASSERT_OK(Rename(one_, "d", two_, "e"));
  EXPECT_EQ(Get(one_).links, 2u);
  EXPECT_EQ(Get(two_).links, 3u);
  EXPECT_EQ(names().Lookup(moved, "..")->inode, two_);
  // Over an empty one, in another and in the same parent.
  MakeForgotten(one_, "empty", S_IFDIR | 0700);
  ASSERT_OK(Rename(two_, "e", one_, "empty"));
  EXPECT_EQ(Get(one_).links, 3u);
  EXPECT_EQ(Get(two_).links, 2u);
  const InodeNumber held = MakeDirectory(one_, "held");
  ASSERT_OK(Rename(one_, "empty", one_, "held"));
  EXPECT_EQ(Get(one_).links, 3u);
  EXPECT_EQ(Get(held).links, 0u);
  EXPECT_EQ(Find(one_, "held"), moved);
  names().Forget(held, 1);
}

TEST_F(RenameTest, RefusesByType) {
  MakeFile(one_, "file");
  const InodeNumber directory = MakeDirectory(one_, "d");
  MakeFile(directory, "x");
  MakeDirectory(two_, "d");
  EXPECT_ERROR(ENOENT, Rename(one_, "none", two_, "x"));
  EXPECT_ERROR(EISDIR, Rename(one_, "file", two_, "d"));
  EXPECT_ERROR(ENOTDIR, Rename(two_, "d", one_, "file"));
  EXPECT_ERROR(ENOTEMPTY, Rename(two_, "d", one_, "d"));
  EXPECT_ERROR(EEXIST, Rename(two_, "d", one_, "d", kRenameNoReplace));
  EXPECT_ERROR(ENOENT, Rename(one_, "d", two_, "none", kRenameExchange));
  EXPECT_ERROR(EINVAL, Rename(one_, "d", two_, "d", kRenameExchange | kRenameNoReplace));
  EXPECT_ERROR(EINVAL, Rename(one_, "d", two_, "d", kRenameExchange | kRenameWhiteout));
  EXPECT_ERROR(EINVAL, Rename(one_, "d", two_, "d", 8));
  EXPECT_ERROR(EBUSY, Rename(one_, ".", two_, "x"));
  EXPECT_ERROR(EBUSY, Rename(one_, "d", two_, ".."));
  EXPECT_ERROR(EEXIST, Rename(one_, "d", two_, "..", kRenameNoReplace));
  EXPECT_ERROR(ENAMETOOLONG, Rename(one_, "d", two_, std::string(256, 'x')));
  EXPECT_ERROR(ENOTDIR, Rename(one_, "d", Find(one_, "file"), "x"));
  ASSERT_OK(Rename(two_, "d", two_, "free", kRenameNoReplace));
}

TEST_F(RenameTest, NothingUnderItself) {
  const InodeNumber inner = MakeDirectory(one_, "inner");
  const InodeNumber deep = MakeDirectory(inner, "deep");
  EXPECT_ERROR(EINVAL, Rename(kRoot, "one", one_, "x"));
  EXPECT_ERROR(EINVAL, Rename(kRoot, "one", deep, "x"));
  EXPECT_ERROR(EINVAL, Rename(inner, "deep", kRoot, "one", kRenameExchange));
  EXPECT_ERROR(EINVAL, Rename(kRoot, "one", inner, "deep", kRenameExchange));
  EXPECT_ERROR(ENOTEMPTY, Rename(inner, "deep", kRoot, "one"));
  MakeFile(deep, "file");
  EXPECT_ERROR(EISDIR, Rename(deep, "file", kRoot, "one"));
}

TEST_F(RenameTest, FixedParentsAndVictims) {
  const InodeNumber file = MakeFile(one_, "file");
  const InodeNumber victim = MakeFile(two_, "victim");
  const auto set = [&](InodeNumber inode, uint32_t flags) {
    constexpr uint32_t kMask = media::kInodeImmutable | media::kInodeAppendOnly;
    ASSERT_OK(attributes().SetFlags(inode, kMask, flags));
  };
  set(victim, media::kInodeImmutable);
  EXPECT_ERROR(EPERM, Rename(one_, "file", two_, "victim"));
  EXPECT_ERROR(EPERM, Rename(one_, "file", two_, "victim", kRenameExchange));
  set(victim, 0);
  set(two_, media::kInodeAppendOnly);
  EXPECT_ERROR(EPERM, Rename(one_, "file", two_, "victim"));
  EXPECT_ERROR(EPERM, Rename(two_, "victim", one_, "x"));
  ASSERT_OK(Rename(one_, "file", two_, "added"));
  set(two_, media::kInodeImmutable);
  EXPECT_ERROR(EPERM, Rename(two_, "added", one_, "x"));
  EXPECT_ERROR(EPERM, Rename(kRoot, "one", two_, "x"));
  set(two_, 0);
  EXPECT_EQ(Find(two_, "added"), file);
}

TEST_F(RenameTest, ExchangeOfAllKinds) {
  const InodeNumber file = MakeFile(one_, "a");
  const InodeNumber directory = MakeDirectory(two_, "b");
  ASSERT_OK(Rename(one_, "a", two_, "b", kRenameExchange));
  EXPECT_EQ(Find(one_, "a"), directory);
  EXPECT_EQ(Find(two_, "b"), file);
  EXPECT_EQ(Get(one_).links, 3u);
  EXPECT_EQ(Get(two_).links, 2u);
  EXPECT_EQ(names().Lookup(directory, "..")->inode, one_);
  Walk(volume());
  ASSERT_OK(Rename(one_, "a", two_, "b", kRenameExchange));
  EXPECT_EQ(Find(two_, "b"), directory);
  // Two directories, of other parents and of one.
  const InodeNumber other = MakeDirectory(one_, "other");
  ASSERT_OK(Rename(one_, "other", two_, "b", kRenameExchange));
  EXPECT_EQ(names().Lookup(other, "..")->inode, two_);
  EXPECT_EQ(names().Lookup(directory, "..")->inode, one_);
  MakeOld(one_);
  ASSERT_OK(Rename(one_, "other", one_, "a", kRenameExchange));
  EXPECT_EQ(Find(one_, "a"), directory);
  EXPECT_EQ(Find(one_, "other"), file);
  EXPECT_TRUE(IsModified(one_));
}

TEST_F(RenameTest, WhiteoutStaysBehind) {
  MakeFile(one_, "a");
  MakeFile(two_, "b");
  ASSERT_OK(Rename(one_, "a", two_, "b", kRenameWhiteout));
  const auto whiteout = names().Lookup(one_, "a");
  ASSERT_OK(whiteout);
  EXPECT_EQ(whiteout->mode, uint32_t{S_IFCHR});
  EXPECT_EQ(whiteout->device, 0u);
  EXPECT_EQ(whiteout->links, 1u);
  EXPECT_EQ(whiteout->uid, kOwner.uid);
  ASSERT_OK(Rename(one_, "a", one_, "c", kRenameWhiteout | kRenameNoReplace));
  EXPECT_EQ(Find(one_, "c"), whiteout->inode);
}

// Each thread does random operations on few names in few directories; errors are those that
// races and states allow.
class Storm {
 public:
  Storm(Volume& volume, std::vector<InodeNumber> directories, uint64_t seed)
      : volume_(volume), names_(volume.names()), directories_(std::move(directories)),
        random_(seed) {}

  void Run(int operations) {
    for (int i = 0; i < operations; ++i) Step();
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }
  InodeNumber AnyDirectory() { return directories_[Below(directories_.size())]; }
  std::string AnyName() { return "n" + std::to_string(Below(12)); }

  void Create(uint32_t mode) {
    NewNode node;
    node.mode = mode;
    const auto made = names_.Create(AnyDirectory(), AnyName(), node, Caller{});
    // ENOENT: the directory was removed meanwhile.
    if (Allowed(made, {EEXIST, ENOENT})) names_.Forget(made->inode, 1);
  }
  void Link() {
    const auto found = names_.Lookup(AnyDirectory(), AnyName());
    if (!Allowed(found, {ENOENT})) return;
    const auto linked = names_.Link(found->inode, AnyDirectory(), AnyName());
    Allowed(linked, {EEXIST, EPERM, ENOENT});
    names_.Forget(found->inode, linked ? 2 : 1);
  }
  void WriteSomewhere() {
    const auto found = names_.Lookup(AnyDirectory(), AnyName());
    if (!Allowed(found, {ENOENT})) return;
    if (S_ISREG(found->mode)) {
      const std::string text(Below(9000), 'w');
      Allowed(volume_.data().Write(found->inode, 0, std::as_bytes(std::span(text)), {}), {});
    }
    names_.Forget(found->inode, 1);
  }
  void Rename(uint32_t flags) {
    Allowed(names_.Rename(AnyDirectory(), AnyName(), AnyDirectory(), AnyName(), flags, Caller{}),
            {ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL});
  }
  void Step() {
    switch (Below(10)) {
      case 0: return Create(S_IFREG | 0600);
      case 1: return Create(S_IFDIR | 0700);
      case 2: return Link();
      case 3: return WriteSomewhere();
      case 4: return Rename(0);
      case 5: return Rename(kRenameNoReplace);
      case 6: return Rename(kRenameExchange);
      case 7: return Rename(kRenameWhiteout);
      case 8:
        Allowed(names_.Unlink(AnyDirectory(), AnyName()), {ENOENT, EISDIR});
        return;
      default:
        Allowed(names_.Rmdir(AnyDirectory(), AnyName()), {ENOENT, ENOTDIR, ENOTEMPTY});
    }
  }
  template <typename T>
  bool Allowed(const Result<T>& result, std::initializer_list<int> errors) {
    if (result) return true;
    EXPECT_TRUE(std::ranges::count(errors, result.error_code()) > 0) << Describe(result.error());
    return false;
  }

  Volume& volume_;
  Names& names_;
  std::vector<InodeNumber> directories_;
  std::mt19937_64 random_;
};

TEST_F(RenameTest, StormKeepsTheTreeWhole) {
  // Directories that the storm itself moves about, held by references.
  std::vector<InodeNumber> directories{kRoot, one_, two_};
  directories.push_back(MakeDirectory(one_, "n0"));
  directories.push_back(MakeDirectory(two_, "n1"));
  directories.push_back(MakeDirectory(kRoot, "n2"));
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    threads.emplace_back([&, seed] { Storm(volume(), directories, seed).Run(1500); });
  }
  for (std::thread& thread : threads) thread.join();
  Walk(volume());
  for (size_t i = 1; i < directories.size(); ++i) names().Forget(directories[i], 1);
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  Reopen();
  EXPECT_EQ(core().allocator->Count().orphans, 0u);
  Walk(volume());
  RemoveAll(volume());
  const SpaceCounts after = core().allocator->Count();
  EXPECT_EQ(after.free_pages, empty_.free_pages);
  EXPECT_EQ(after.free_inode_slots, empty_.free_inode_slots);
}

}  // namespace
}  // namespace ingot::tests
