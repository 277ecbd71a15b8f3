// SPDX-License-Identifier: BSD-3-Clause
// Reservations are bounded, found by file and page, and always come back.
#include "fs/core/append_reservations.h"

#include "tests/fs/core/core_fixture.h"

namespace ingot::tests {
namespace {

class AppendReservationsTest : public CoreFixture {
 protected:
  void SetUp() override {
    Make(uint64_t{128} << 20);
    unclaimed_huge_ = allocator().Count().free_huge_pages;
  }
  Claim TakePages(uint64_t pages) {
    Result<Claim> claim = allocator().Take({.pages = pages});
    EXPECT_TRUE(claim);
    return claim ? std::move(*claim) : Claim();
  }

  AppendReservations reservations_;
  uint64_t unclaimed_huge_ = 0;
};

TEST_F(AppendReservationsTest, AreTakenFromTheFrontUntilUsedUp) {
  const InodeNumber inode(7);
  reservations_.Put(inode, FilePage(10), TakePages(8));
  EXPECT_FALSE(reservations_.Take(inode, FilePage(11), 1));
  EXPECT_FALSE(reservations_.Take(InodeNumber(8), FilePage(10), 1));
  const Claim first = reservations_.Take(inode, FilePage(10), 3);
  ASSERT_TRUE(first);
  EXPECT_EQ(first.count(), 3u);
  const Claim rest = reservations_.Take(inode, FilePage(13), 100);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest.count(), 5u);
  EXPECT_EQ(rest.first(), first.first() + 3);
  EXPECT_EQ(reservations_.size(), 0u);
}

TEST_F(AppendReservationsTest, DropGivesBackOneFile) {
  reservations_.Put(InodeNumber(7), FilePage(0), TakePages(512));
  reservations_.Put(InodeNumber(7), FilePage(900), TakePages(512));
  reservations_.Put(InodeNumber(8), FilePage(0), TakePages(512));
  reservations_.Drop(InodeNumber(7));
  EXPECT_EQ(reservations_.size(), 1u);
  EXPECT_TRUE(reservations_.DropAll());
  EXPECT_FALSE(reservations_.DropAll());
  EXPECT_EQ(allocator().Count().free_huge_pages, unclaimed_huge_);
}

TEST_F(AppendReservationsTest, AreBounded) {
  constexpr uint64_t kMany = AppendReservations::kMaxEntries + 1000;
  for (uint64_t i = 0; i < kMany; ++i) {
    reservations_.Put(InodeNumber(i), FilePage(0), TakePages(1));
  }
  EXPECT_LE(reservations_.size(), AppendReservations::kMaxEntries);
  EXPECT_TRUE(reservations_.Take(InodeNumber(kMany - 1), FilePage(0), 1));
  reservations_.DropAll();
  EXPECT_EQ(allocator().Count().free_huge_pages, unclaimed_huge_);
}

}  // namespace
}  // namespace ingot::tests
