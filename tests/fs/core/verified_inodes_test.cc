// SPDX-License-Identifier: BSD-3-Clause
// The marks that spare an inode's checksum: damage is noticed at the first use after a mount and
// after whatever could have changed the slot, and never sealed in by a change.
//
// "Damage" here flips a byte of the medium behind the volume's back.
#include <cstring>

#include "tests/fs/core/file_model.h"

namespace ingot::tests {
namespace {

constexpr size_t kHead = offsetof(media::Inode, uid);
constexpr size_t kTail = sizeof(media::Inode) - 1;

class VerifiedInodesTest : public FileDataFixture {
 protected:
  std::byte* At(LogicalOffset at) {
    return volume().device().mapping().writable_base() + Geometry::ToMedia(at).value;
  }
  void Damage(InodeNumber inode, size_t byte) { At(AddressOf(inode))[byte] ^= std::byte{0x10}; }
  PageDescriptor& Descriptor(InodeNumber inode) {
    return volume().device().page_array().Get(PageOf(inode));
  }
  bool IsMarked(InodeNumber inode) { return IsInodeVerified(Descriptor(inode), SlotOf(inode)); }
  // Eight files that fill an inode page of their own, whose numbers the kernel has forgotten.
  std::vector<InodeNumber> FillPage() {
    std::vector<InodeNumber> page;
    for (int i = 0; page.size() < media::kInodesPerPage; ++i) {
      const std::string name = "page" + std::to_string(i);
      const InodeNumber file = MakeForgotten(kRoot, name, S_IFREG | 0644);
      if (SlotOf(file) == 0) page.clear();
      if (SlotOf(file) == page.size()) page.push_back(file);
      names_[file.value] = name;
    }
    return page;
  }
  void EmptyPage(const std::vector<InodeNumber>& page) {
    for (const InodeNumber file : page) ASSERT_OK(names().Unlink(kRoot, names_[file.value]));
  }

 private:
  std::map<uint64_t, std::string> names_;
};

TEST_F(VerifiedInodesTest, DamageIsNoticedAtTheFirstUseAfterAMount) {
  for (const size_t byte : {kHead, kTail}) {
    SCOPED_TRACE(byte);
    Make(kDefaultSize);
    const InodeNumber file = MakeForgotten(kRoot, "file", S_IFREG | 0644);
    ASSERT_TRUE(IsMarked(file));
    Reopen();
    EXPECT_FALSE(IsMarked(file));
    Damage(file, byte);
    EXPECT_ERROR(EUCLEAN, names().Lookup(kRoot, "file"));
    EXPECT_ERROR(EUCLEAN, attributes().Get(file));
    EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(file));
    EXPECT_FALSE(IsMarked(file));
    Damage(file, byte);
    ASSERT_OK(names().Lookup(kRoot, "file"));
    EXPECT_TRUE(IsMarked(file));
  }
}

TEST_F(VerifiedInodesTest, AHeadIsTheInodeWithoutItsTail) {
  const InodeNumber file = MakeFile(kRoot, "file");
  WriteAll(file, "small contents");
  for (const bool is_marked : {true, false}) {
    if (!is_marked) Reopen();
    const auto whole = core().reader.ReadInodeAnew(file);
    ASSERT_OK(whole);
    if (!is_marked) Reopen();
    ASSERT_EQ(IsMarked(file), is_marked);
    const auto head = core().reader.ReadInodeHead(file);
    ASSERT_OK(head);
    EXPECT_EQ(std::memcmp(&*head, &*whole, offsetof(media::Inode, tail)), 0);
    ASSERT_EQ(IsMarked(file), true);
    const auto again = core().reader.ReadInode(file);
    ASSERT_OK(again);
    EXPECT_EQ(std::memcmp(&*again, &*whole, sizeof(*whole)), 0);
  }
}

// Else the new checksum would vouch for it.
TEST_F(VerifiedInodesTest, NoChangeSealsDamageIn) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const InodeNumber directory = MakeDirectory(kRoot, "directory");
  for (const size_t byte : {kHead, kTail}) {
    for (const InodeNumber inode : {file, directory}) {
      SCOPED_TRACE(byte);
      ASSERT_TRUE(IsMarked(inode));
      Damage(inode, byte);
      AttributeChange change;
      change.uid = 7;
      EXPECT_ERROR(EUCLEAN, attributes().Set(inode, change));
      if (inode == directory) {
        NewNode node;
        node.mode = S_IFREG | 0644;
        EXPECT_ERROR(EUCLEAN, names().Create(directory, "new", node, kOwner));
      }
      Damage(inode, byte);
      ASSERT_OK(attributes().Set(inode, change));
    }
  }
}

// Bytes that are written in place, without a change of the inode, go where it says.
TEST_F(VerifiedInodesTest, NoDataGoesByADamagedInode) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const std::string text(3 * kPageSize, 'x');
  WriteAll(file, text);
  const auto overwrite = [&] {
    return data().Write(file, kPageSize, std::as_bytes(std::span(text)).first(100), {});
  };
  ASSERT_OK(overwrite());
  ASSERT_TRUE(IsMarked(file));
  const size_t start = offsetof(media::Inode, tail) + offsetof(media::Record, value);
  Damage(file, start);
  EXPECT_ERROR(EUCLEAN, overwrite());
  const InodeNumber source = MakeFile(kRoot, "source");
  WriteAll(source, text);
  EXPECT_ERROR(EUCLEAN, data().CopyRange(source, 0, file, 0, 100));
  Damage(file, start);
  ASSERT_OK(overwrite());
}

// A new inode takes over what its directory says.
TEST_F(VerifiedInodesTest, NothingIsHandedDownByADamagedDirectory) {
  const InodeNumber directory = MakeDirectory(kRoot, "directory");
  NewNode node;
  node.mode = S_IFREG | 0644;
  Damage(directory, kHead);
  EXPECT_ERROR(EUCLEAN, names().CreateUnnamed(directory, node, kOwner));
  Damage(directory, kHead);
}

// What a change doesn't touch of a bitmap's page is not vouched for by its new checksum.
TEST_F(VerifiedInodesTest, NoAllocationSealsDamageOfTheBitmapIn) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const InodeNumber other = MakeFile(kRoot, "other");
  std::byte* const bitmap = At(ingot::OffsetOf(LogicalPage(media::kAllocatedBitmapPage)));
  constexpr size_t kFarAway = 10'000 / 8;  // from the pages that come next
  bitmap[kFarAway] ^= std::byte{0x10};
  WriteAll(file, std::string(3 * kPageSize, 'x'));
  Reopen();
  const std::vector<std::byte> more(5 * kPageSize);
  EXPECT_FALSE(data().Write(other, 0, more, {})) << "the only group is not to be believed";
}

// What other code relies on is looked at whatever the mark says.
TEST_F(VerifiedInodesTest, FieldsOutOfRangeAreRefusedInMarkedSlots) {
  const InodeNumber file = MakeFile(kRoot, "file");
  auto& inode = *reinterpret_cast<media::Inode*>(At(AddressOf(file)));
  const media::Inode good = inode;
  const auto refuse = [&](auto change) {
    inode = good;
    change(inode);
    ASSERT_TRUE(IsMarked(file));
    EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(file));
    EXPECT_ERROR(EUCLEAN, core().reader.ReadInodeHead(file));
  };
  refuse([](media::Inode& i) { i.magic ^= 1; });
  refuse([](media::Inode& i) { i.number ^= 1; });
  refuse([](media::Inode& i) { i.mode = 0; });
  refuse([](media::Inode& i) { i.body_bytes = 0xFFFF; });
  refuse([](media::Inode& i) { i.tree_height = 0xFF; });
  refuse([](media::Inode& i) { i.size_bytes = ~uint64_t{0}; });
  inode = good;
  inode.magic = 0;
  EXPECT_ERROR(ESTALE, core().reader.ReadInodeHead(file));
  inode = good;
}

TEST_F(VerifiedInodesTest, AFreedSlotIsNotTrusted) {
  MakeForgotten(kRoot, "neighbour", S_IFREG | 0644);
  const InodeNumber file = MakeForgotten(kRoot, "file", S_IFREG | 0644);
  const media::Inode old = *core().reader.ReadInode(file);
  ASSERT_TRUE(IsMarked(file));
  ASSERT_OK(names().Unlink(kRoot, "file"));
  EXPECT_FALSE(IsMarked(file));
  EXPECT_ERROR(ESTALE, core().reader.ReadInode(file));
  media::Inode forged = old;
  forged.uid = 99;  // not sealed
  std::memcpy(At(AddressOf(file)), &forged, sizeof(forged));
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(file));
  std::memset(At(AddressOf(file)), 0, sizeof(forged));
}

// A number that somebody still has leads to a file's data by now.
TEST_F(VerifiedInodesTest, DataInAFormerInodePageIsNotTrusted) {
  const std::vector<InodeNumber> page = FillPage();
  const InodeNumber stale = page[3];
  media::Inode forged = *core().reader.ReadInode(stale);
  ASSERT_TRUE(IsMarked(stale));
  EmptyPage(page);
  EXPECT_EQ(Descriptor(stale).verified_inodes.load(), 0);
  EXPECT_ERROR(ESTALE, core().inodes.CheckNumber(stale));

  // Sealed: nothing tells these bytes from an inode, and still they are not marked, for the next
  // write of the file changes them.
  std::memcpy(At(AddressOf(stale)), &forged, sizeof(forged));
  (void)core().reader.ReadInode(stale);
  EXPECT_FALSE(IsMarked(stale));
  // Not even where a damaged entry's lookup has counted a reference there.
  core().inodes.AddLookup(stale);
  (void)core().reader.ReadInode(stale);
  EXPECT_FALSE(IsMarked(stale));
  forged.uid ^= 1;
  std::memcpy(At(AddressOf(stale)), &forged, sizeof(forged));
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(stale));
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInodeHead(stale));
  core().inodes.Forget(stale, 1);
}

TEST_F(VerifiedInodesTest, APageThatHoldsInodesAgainBeginsUnmarked) {
  const std::vector<InodeNumber> page = FillPage();
  EmptyPage(page);
  Descriptor(page[0]).verified_inodes = 0xFF;  // as if something had been forgotten
  for (int i = 0; i < 40; ++i) {
    const InodeNumber file = MakeForgotten(kRoot, "again" + std::to_string(i), S_IFREG | 0644);
    if (PageOf(file) != PageOf(page[0])) continue;
    EXPECT_EQ(Descriptor(file).verified_inodes.load(), 1u << SlotOf(file));
    return;
  }
  FAIL() << "the page was not used again";
}

// Whoever cleared the error may have put zeros or old bytes there.
TEST_F(VerifiedInodesTest, APageThatFaultedIsLookedAtEachTime) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const InodeNumber neighbour = MakeFile(kRoot, "neighbour");
  ASSERT_EQ(PageOf(file), PageOf(neighbour));
  ASSERT_TRUE(IsMarked(file));
  (void)volume().device().ReportFault(At(AddressOf(neighbour)));
  EXPECT_FALSE(IsMarked(file));
  ASSERT_OK(core().reader.ReadInode(file));
  Damage(file, kTail);
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(file));
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInodeHead(file));
  EXPECT_ERROR(EUCLEAN, names().Lookup(kRoot, "file"));
}

// There is no descriptor yet that could say so.
TEST_F(VerifiedInodesTest, APageThatFaultsFirstIsLookedAtEachTime) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const InodeNumber neighbour = MakeFile(kRoot, "neighbour");
  ASSERT_EQ(PageOf(file), PageOf(neighbour));
  Reopen();
  (void)volume().device().ReportFault(At(AddressOf(neighbour)));
  ASSERT_OK(core().reader.ReadInode(file));
  EXPECT_FALSE(IsMarked(file));
  Damage(file, kTail);
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(file));
}

TEST_F(VerifiedInodesTest, ABlockThatFaultedIsLookedAtEachTime) {
  const InodeNumber directory = MakeDirectory(kRoot, "directory");
  MakeFile(directory, "file");
  const media::Inode inode = *core().reader.ReadInode(directory);
  media::Record record;
  std::memcpy(&record, inode.tail.data(), sizeof(record));
  std::byte* leaf = At(ingot::OffsetOf(LogicalPage(record.value)));
  ASSERT_OK(names().Lookup(directory, "file"));
  (void)volume().device().ReportFault(leaf);
  ASSERT_OK(names().Lookup(directory, "file"));
  leaf[kPageSize / 2] ^= std::byte{1};
  EXPECT_ERROR(EUCLEAN, names().Lookup(directory, "file"));
}

TEST_F(VerifiedInodesTest, TrimForgets) {
  const InodeNumber file = MakeForgotten(kRoot, "file", S_IFREG | 0644);
  OpenInDram(0);
  ASSERT_OK(core().reader.ReadInode(file));
  ASSERT_TRUE(IsMarked(file));
  volume().device().page_array().Trim();
  EXPECT_FALSE(IsMarked(file));
  Damage(file, kTail);
  EXPECT_ERROR(EUCLEAN, core().reader.ReadInode(file));
}

// fsck's reader, which has nobody to tell it what pages hold inodes.
TEST_F(VerifiedInodesTest, AReaderByItselfTrustsNoMark) {
  const InodeNumber file = MakeFile(kRoot, "file");
  const BlockReader alone(volume().device());
  ASSERT_TRUE(IsMarked(file));
  Damage(file, kTail);
  EXPECT_ERROR(EUCLEAN, alone.ReadInode(file));
  EXPECT_ERROR(EUCLEAN, alone.ReadInodeHead(file));
  Damage(file, kTail);
}

}  // namespace
}  // namespace ingot::tests
