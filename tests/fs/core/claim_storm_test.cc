// SPDX-License-Identifier: BSD-3-Clause
// Many threads touch a group for the first time at once, and claim, commit, abort and free in it as
// chance will. A word a page says who has it by the threads' own books; bitmaps, entries, counts
// and descriptors must say the same in the end.
#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "fs/core/transaction.h"
#include "tests/fs/core/core_fixture.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint32_t kThreads = 6;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kRounds = 4;
#else
constexpr int kRounds = 12;
#endif
constexpr int kSteps = 150;

class ClaimStorm : public CoreFixture {
 protected:
  struct Run {
    LogicalPage first;
    uint32_t count;
  };

  // Marks the pages as the thread's, and notices others' marks.
  bool Mark(const Run& run, uint32_t from, uint32_t to) {
    bool fits = true;
    for (uint32_t i = 0; i < run.count; ++i) {
      fits = owners_[(run.first + i).value].exchange(to) == from && fits;
    }
    return fits;
  }

  Result<void> Commit(Claim claim, uint32_t thread, ClaimPurpose purpose) {
    Transaction transaction(allocator(), core().reader);
    TRY(transaction.Allocate(std::move(claim), InodeNumber(thread), purpose));
    return transaction.Commit();
  }
  Result<void> Free(const Run& run) {
    Transaction transaction(allocator(), core().reader);
    TRY(transaction.Free(run.first, run.count));
    return transaction.Commit();
  }

  // One thread's part. Returns what it ends up with.
  std::vector<Run> Work(uint32_t thread, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<Run> mine;
    for (int step = 0; step < kSteps; ++step) {
      const auto dice = static_cast<uint32_t>(random() % 10);
      if (dice < 3 && !mine.empty()) {
        const size_t pick = random() % mine.size();
        // The mark goes first: nobody gets the pages before the transaction has ended.
        EXPECT_TRUE(Mark(mine[pick], thread, 0)) << "somebody else's mark on a page of mine";
        const Result<void> freed = Free(mine[pick]);
        EXPECT_TRUE(freed) << Describe(freed.error());
        mine[pick] = mine.back();
        mine.pop_back();
        continue;
      }
      const ClaimPurpose purpose = dice == 3 ? ClaimPurpose::kMetadata : ClaimPurpose::kData;
      Result<Claim> claim = allocator().Take(
          {.pages = 1 + random() % 60, .purpose = purpose, .whole_huge = dice == 4});
      if (!claim) {
        EXPECT_EQ(claim.error().code, ENOSPC);
        continue;
      }
      const Run run{claim->first(), claim->count()};
      EXPECT_TRUE(Mark(run, 0, thread)) << "a page was given out twice";
      if (dice >= 8) {  // an abort; now and then of a claim that was split
        Claim front = run.count > 1 ? claim->TakeFront(run.count / 2) : Claim();
        EXPECT_TRUE(Mark(run, thread, 0));
        continue;
      }
      const Result<void> committed = Commit(std::move(*claim), thread, purpose);
      EXPECT_TRUE(committed) << Describe(committed.error());
      mine.push_back(run);
    }
    return mine;
  }

  void Storm(uint32_t round) {
    const uint64_t pages = device().geometry().page_count();
    owners_ = std::make_unique<std::atomic<uint32_t>[]>(pages);
    std::atomic<bool> go{false};
    std::vector<std::vector<Run>> kept(kThreads);
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        while (!go.load()) std::this_thread::yield();
        kept[t] = Work(t + 1, round * 100 + t);
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
    for (const auto& runs : kept) kept_.insert(kept_.end(), runs.begin(), runs.end());
  }

  // Every page by the books against bitmap, entry, counts and descriptors.
  void ExpectBooksBalance(bool with_descriptors) {
    uint64_t taken = 0;
    for (uint64_t i = 0; i < device().geometry().group_count(); ++i) {
      const GroupIndex group(i);
      const auto entry = device().group_table().Read(group);
      ASSERT_OK(entry);
      PageBitmap bitmap{};
      const bool fresh = (entry->flags & media::kGroupUninitialised) != 0;
      if (!fresh) {
        ASSERT_OK(device().Read(OffsetOf(FirstPageOf(group) + media::kAllocatedBitmapPage),
                                std::as_writable_bytes(std::span(bitmap))));
      }
      uint32_t free_pages = 0;
      for (uint32_t p = media::kReservedPagesPerGroup; p < device().geometry().PagesIn(group);
           ++p) {
        const uint32_t owner = owners_[(FirstPageOf(group) + p).value];
        ASSERT_EQ(TestBit(bitmap, p), owner != 0) << "group " << i << " page " << p;
        taken += owner != 0 ? 1 : 0;
        free_pages += owner == 0 ? 1 : 0;
      }
      EXPECT_EQ(entry->free_pages, free_pages);
      for (uint32_t huge = 0; huge < kHugePagesPerGroup && !fresh; ++huge) {
        EXPECT_EQ((entry->free_huge_mask >> huge & 1) != 0, AllClear(bitmap, {huge * 512, 512}));
      }
    }
    const SpaceCounts counts = allocator().Count();
    EXPECT_EQ(counts.free_pages, counts.total_pages - taken);
    for (const Run& run : kept_) {
      if (!with_descriptors) break;
      const PageDescriptor* head = device().page_array().Peek(run.first);
      ASSERT_NE(head, nullptr);
      EXPECT_EQ(head->owner.load(), owners_[run.first.value].load());
      EXPECT_NE(head->state.load(), PageState::kFree);
    }
  }

  std::unique_ptr<std::atomic<uint32_t>[]> owners_;
  std::vector<Run> kept_;
};

TEST_F(ClaimStorm, OfFirstTouchesInOneGroup) {
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    kept_.clear();
    Make(140 * kMiB);  // one group
    ASSERT_EQ(device().geometry().group_count(), 1u);
    ASSERT_EQ(device().page_array().initialised_groups(), 0u);
    Storm(static_cast<uint32_t>(round));
    EXPECT_EQ(device().page_array().initialised_groups(), 1u);
    ASSERT_NO_FATAL_FAILURE(ExpectBooksBalance(true));
    Reopen();
    ASSERT_NO_FATAL_FAILURE(ExpectBooksBalance(false));
    if (HasFailure()) return;
  }
}

TEST_F(ClaimStorm, OfSeveralGroupsUntilNothingIsLeft) {
  for (int round = 0; round < kRounds / 2; ++round) {
    SCOPED_TRACE(round);
    kept_.clear();
    Make(164 * kMiB);  // a whole group and a short one
    ASSERT_EQ(device().geometry().group_count(), 2u);
    Storm(static_cast<uint32_t>(round) + 50);
    ASSERT_NO_FATAL_FAILURE(ExpectBooksBalance(true));
    for (const Run& run : kept_) {
      Mark(run, owners_[run.first.value], 0);
      ASSERT_OK(Free(run));
    }
    kept_.clear();
    ASSERT_NO_FATAL_FAILURE(ExpectBooksBalance(true));
    EXPECT_EQ(allocator().Count().free_pages, allocator().Count().total_pages);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace ingot::tests
