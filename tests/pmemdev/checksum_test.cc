// SPDX-License-Identifier: BSD-3-Clause
// A page's checksum corrected for one line against the same computed anew, for any page and line;
// and that a page which didn't fit its checksum still doesn't afterwards. Pure.
#include "pmemdev/base/checksum.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

namespace ingot {
namespace {

using Page = std::array<std::byte, kPageSize>;
constexpr size_t kLines = kPageSize / kCacheLineSize;

Page RandomPage(std::mt19937_64& random) {
  Page page;
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  return page;
}

std::span<const std::byte, kCacheLineSize> LineOf(const Page& page, size_t line) {
  return std::span(page).subspan(line * kCacheLineSize).first<kCacheLineSize>();
}

// RFC 3720, B.4.
TEST(ChecksumTest, IsCrc32c) {
  EXPECT_EQ(Crc32c(std::as_bytes(std::span("123456789", 9))), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::array<std::byte, 32>{}), 0x8A9136AAu);
}

TEST(ChecksumTest, OfAChangedLineIsThatOfTheChangedPage) {
  std::mt19937_64 random(1);
  for (size_t line = 0; line < kLines; ++line) {
    for (int round = 0; round < 20; ++round) {
      const Page before = RandomPage(random);
      Page after = before;
      std::byte* changed = after.data() + line * kCacheLineSize;
      if (round < 10) {
        changed[random() % kCacheLineSize] ^= static_cast<std::byte>(1u << random() % 8);
      } else {
        for (size_t i = 0; i < kCacheLineSize; ++i) changed[i] = static_cast<std::byte>(random());
      }
      ASSERT_EQ(
          Crc32cOfChangedLine(Crc32c(before), line, LineOf(before, line), LineOf(after, line)),
          Crc32c(after))
          << "line " << line;
    }
  }
}

TEST(ChecksumTest, NoChangeIsNoChange) {
  std::mt19937_64 random(2);
  const Page page = RandomPage(random);
  for (size_t line = 0; line < kLines; ++line) {
    EXPECT_EQ(Crc32cOfChangedLine(7, line, LineOf(page, line), LineOf(page, line)), 7u);
  }
}

// What is wrong elsewhere, or in the line itself, is not made right by a change.
TEST(ChecksumTest, DamageIsNotSealedIn) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 1000; ++round) {
    const Page good = RandomPage(random);
    Page damaged = good;
    damaged[random() % kPageSize] ^= static_cast<std::byte>(1u << random() % 8);
    Page after = damaged;
    const size_t line = random() % kLines;
    after[line * kCacheLineSize + random() % kCacheLineSize] ^= std::byte{0x40};
    EXPECT_NE(Crc32cOfChangedLine(Crc32c(good), line, LineOf(damaged, line), LineOf(after, line)),
              Crc32c(after));
  }
}

}  // namespace
}  // namespace ingot
