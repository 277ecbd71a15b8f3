// SPDX-License-Identifier: BSD-3-Clause
// Faults in a region: real ones, by userfaultfd's poison and by a truncated file.
#include "pmemdev/poison.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "tests/support/test_region.h"

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr MediaOffset kPlace(4 * kMiB);

TEST(Poison, CopyOfGoodMemory) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  mapping->writable_base()[kPlace.value] = std::byte{5};
  std::array<std::byte, 64> bytes{};
  EXPECT_TRUE(poison::Copy(bytes.data(), mapping->base() + kPlace.value, bytes.size()));
  EXPECT_EQ(bytes[0], std::byte{5});
  EXPECT_EQ(poison::CurrentGuard(), nullptr);
}

TEST(Poison, TruncatedHostFileIsAHole) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  ASSERT_EQ(ftruncate(mapping->fd(), static_cast<off_t>(2 * kMiB)), 0);
  std::array<std::byte, 64> bytes{};
  // Many times: the signal must not stay blocked after the jump.
  for (int i = 0; i < 100; ++i) {
    const std::byte* from = mapping->base() + kPlace.value + i;
    ASSERT_FALSE(poison::Copy(bytes.data(), from, bytes.size()));
    ASSERT_EQ(mapping->Locate(poison::LastFaultAddress()), kPlace + static_cast<uint64_t>(i));
    ASSERT_EQ(mapping->ClassifyFault(poison::LastFaultAddress()), FaultKind::kHostHole);
  }
  EXPECT_FALSE(poison::Copy(mapping->writable_base() + kPlace.value, bytes.data(), bytes.size()));
  EXPECT_EQ(mapping->Read(kPlace, bytes).error_code(), ENOSPC);
  EXPECT_TRUE(mapping->Read(MediaOffset(0), bytes).has_value());
}

TEST(Poison, MediaErrorIsFoundAndHealed) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  mapping->writable_base()[kPlace.value] = std::byte{5};
  if (!tests::PoisonPage(*mapping, kPlace)) GTEST_SKIP() << "UFFDIO_POISON: " << ErrnoName(errno);
  std::array<std::byte, 64> bytes{};
  // From the page before into the bad one: the address is the exact one.
  EXPECT_FALSE(poison::Copy(bytes.data(), mapping->base() + kPlace.value - 32, bytes.size()));
  EXPECT_EQ(mapping->Locate(poison::LastFaultAddress()).value_or(MediaOffset(0)).value / kPageSize,
            kPlace.value / kPageSize);
  EXPECT_EQ(mapping->ClassifyFault(poison::LastFaultAddress()), FaultKind::kMediaError);
  EXPECT_EQ(mapping->Read(kPlace + 4095, std::span(bytes).first(1)).error_code(), EIO);
  EXPECT_TRUE(mapping->Read(kPlace + 4096, bytes).has_value());
  EXPECT_FALSE(poison::Copy(mapping->writable_base() + kPlace.value, bytes.data(), bytes.size()));
  tests::HealPage(*mapping, kPlace);
  EXPECT_TRUE(mapping->Read(kPlace, bytes).has_value());
  EXPECT_EQ(bytes[0], std::byte{5});
}

TEST(Poison, NestedGuardsUnwindOneLevel) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  ASSERT_EQ(ftruncate(mapping->fd(), static_cast<off_t>(2 * kMiB)), 0);
  volatile bool inner_result = true;
  volatile bool went_on = false;
  const std::byte* bad = mapping->base() + kPlace.value;
  const bool outer = poison::Run([&] {
    std::byte byte;
    inner_result = poison::Copy(&byte, bad, 1);
    went_on = true;
  });
  EXPECT_TRUE(outer);
  EXPECT_FALSE(inner_result);
  EXPECT_TRUE(went_on);
  EXPECT_EQ(poison::CurrentGuard(), nullptr);
}

TEST(Poison, EachThreadHasItsOwnGuard) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  ASSERT_EQ(ftruncate(mapping->fd(), static_cast<off_t>(2 * kMiB)), 0);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) {
        std::byte byte;
        const MediaOffset at = kPlace + t * kPageSize;
        const bool copied = poison::Copy(&byte, mapping->base() + at.value, 1);
        if (copied || mapping->Locate(poison::LastFaultAddress()) != at) ++wrong;
        if (!poison::Copy(&byte, mapping->base(), 1)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(PoisonDeathTest, UnguardedFaultInARegionKills) {
  EXPECT_DEATH(
      {
        const auto mapping = tests::MemoryMapping(8 * kMiB);
        (void)!ftruncate(mapping->fd(), static_cast<off_t>(2 * kMiB));
        (void)*reinterpret_cast<const volatile std::byte*>(mapping->base() + kPlace.value);
      },
      "");
}

TEST(PoisonDeathTest, GuardedFaultElsewhereKills) {
  EXPECT_DEATH(
      {
        const auto mapping = tests::MemoryMapping(8 * kMiB);  // the handler is installed
        const int fd = tests::MemoryFile(0);
        void* elsewhere = mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, fd, 0);
        std::byte byte;
        (void)poison::Copy(&byte, static_cast<const std::byte*>(elsewhere), 1);
      },
      "");
}

TEST(PoisonDeathTest, SignalSentByAProcessKills) {
  EXPECT_DEATH(
      {
        const auto mapping = tests::MemoryMapping(8 * kMiB);
        raise(SIGBUS);
      },
      "");
}

}  // namespace
}  // namespace ingot
