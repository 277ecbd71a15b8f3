// SPDX-License-Identifier: BSD-3-Clause
// Claims, commits and frees against a plain model: nobody gets a page twice, huge-page masks equal
// the bitmaps, nothing leaks through an abort, and a reopened pool says the same.
#include "fs/core/allocator.h"

#include <array>
#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "fs/core/transaction.h"
#include "tests/fs/core/core_fixture.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class AllocatorTest : public CoreFixture {
 protected:
  Result<void> Commit(Claim claim, ClaimPurpose purpose = ClaimPurpose::kData) {
    Transaction transaction(allocator(), core().reader);
    TRY(transaction.Allocate(std::move(claim), InodeNumber(1), purpose));
    return transaction.Commit();
  }
  Result<void> Free(LogicalPage first, uint32_t pages) {
    Transaction transaction(allocator(), core().reader);
    TRY(transaction.Free(first, pages));
    return transaction.Commit();
  }
  // Bitmaps, entries and volatile counts agree; returns the pages that are free on media.
  uint64_t CheckMedia() {
    uint64_t free = 0;
    for (uint64_t i = 0; i < device().geometry().group_count(); ++i) {
      const GroupIndex group(i);
      const auto entry = device().group_table().Read(group);
      EXPECT_TRUE(entry.has_value());
      free += entry->free_pages;
      if ((entry->flags & media::kGroupUninitialised) != 0) continue;
      PageBitmap bitmap;
      EXPECT_TRUE(device().Read(OffsetOf(FirstPageOf(group) + media::kAllocatedBitmapPage),
                                std::as_writable_bytes(std::span(bitmap))));
      EXPECT_EQ(CountClear(bitmap), entry->free_pages);
      for (uint32_t huge = 0; huge < kHugePagesPerGroup; ++huge) {
        const bool whole = AllClear(bitmap, {huge * 512, 512});
        EXPECT_EQ(whole, (entry->free_huge_mask >> huge & 1) != 0) << "huge " << huge;
      }
    }
    return free;
  }
};

TEST_F(AllocatorTest, AFreshPoolHasEverythingButReservedPages) {
  Make(300 * kMiB);
  const SpaceCounts counts = allocator().Count();
  EXPECT_EQ(counts.free_pages, counts.total_pages);
  EXPECT_EQ(counts.total_pages,
            device().geometry().page_count() - 3 * device().geometry().group_count());
  EXPECT_EQ(counts.free_inode_slots, 8 * device().geometry().group_count() - 1);
}

TEST_F(AllocatorTest, ADroppedClaimGivesEverythingBack) {
  Make(300 * kMiB);
  const SpaceCounts before = allocator().Count();
  {
    auto huge = allocator().Take({.whole_huge = true});
    ASSERT_OK(huge);
    EXPECT_EQ(huge->first().value % kPagesPerHugePage, 0u);
    Claim front = huge->TakeFront(100);
    EXPECT_EQ(front.count() + huge->count(), kPagesPerHugePage);
    EXPECT_EQ(allocator().Count().free_huge_pages, before.free_huge_pages - 1);
    EXPECT_EQ(allocator().Count().free_pages, before.free_pages);
  }
  EXPECT_EQ(allocator().Count().free_huge_pages, before.free_huge_pages);
  EXPECT_EQ(CheckMedia(), before.free_pages);
}

TEST_F(AllocatorTest, MetadataGoesHomeAndDataBreaksFewHugePages) {
  Make(300 * kMiB);
  for (int i = 0; i < 100; ++i) {
    auto meta = allocator().Take({.purpose = ClaimPurpose::kMetadata});
    ASSERT_OK(meta);
    EXPECT_LT(IndexInGroup(meta->first()), kPagesPerHugePage);
    ASSERT_OK(Commit(std::move(*meta), ClaimPurpose::kMetadata));
  }
  const uint64_t whole = allocator().Count().free_huge_pages;
  for (int i = 0; i < 512; ++i) {
    auto data = allocator().Take({.pages = 1});
    ASSERT_OK(data);
    EXPECT_GE(IndexInGroup(data->first()), kPagesPerHugePage);
    ASSERT_OK(Commit(std::move(*data)));
  }
  EXPECT_EQ(allocator().Count().free_huge_pages, whole - 1);
  CheckMedia();
}

TEST_F(AllocatorTest, FragmentsOfAllGroupsComeBeforeWholeHugePages) {
  Make(12 * 130 * kMiB);
  const uint64_t groups = device().geometry().group_count();
  ASSERT_GE(groups, 12u);
  // A broken huge page in each group, with 16 pages left.
  for (uint64_t i = 0; i < groups; ++i) {
    auto claim =
        allocator().Take({.pages = 496, .goal = FirstPageOf(GroupIndex(i)), .exact = true});
    ASSERT_OK(claim);
    ASSERT_EQ(GroupOf(claim->first()), GroupIndex(i));
    ASSERT_OK(Commit(std::move(*claim)));
  }
  const uint64_t whole = allocator().Count().free_huge_pages;
  std::vector<LogicalPage> taken;
  for (uint64_t i = 0; i < groups; ++i) {
    auto claim = allocator().Take({.pages = 16});
    ASSERT_OK(claim);
    ASSERT_EQ(claim->count(), 16u);
    taken.push_back(claim->first());
    ASSERT_OK(Commit(std::move(*claim)));
  }
  EXPECT_EQ(allocator().Count().free_huge_pages, whole);
  // Then there is none, until something becomes free.
  ASSERT_OK(Free(taken.back(), 16));
  for (const uint64_t left : {whole, whole - 1}) {
    auto claim = allocator().Take({.pages = 16});
    ASSERT_OK(claim);
    EXPECT_EQ(claim->first() == taken.back(), left == whole);
    ASSERT_OK(Commit(std::move(*claim)));
    EXPECT_EQ(allocator().Count().free_huge_pages, left);
  }
  CheckMedia();
}

TEST_F(AllocatorTest, GoalExtendsARunInPlace) {
  Make(300 * kMiB);
  auto first = allocator().Take({.pages = 4});
  ASSERT_OK(first);
  const LogicalPage end = first->first() + 4;
  ASSERT_OK(Commit(std::move(*first)));
  auto other = allocator().Take({.pages = 4, .goal = end});
  ASSERT_OK(other);
  EXPECT_EQ(other->first(), end);
}

TEST_F(AllocatorTest, ExactAndWholeHugeNeverComeShort) {
  Make(16 * kMiB);
  std::vector<Claim> claims;
  for (;;) {
    auto claim = allocator().Take({.pages = 7, .exact = true});
    if (!claim) {
      EXPECT_EQ(claim.error().code, ENOSPC);
      break;
    }
    EXPECT_EQ(claim->count(), 7u);
    claims.push_back(std::move(*claim));
  }
  EXPECT_GT(claims.size(), 100u);
  EXPECT_ERROR(ENOSPC, allocator().Take({.whole_huge = true}));
}

TEST_F(AllocatorTest, TheReserveIsOnlyForThoseWhoAsk) {
  Make(16 * kMiB);
  const uint64_t reserve = allocator().Count().reserve_pages;
  uint64_t taken = 0;
  std::vector<Claim> claims;
  for (;;) {
    auto claim = allocator().Take({.pages = 1000});
    if (!claim) break;
    taken += claim->count();
    claims.push_back(std::move(*claim));
  }
  EXPECT_EQ(taken, allocator().Count().total_pages - reserve);
  for (uint64_t i = 0; i < reserve; ++i) {
    auto claim = allocator().Take({.from_reserve = true});
    ASSERT_OK(claim);
    claims.push_back(std::move(*claim));
  }
  EXPECT_ERROR(ENOSPC, allocator().Take({.from_reserve = true}));
}

TEST_F(AllocatorTest, TheReclaimerIsAskedBeforeENOSPC) {
  Make(16 * kMiB);
  std::vector<Claim> hoard;
  while (auto claim = allocator().Take({.pages = 1000})) hoard.push_back(std::move(*claim));
  int asked = 0;
  allocator().set_reclaimer([&] {
    ++asked;
    if (hoard.empty()) return false;
    hoard.pop_back();
    return true;
  });
  ASSERT_OK(allocator().Take({.pages = 1}));
  EXPECT_EQ(asked, 1);
}

TEST_F(AllocatorTest, DoubleFreeAndForeignPagesAreRefused) {
  Make(300 * kMiB);
  auto claim = allocator().Take({.pages = 8});
  ASSERT_OK(claim);
  const LogicalPage first = claim->first();
  ASSERT_OK(Commit(std::move(*claim)));
  ASSERT_OK(Free(first, 8));
  EXPECT_ERROR(EUCLEAN, Free(first, 8));
  EXPECT_ERROR(EUCLEAN, Free(LogicalPage(0), 1));
  EXPECT_ERROR(EUCLEAN, Free(LogicalPage(device().geometry().page_count()), 1));
  CheckMedia();
}

TEST_F(AllocatorTest, RandomCommitsFreesAndAbortsMatchTheModel) {
  Make(300 * kMiB);
  const uint64_t total = allocator().Count().free_pages;
  std::mt19937 random(7);
  std::set<uint64_t> owned;
  std::vector<std::pair<LogicalPage, uint32_t>> runs;
  for (int i = 0; i < 6000; ++i) {
    const auto dice = static_cast<uint32_t>(random() % 10);
    if (dice < 6) {
      ClaimRequest request{.pages = 1 + random() % 600,
                           .goal = LogicalPage(random() % device().geometry().page_count())};
      request.whole_huge = dice == 0;
      if (dice == 1) request.purpose = ClaimPurpose::kMetadata;
      auto claim = allocator().Take(request);
      if (!claim) {
        ASSERT_EQ(claim.error().code, ENOSPC);
        continue;
      }
      const auto run = std::pair(claim->first(), claim->count());
      for (uint32_t p = 0; p < run.second; ++p) {
        ASSERT_FALSE(owned.contains((run.first + p).value)) << "page given out twice";
      }
      if (dice == 5) continue;  // dropped
      ASSERT_OK(Commit(std::move(*claim)));
      for (uint32_t p = 0; p < run.second; ++p) owned.insert((run.first + p).value);
      runs.push_back(run);
    } else if (!runs.empty()) {
      const size_t pick = random() % runs.size();
      ASSERT_OK(Free(runs[pick].first, runs[pick].second));
      for (uint32_t p = 0; p < runs[pick].second; ++p) owned.erase((runs[pick].first + p).value);
      runs[pick] = runs.back();
      runs.pop_back();
    }
    if (i % 1000 == 999) {
      ASSERT_EQ(CheckMedia(), total - owned.size());
      ASSERT_EQ(allocator().Count().free_pages, total - owned.size());
    }
    if (i == 3000) Reopen();
  }
  for (const auto& [first, count] : runs) ASSERT_OK(Free(first, count));
  EXPECT_EQ(allocator().Count().free_pages, total);
  EXPECT_EQ(CheckMedia(), total);
}

TEST_F(AllocatorTest, ThreadsNeverShareAPage) {
  Make(600 * kMiB);
  const uint64_t total = allocator().Count().free_pages;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 500; ++i) {
        auto claim = allocator().Take({.pages = 1 + random() % 40, .whole_huge = i % 50 == 0});
        ASSERT_OK(claim);
        const LogicalPage first = claim->first();
        const uint32_t count = claim->count();
        if (i % 3 == 0) continue;
        // A page given out twice would be found by Stage: "page allocated twice".
        ASSERT_OK(Commit(std::move(*claim)));
        ASSERT_OK(Free(first, count));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allocator().Count().free_pages, total);
  EXPECT_EQ(CheckMedia(), total);
}

// The reserve is what a full pool is emptied with: threads that look at the same free pages must
// not take it.
TEST_F(AllocatorTest, RacingClaimsLeaveTheReserve) {
  Make(400 * kMiB);
  const uint64_t reserve = allocator().Count().reserve_pages;
  std::vector<Claim> held;
  for (;;) {
    Result<Claim> claim = allocator().Take({.pages = 512});
    if (!claim) break;
    held.push_back(std::move(*claim));
  }
  for (int round = 0; round < 100 && held.size() > 4; ++round) {
    held.erase(held.begin(), held.begin() + 1);
    std::atomic<int> ready{0};
    std::array<std::vector<Claim>, 4> taken;
    std::vector<std::thread> threads;
    for (auto& mine : taken) {
      threads.emplace_back([&] {
        ++ready;
        while (ready.load() < 4) std::this_thread::yield();
        for (int i = 0; i < 20; ++i) {
          Result<Claim> claim = allocator().Take({.pages = 512});
          if (claim) mine.push_back(std::move(*claim));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    uint64_t left = 0;
    std::vector<Claim> rest;
    for (;;) {
      Result<Claim> claim = allocator().Take({.pages = 512, .from_reserve = true});
      if (!claim) break;
      left += claim->count();
      rest.push_back(std::move(*claim));
    }
    ASSERT_GE(left, reserve) << "round " << round;
  }
}

}  // namespace
}  // namespace ingot::tests
