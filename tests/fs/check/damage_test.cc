// SPDX-License-Identifier: BSD-3-Clause
// Damage that spans several structures: pages with two owners, lost inodes, circles, wrong entries,
// and noise of every kind. Each is found by its kind, repaired, and nothing else suffers.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "fs/core/directory_leaf.h"
#include "fs/core/extent_map.h"
#include "fs/core/posix_acl.h"
#include "fs/core/xattr_blob.h"
#include "tests/fs/check/populated_pool.h"

namespace ingot::tests {
namespace {

using check::FindingKind;
namespace leafs = directory_leaf;

InodeNumber InodeOf(const std::string& path) {
  return PopulatedPool::Get().Inode(path);
}

// The leaf and slot of a name in a directory whose records are all in the inode.
struct EntryPlace {
  LogicalPage page;
  uint32_t index = 0;
};
EntryPlace FindEntry(PoolCopy& copy, InodeNumber directory, std::string_view name) {
  const uint32_t records = copy.Inode(directory).body_bytes / media::kRecordSize;
  for (uint32_t i = 0; i < records; ++i) {
    const LogicalPage page(copy.Records(directory)[i].value);
    const auto& leaf = copy.Block<media::DirectoryLeaf>(page);
    for (uint32_t slot = 0; slot < leaf.header.count; ++slot) {
      if (leafs::NameAt(leaf, slot) == name) return {page, slot};
    }
  }
  CHECK(false, "no entry {}", name);
  return {};
}

void EraseEntry(PoolCopy& copy, InodeNumber directory, std::string_view name) {
  const EntryPlace place = FindEntry(copy, directory, name);
  leafs::Erase(copy.Block<media::DirectoryLeaf>(place.page), place.index);
  copy.Seal(place.page);
  --copy.Inode(directory).entry_count;
  copy.Seal(directory);
}

void Retarget(PoolCopy& copy, InodeNumber directory, std::string_view name, InodeNumber inode,
              uint8_t type) {
  const EntryPlace place = FindEntry(copy, directory, name);
  leafs::Retarget(copy.Block<media::DirectoryLeaf>(place.page), place.index, inode, type);
  copy.Seal(place.page);
}

// Lets the first extent of `path` begin at `page`.
void MoveExtent(PoolCopy& copy, const std::string& path, LogicalPage page) {
  media::Record* record = copy.Records(InodeOf(path));
  Extent extent = Extent::Decode(*record);
  extent.start = page;
  *record = extent.Encode();
  copy.Seal(InodeOf(path));
}

void ExpectFound(const check::CheckReport& report, FindingKind kind) {
  EXPECT_TRUE(Has(report, kind)) << check::NameOf(kind) << " not among " << Summary(report);
}

TEST(CheckDamage, TwoFilesShareData) {
  PoolCopy copy;
  MoveExtent(copy, "small", Extent::Decode(*copy.Records(InodeOf("huge"))).start);
  ExpectFound(copy.ExpectRepairable({"small", "huge"}), FindingKind::kPageShared);
}

TEST(CheckDamage, DataOnMetadata) {
  PoolCopy copy;
  MoveExtent(copy, "small", LogicalPage(copy.Records(InodeOf("big"))->value));
  ExpectFound(copy.ExpectRepairable({"small"}), FindingKind::kPageShared);
}

TEST(CheckDamage, DataOnInodes) {
  PoolCopy copy;
  MoveExtent(copy, "small", PageOf(InodeOf("big")));
  ExpectFound(copy.ExpectRepairable({"small"}), FindingKind::kPageShared);
}

TEST(CheckDamage, DataOnReservedPages) {
  PoolCopy copy;
  MoveExtent(copy, "small", LogicalPage(media::kAllocatedBitmapPage));
  ExpectFound(copy.ExpectRepairable({"small"}), FindingKind::kExtent);
}

TEST(CheckDamage, AFileThatSharesWithItself) {
  PoolCopy copy;
  const LogicalPage node(copy.Records(InodeOf("fragmented"))[0].value);
  auto& records = copy.Block<media::TreeNode>(node).records;
  records[5].value = records[2].value;
  copy.Seal(node);
  ExpectFound(copy.ExpectRepairable({"fragmented"}), FindingKind::kPageShared);
}

TEST(CheckDamage, OneNodeReachedTwice) {
  PoolCopy copy;
  const InodeNumber big = InodeOf("big");
  media::Record* records = copy.Records(big);
  const uint32_t count = copy.Inode(big).body_bytes / media::kRecordSize;
  records[count] = {records[count - 1].key + 1000, records[0].value};
  copy.Inode(big).body_bytes = static_cast<uint16_t>((count + 1) * media::kRecordSize);
  copy.Seal(big);
  EXPECT_FALSE(copy.ExpectRepairable({"big", "linked"}).clean());
}

TEST(CheckDamage, LostFileIsSaved) {
  PoolCopy copy;
  const InodeNumber huge = InodeOf("huge");
  EraseEntry(copy, Volume::kRoot, "huge");
  ExpectFound(copy.Report(), FindingKind::kInodeLost);
  EXPECT_TRUE(copy.Repair().clean_now());
  EXPECT_TRUE(copy.Report().clean());
  const std::unique_ptr<Volume> volume = copy.OpenVolume();
  ASSERT_NE(volume, nullptr);
  const Manifest manifest = ReadManifest(*volume);
  EXPECT_EQ(manifest.at(fmt::format("lost+found/#{}", huge.value)),
            PopulatedPool::Get().manifest().at("huge"));
}

TEST(CheckDamage, LostDirectoryKeepsItsTree) {
  PoolCopy copy;
  EraseEntry(copy, Volume::kRoot, "outer");
  ExpectFound(copy.Report(), FindingKind::kInodeLost);
  EXPECT_TRUE(copy.Repair().clean_now());
  EXPECT_TRUE(copy.Report().clean());
  const std::unique_ptr<Volume> volume = copy.OpenVolume();
  ASSERT_NE(volume, nullptr);
  const Manifest manifest = ReadManifest(*volume);
  const std::string place = fmt::format("lost+found/#{}/inner/file", InodeOf("outer").value);
  EXPECT_EQ(manifest.at(place), PopulatedPool::Get().manifest().at("outer/inner/file"));
}

TEST(CheckDamage, LostEmptyFileIsFreed) {
  PoolCopy copy;
  EraseEntry(copy, Volume::kRoot, "empty");
  ExpectFound(copy.ExpectRepairable({"empty"}), FindingKind::kInodeLost);
}

TEST(CheckDamage, RootIsMadeAgain) {
  PoolCopy copy;
  std::memset(&copy.Inode(Volume::kRoot), 0, sizeof(media::Inode));
  ExpectFound(copy.Report(), FindingKind::kRootDamaged);
  EXPECT_TRUE(copy.Repair().clean_now());
  EXPECT_TRUE(copy.Report().clean());
  const std::unique_ptr<Volume> volume = copy.OpenVolume();
  ASSERT_NE(volume, nullptr);
  const Manifest manifest = ReadManifest(*volume);
  for (const char* path : {"small", "huge", "fragmented", "outer", "symlink"}) {
    const auto found = manifest.find(fmt::format("lost+found/#{}", InodeOf(path).value));
    ASSERT_NE(found, manifest.end()) << path;
    EXPECT_EQ(found->second, PopulatedPool::Get().manifest().at(path)) << path;
  }
}

TEST(CheckDamage, SecondNameOfADirectory) {
  PoolCopy copy;
  Retarget(copy, InodeOf("outer/inner"), "innermost", InodeOf("empty_directory"), DT_DIR);
  ExpectFound(copy.ExpectRepairable({"outer/inner/innermost"}), FindingKind::kEntrySecondParent);
}

TEST(CheckDamage, CircleOfDirectories) {
  PoolCopy copy;
  const InodeNumber outer = InodeOf("outer");
  const InodeNumber inner = InodeOf("outer/inner");
  EraseEntry(copy, Volume::kRoot, "outer");
  Retarget(copy, inner, "innermost", outer, DT_DIR);
  copy.Inode(outer).parent = inner.value;
  copy.Seal(outer);
  ExpectFound(copy.ExpectRepairable({"outer"}), FindingKind::kDirectoryCycle);
}

TEST(CheckDamage, EntriesOfAllWrongKinds) {
  PoolCopy copy;
  Retarget(copy, Volume::kRoot, "fifo", InodeOf("fifo"), DT_DIR);
  ExpectFound(copy.ExpectRepairable({}), FindingKind::kEntryType);

  PoolCopy dangling;
  Retarget(dangling, Volume::kRoot, "fifo", InodeNumber(7777777), DT_FIFO);
  ExpectFound(dangling.ExpectRepairable({"fifo"}), FindingKind::kEntryDangling);

  PoolCopy twice;
  const EntryPlace place = FindEntry(twice, Volume::kRoot, "fifo");
  auto& leaf = twice.Block<media::DirectoryLeaf>(place.page);
  leafs::Insert(leaf, leaf.slots[place.index].key + 1, "fifo", InodeOf("socket"), DT_SOCK);
  twice.Seal(place.page);
  ++twice.Inode(Volume::kRoot).entry_count;
  twice.Seal(Volume::kRoot);
  ++twice.Inode(InodeOf("socket")).links;
  twice.Seal(InodeOf("socket"));
  ExpectFound(twice.ExpectRepairable({}), FindingKind::kEntryDuplicate);
}

TEST(CheckDamage, DataBehindTheEnd) {
  PoolCopy copy;
  copy.Inode(InodeOf("small")).size_bytes = 100;
  copy.Seal(InodeOf("small"));
  ExpectFound(copy.ExpectRepairable({"small"}), FindingKind::kExtentBeyondEnd);
}

// This pool has no backing files: the contents can't be anywhere.
TEST(CheckDamage, ABackedFile) {
  PoolCopy copy;
  media::Inode& inode = copy.Inode(InodeOf("empty"));
  inode.body_form = media::BodyForm::kBacked;
  inode.backing_file = 5;
  copy.Seal(InodeOf("empty"));
  ExpectFound(copy.ExpectRepairable({"empty"}), FindingKind::kInodeDamaged);
}

// It would keep the directory from taking names.
TEST(CheckDamage, AnAccessListThatIsNone) {
  PoolCopy copy;
  const InodeNumber number = InodeOf("empty_directory");
  const std::array value{std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{77}};
  const std::array entries{XattrView{kDefaultAclName, value}};
  const std::vector<std::byte> blob = EncodeXattrs(entries);
  media::Inode& inode = copy.Inode(number);
  inode.xattr_bytes = static_cast<uint16_t>(blob.size());
  std::ranges::copy(blob, inode.tail.end() - static_cast<std::ptrdiff_t>(blob.size()));
  copy.Seal(number);
  ExpectFound(copy.ExpectRepairable({"empty_directory"}), FindingKind::kXattr);
}

TEST(CheckDamage, GarbageInodePages) {
  std::mt19937_64 random(11);
  for (const std::string path : {"", "big", "outer/inner"}) {
    for (const bool zero : {true, false}) {
      SCOPED_TRACE(fmt::format("page of '{}', zeros {}", path, zero));
      PoolCopy copy;
      std::byte* bytes = copy.At(PageOf(InodeOf(path)));
      for (size_t i = 0; i < kPageSize; ++i) {
        bytes[i] = zero ? std::byte{0} : static_cast<std::byte>(random());
      }
      EXPECT_FALSE(copy.ExpectRepairable({""}).clean());
    }
  }
}

// Whatever happens to metadata: fsck ends, and leaves a pool that is clean and can be used.
TEST(CheckDamage, NoiseInMetadata) {
  // --gtest_random_seed=N tries others.
  std::mt19937_64 random(static_cast<uint64_t>(GTEST_FLAG_GET(random_seed)) + 5);
  std::vector<LogicalPage> pages;
  for (uint64_t page = 0; page < 512; ++page) pages.push_back(LogicalPage(page));
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    PoolCopy copy;
    for (uint64_t i = 0; i < 1 + random() % 6; ++i) {
      const LogicalPage page = pages[random() % pages.size()];
      const size_t at = random() % kPageSize;
      const size_t length = 1 + random() % 64;
      for (size_t k = at; k < std::min<size_t>(at + length, kPageSize); ++k) {
        copy.At(page)[k] = static_cast<std::byte>(random());
      }
      // Half of them with a right checksum, whichever kind of block it is.
      if (random() % 2 == 0) continue;
      if (copy.Block<media::BlockHeader>(page).page == page.value) {
        copy.Seal(page);
      } else {
        copy.Seal(InodeNumber(page.value * media::kInodesPerPage + at / media::kInodeSize));
      }
    }
    copy.ExpectRepairable({""});
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace ingot::tests
