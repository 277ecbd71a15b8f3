// SPDX-License-Identifier: BSD-3-Clause
// Files on bad pages: what is replaced whole moves elsewhere and is well, what is to keep bytes of
// a bad page is EIO and stays as it was. Bad pages are given to nobody and counted as free by
// nobody. The poison is that of userfaultfd (Linux 6.6).
#include <set>

#include "tests/fs/core/file_model.h"
#include "tests/support/failing_memory.h"
#include "tests/support/fsck_assert.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

// Counts transactions, also those that log nothing.
struct LeaseCounter : JournalObserver {
  explicit LeaseCounter(Journal& of) : journal(of) { journal.set_observer(this); }
  ~LeaseCounter() override { journal.set_observer(nullptr); }
  LeaseCounter(const LeaseCounter&) = delete;
  void OnLog(uint32_t, MediaOffset, uint64_t) override {}
  void OnRelease(uint32_t) override { ++count; }

  Journal& journal;
  uint64_t count = 0;
};

class OnBadPages : public FileDataFixture {
 protected:
  void SetUp() override {
    FileDataFixture::SetUp();
    file_ = MakeFile(kRoot, "file");
    const InodeNumber probe = MakeFile(kRoot, "probe");
    ASSERT_OK(Write(probe, 0, Noise(kPageSize, 1)));
    if (!PoisonPage(device().mapping(), Geometry::ToMedia(PlaceOf(probe, 0)))) {
      GTEST_SKIP() << "no UFFDIO_POISON (Linux 6.6, userfaultfd)";
    }
    HealPage(device().mapping(), Geometry::ToMedia(PlaceOf(probe, 0)));
  }
  void TearDown() override {
    if (IsSkipped()) return;
    // Repaired, the pool is whole: nothing was lost or counted twice on media.
    for (const LogicalPage page : poisoned_) {
      HealPage(device().mapping(), Geometry::ToMedia(page));
    }
    EXPECT_FSCK_CLEAN(device());
  }

  Device& device() { return volume().device(); }
  LogicalPage PlaceOf(InodeNumber file, uint64_t page) {
    const auto extents = data().Extents(file, FilePage(page), 1);
    EXPECT_TRUE(extents && !extents->empty() && extents->at(0).file_page.value <= page);
    return extents->at(0).start + (page - extents->at(0).file_page.value);
  }
  void Poison(LogicalPage page) {
    ASSERT_TRUE(PoisonPage(device().mapping(), Geometry::ToMedia(page)));
    poisoned_.insert(page);
  }
  void Poison(InodeNumber file, const std::vector<uint64_t>& pages) {
    for (const uint64_t page : pages) ASSERT_NO_FATAL_FAILURE(Poison(PlaceOf(file, page)));
  }
  // All of `bytes` go there at the first call.
  void WriteWhole(uint64_t offset, const std::vector<std::byte>& bytes) {
    const Result<uint64_t> written = Write(file_, offset, bytes);
    ASSERT_OK(written);
    ASSERT_EQ(*written, bytes.size());
    model_.Write(offset, bytes);
  }
  void MakeAtomic() {
    ASSERT_OK(attributes().SetFlags(file_, media::kInodeAtomic, media::kInodeAtomic));
  }
  void ExpectNoBadPageIn(InodeNumber file) {
    const auto extents = data().Extents(file, FilePage(0), SIZE_MAX);
    ASSERT_OK(extents);
    for (const Extent& extent : *extents) {
      const auto bad = poisoned_.lower_bound(extent.start);
      EXPECT_TRUE(bad == poisoned_.end() || *bad >= extent.start + extent.pages) << bad->value;
    }
  }
  // What may be taken, by what is said to be free.
  uint64_t UsablePages() { return FreePages() - core().allocator->Count().reserve_pages; }

  InodeNumber file_;
  FileModel model_;
  std::set<LogicalPage> poisoned_;
};

// --- what heals

TEST_F(OnBadPages, BelowPreallocatedSpaceHeal) {
  ASSERT_OK(data().Fallocate(file_, 0, 0, 40 * kPageSize));
  model_.Truncate(40 * kPageSize);
  const uint64_t pages = PagesOf(file_);
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {3, 4, 5, 9, 20, 39}));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(kPageSize, Noise(10 * kPageSize, 1)));
  // In part, too: the rest of these pages reads as zeros, which nobody needs the bad page for.
  ASSERT_NO_FATAL_FAILURE(WriteWhole(20 * kPageSize + 100, Noise(50, 2)));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(38 * kPageSize + 100, Noise(2 * kPageSize - 200, 3)));
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
  EXPECT_EQ(PagesOf(file_), pages);
}

TEST_F(OnBadPages, BelowPreallocatedSpaceHealInAFullPool) {
  ASSERT_OK(data().Fallocate(file_, 0, 0, 8 * kPageSize));
  model_.Truncate(8 * kPageSize);
  data().Closed(file_);
  const InodeNumber filler = MakeFile(kRoot, "filler");
  ASSERT_OK(data().Fallocate(filler, 0, 0, UsablePages() * kPageSize));
  data().Closed(filler);
  ASSERT_EQ(UsablePages(), 0u);
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {2, 5}));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(8 * kPageSize, 1)));
  ExpectSame(file_, model_);
}

TEST_F(OnBadPages, OverwrittenInAFullPoolHeal) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(8 * kPageSize, 1)));
  data().Closed(file_);
  const InodeNumber filler = MakeFile(kRoot, "filler");
  ASSERT_OK(data().Fallocate(filler, 0, 0, UsablePages() * kPageSize));
  data().Closed(filler);
  ASSERT_EQ(UsablePages(), 0u);
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {2, 5}));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(8 * kPageSize, 2)));
  ExpectSame(file_, model_);
}

TEST_F(OnBadPages, WhatKeepsSomeOfTheBytesIsAnError) {
  const auto bytes = Noise(10 * kPageSize + 100, 1);
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, bytes));
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {2, 4, 10}));
  constexpr uint32_t kPunch = kFallocatePunchHole | kFallocateKeepSize;
  EXPECT_ERROR(EIO, data().Fallocate(file_, kPunch, 2 * kPageSize + 1, 100));
  EXPECT_ERROR(EIO, data().Truncate(file_, 20 * kPageSize, false));
  EXPECT_ERROR(EIO, Write(file_, 3 * kPageSize, Noise(kPageSize + 1, 2)));
  EXPECT_ERROR(EIO, Append(file_, Noise(10, 2)));
  EXPECT_EQ(Get(file_).size_bytes, bytes.size());
  // The last page's bytes are all there are of it: these replace it.
  ASSERT_NO_FATAL_FAILURE(WriteWhole(10 * kPageSize, Noise(100, 3)));
  ASSERT_OK(data().Fallocate(file_, kPunch, 2 * kPageSize, 3 * kPageSize));
  model_.Zero(2 * kPageSize, 5 * kPageSize);
  ASSERT_OK(data().Truncate(file_, 20 * kPageSize, false));
  model_.Truncate(20 * kPageSize);
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
}

TEST_F(OnBadPages, OfASmallAtomicWriteHeal) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(20 * kPageSize, 1)));
  ASSERT_NO_FATAL_FAILURE(MakeAtomic());
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {3, 5, 6}));
  EXPECT_ERROR(EIO, Write(file_, 3 * kPageSize + 1, Noise(kPageSize, 2)));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(2 * kPageSize + 100, Noise(5 * kPageSize, 3)));
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
}

TEST_F(OnBadPages, OfALargeAtomicWriteHeal) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(100 * kPageSize, 1)));
  ASSERT_NO_FATAL_FAILURE(MakeAtomic());
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {3, 50, 51, 99}));
  EXPECT_ERROR(EIO, Write(file_, 3 * kPageSize + 1, Noise(60 * kPageSize, 2)));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(2 * kPageSize + 100, Noise(98 * kPageSize - 100, 3)));
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
}

// In a whole huge page: other bad pages of it are none of the request's business.
TEST_F(OnBadPages, OfAnAtomicWriteIntoAHugePageHeal) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(4 * kMiB, 1)));
  ASSERT_EQ(HugeBytes(file_), 4 * kMiB);
  ASSERT_NO_FATAL_FAILURE(MakeAtomic());
  // One to be replaced: all of the window moves, and stays huge.
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {100}));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(90 * kPageSize + 7, Noise(20 * kPageSize, 2)));
  ExpectSame(file_, model_);
  EXPECT_EQ(HugeBytes(file_), 4 * kMiB);
  // One that stays, and one to be replaced.
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {600, 700}));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(690 * kPageSize, Noise(20 * kPageSize, 3)));
  EXPECT_ERROR(EIO, Write(file_, 600 * kPageSize + 1, Noise(20 * kPageSize, 3)));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(600 * kPageSize, Noise(kPageSize, 4)));
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
}

// None of them was known before: each is met by a store.
TEST_F(OnBadPages, ManyInOneRequestHealAtTheFirstWrite) {
  std::vector<uint64_t> bad = {0, 31};
  for (uint64_t page = 2; page < 30; page += 3) bad.push_back(page);
  for (const bool is_atomic : {false, true}) {
    for (const uint64_t pages : {uint64_t{5}, uint64_t{32}}) {
      SCOPED_TRACE(fmt::format("{} pages, atomic: {}", pages, is_atomic));
      file_ = MakeFile(kRoot, fmt::format("{}{}", pages, is_atomic));
      model_ = FileModel();
      ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(32 * kPageSize, 1)));
      if (is_atomic) {
        ASSERT_NO_FATAL_FAILURE(MakeAtomic());
      }
      ASSERT_NO_FATAL_FAILURE(Poison(file_, bad));
      ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(pages * kPageSize, 2)));
      ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(32 * kPageSize, 3)));
      ExpectSame(file_, model_);
      ExpectNoBadPageIn(file_);
    }
  }
}

// Free pages that nobody knows to be bad: whoever is given them asks for others.
TEST_F(OnBadPages, ThatAreFreeCostAWriteNothing) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(kPageSize, 1)));
  data().Closed(file_);
  const LogicalPage next = PlaceOf(file_, 0) + 1;
  for (uint64_t i = 0; i < 20; i += 2) ASSERT_NO_FATAL_FAILURE(Poison(next + i));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(kPageSize, Noise(20 * kPageSize, 2)));
  EXPECT_FALSE(device().poisoned_pages().empty()) << "none of them was met";
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
}

// --- what they cost others

TEST_F(OnBadPages, LeaveOverwritingElsewhereAlone) {
  const FixedChance chance;
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(20 * kPageSize, 1)));
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {7}));
  std::vector<std::byte> byte(1);
  EXPECT_ERROR(EIO, data().ReadInto(file_, 7 * kPageSize, byte));
  const media::Inode inode = core().reader.ReadInode(file_).value();
  const FixedChance::Stop stop({inode.mtime_seconds, inode.mtime_nanoseconds});
  LeaseCounter counter(device().journal());
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(7 * kPageSize, 2)));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(8 * kPageSize, Noise(3 * kPageSize, 2)));
  EXPECT_EQ(counter.count, 0u) << "stored in place, without a transaction";
  ASSERT_NO_FATAL_FAILURE(WriteWhole(6 * kPageSize, Noise(3 * kPageSize, 3)));
  EXPECT_EQ(counter.count, 1u);
  ExpectSame(file_, model_);
}

TEST_F(OnBadPages, LeaveGrowingFilesInOnePiece) {
  const InodeNumber sieve = MakeFile(kRoot, "sieve");
  ASSERT_OK(Write(sieve, 0, Noise(9 * kPageSize, 1)));
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(4 * kPageSize, 1)));
  data().Closed(file_);
  data().Closed(sieve);
  // A hole that fits better than what comes behind the file, and a bad page, known.
  ASSERT_OK(data().Fallocate(sieve, kFallocatePunchHole | kFallocateKeepSize, 2 * kPageSize,
                             kPageSize));
  ASSERT_NO_FATAL_FAILURE(Poison(sieve, {6}));
  std::vector<std::byte> byte(1);
  EXPECT_ERROR(EIO, data().ReadInto(sieve, 6 * kPageSize, byte));
  for (uint64_t page = 4; page < 10; ++page) {
    ASSERT_OK(data().Fallocate(file_, kFallocateKeepSize, page * kPageSize, kPageSize));
  }
  EXPECT_EQ(PlaceOf(file_, 9), PlaceOf(file_, 0) + 9);
}

// --- what is free

TEST_F(OnBadPages, AreNotFree) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(4 * kMiB, 1)));
  ASSERT_EQ(HugeBytes(file_), 4 * kMiB);
  data().Closed(file_);
  const SpaceCounts before = core().allocator->Count();
  ASSERT_NO_FATAL_FAILURE(Poison(file_, {3, 600, 601, 1000}));
  std::vector<std::byte> byte(1);
  for (const uint64_t page : {3u, 600u, 601u, 1000u}) {
    EXPECT_ERROR(EIO, data().ReadInto(file_, page * kPageSize, byte));
  }
  EXPECT_EQ(FreePages(), before.free_pages) << "they are the file's";
  ASSERT_OK(data().Truncate(file_, kPageSize, false));
  const SpaceCounts after = core().allocator->Count();
  EXPECT_EQ(after.free_pages, before.free_pages + 1023 - 4);
  EXPECT_EQ(after.free_huge_pages, before.free_huge_pages) << "one is in use, one is not whole";

  // What is said to be free can be had, all of it.
  const InodeNumber filler = MakeFile(kRoot, "filler");
  ASSERT_OK(data().Fallocate(filler, 0, 0, UsablePages() * kPageSize));
  EXPECT_EQ(UsablePages(), 0u);
  EXPECT_ERROR(ENOSPC, Write(file_, kPageSize, Noise(kPageSize, 1)));
  ExpectNoBadPageIn(filler);
  ASSERT_OK(data().Truncate(filler, 0, false));
  EXPECT_EQ(FreePages(), after.free_pages);
}

// Found by others while nobody had them: noticed by whoever looks for space there.
TEST_F(OnBadPages, ThatWentBadWhileFreeAreNotFree) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(50 * kPageSize, 1)));
  const LogicalPage first = PlaceOf(file_, 10);
  ASSERT_OK(data().Truncate(file_, 0, false));
  const uint64_t before = FreePages();
  for (uint64_t i = 0; i < 5; ++i) {
    poisoned_.insert(first + i);
    (void)device().ReportFault(device().Pointer(ingot::OffsetOf(first + i)));
  }
  ASSERT_EQ(device().poisoned_pages().size(), 5u);
  const InodeNumber other = MakeFile(kRoot, "other");
  ASSERT_OK(Write(other, 0, Noise(50 * kPageSize, 1)));
  ExpectNoBadPageIn(other);
  ASSERT_OK(data().Truncate(other, 0, false));
  EXPECT_EQ(FreePages(), before - 5);
  const InodeNumber filler = MakeFile(kRoot, "filler");
  ASSERT_OK(data().Fallocate(filler, 0, 0, UsablePages() * kPageSize));
  EXPECT_EQ(UsablePages(), 0u);
  ExpectNoBadPageIn(filler);
}

TEST_F(OnBadPages, AllOfAHugePageAreNotFree) {
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(2 * kMiB, 1)));
  data().Closed(file_);
  const LogicalPage first = PlaceOf(file_, 0);
  const SpaceCounts before = core().allocator->Count();
  for (uint64_t i = 0; i < kPagesPerHugePage; ++i) {
    poisoned_.insert(first + i);
    (void)device().ReportFault(device().Pointer(ingot::OffsetOf(first + i)));
  }
  ASSERT_NO_FATAL_FAILURE(WriteWhole(0, Noise(2 * kMiB, 2)));
  ExpectSame(file_, model_);
  ExpectNoBadPageIn(file_);
  data().Closed(file_);
  EXPECT_EQ(FreePages(), before.free_pages - kPagesPerHugePage);
}

// --- what is remembered

std::unique_ptr<Volume> NewVolume(bool page_granular) {
  MappingOptions options = TestMappingOptions();
  options.force_page_granularity = page_granular;
  std::unique_ptr<Device> device = FormattedDevice(uint64_t{32} << 20, options);
  EXPECT_TRUE(Volume::Format(*device, Caller{}));
  auto volume = Volume::Open(std::move(device), {});
  EXPECT_TRUE(volume) << Describe(volume.error());
  return std::move(*volume);
}

bool IsKnown(const Device& device, LogicalPage page) {
  const auto known = device.poisoned_pages();
  return std::ranges::find(known, Geometry::ToMedia(page), &PoisonedPage::at) != known.end();
}

// A fault that nobody reported is not the fault of a commit that fails for another reason.
TEST(BadPageReports, AreNotAboutEarlierFaults) {
  const auto volume = NewVolume(/*page_granular=*/true);
  Device& device = volume->device();
  const LogicalPage page(2000);
  if (!PoisonPage(device.mapping(), Geometry::ToMedia(page))) GTEST_SKIP() << "no UFFDIO_POISON";
  std::byte byte{};
  ASSERT_FALSE(poison::Copy(&byte, device.Pointer(OffsetOf(page)), 1));
  device.persist().FailMsyncAfter(1);
  AttributeChange change;
  change.mode = 0700;
  EXPECT_ERROR(EIO, volume->attributes().Set(Volume::kRoot, change));
  EXPECT_FALSE(IsKnown(device, page));
}

// Whichever allocation fails: a bad page that was met is known.
void MeetWithoutMemory(bool page_granular, bool by_commit) {
  uint64_t met = 0;
  for (uint64_t n = 1; n < 100; ++n) {
    SCOPED_TRACE(n);
    const auto volume = NewVolume(page_granular);
    Device& device = volume->device();
    const LogicalPage earlier(2000);
    const LogicalPage page = by_commit ? PageOf(Volume::kRoot) : LogicalPage(3000);
    Transaction transaction(*volume->core().allocator, volume->core().reader);
    const auto inode = transaction.EditInode(Volume::kRoot);
    ASSERT_OK(inode);
    (*inode)->uid = 77;
    const std::vector<std::byte> bytes(kPageSize);
    for (const LogicalPage bad : {earlier, page}) {
      if (!PoisonPage(device.mapping(), Geometry::ToMedia(bad))) GTEST_SKIP() << "UFFDIO_POISON";
    }
    std::byte byte{};
    ASSERT_FALSE(poison::Copy(&byte, device.Pointer(OffsetOf(earlier)), 1));
    Result<void> result;
    {
      const FailingMemory memory(n, FailingMemory::Failures::kOne);
      result = NoThrow([&]() -> Result<void> {
        if (by_commit) return transaction.Commit();
        return transaction.stream().CopyUnfenced(Geometry::ToMedia(page), bytes);
      });
    }
    EXPECT_FALSE(result);
    const auto place = device.mapping().Locate(poison::LastFaultAddress());
    ASSERT_TRUE(place.has_value());
    if (RoundDown(place->value, kPageSize) == Geometry::ToMedia(page).value) {
      ++met;
      EXPECT_TRUE(IsKnown(device, page));
    }
    if (::testing::Test::HasFailure() || !FailingMemory::HasFailed()) break;
  }
  EXPECT_GE(met, 1u);
}

TEST(BadPageReports, OutliveScarceMemory) {
  for (const bool page_granular : {false, true}) {
    for (const bool by_commit : {false, true}) {
      SCOPED_TRACE(fmt::format("pages: {}, commit: {}", page_granular, by_commit));
      MeetWithoutMemory(page_granular, by_commit);
      if (::testing::Test::IsSkipped()) return;
    }
  }
}

}  // namespace
}  // namespace ingot::tests
