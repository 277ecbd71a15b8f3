// SPDX-License-Identifier: BSD-3-Clause
// Stores, copies, flushes and fences: what reaches the medium, what observers see, what is counted
// on each granularity, and what failures leave.
#include "pmemdev/persist.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/test_region.h"

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr MediaOffset kPlace(4 * kMiB);

std::unique_ptr<Mapping> MakeMapping(bool page_granular) {
  MappingOptions options = tests::TestMappingOptions();
  options.force_page_granularity = page_granular;
  return tests::MemoryMapping(8 * kMiB, options);
}

// Replays what it sees onto a copy of the region and keeps the events' order.
class Shadow : public PersistObserver {
 public:
  explicit Shadow(const Mapping& mapping)
      : bytes(mapping.base(), mapping.base() + mapping.size_bytes()) {}
  void OnStore(MediaOffset at, std::span<const std::byte> stored, StoreKind kind) override {
    EXPECT_EQ(at.value % kWordSize, 0u);
    EXPECT_EQ(stored.size() % kWordSize, 0u);
    std::ranges::copy(stored, bytes.begin() + static_cast<ptrdiff_t>(at.value));
    events += kind == StoreKind::kCached ? 's' : 'n';
  }
  void OnFlush(MediaOffset, uint64_t, PersistSite) override { events += 'f'; }
  void OnFence(PersistSite) override { events += '|'; }

  std::vector<std::byte> bytes;
  std::string events;
};

class PersistTest : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<Mapping> mapping_ = MakeMapping(GetParam());
  Persist persist_{*mapping_};
};

TEST_P(PersistTest, CopiesOfEveryAlignmentMatchAModel) {
  Shadow shadow(*mapping_);
  persist_.set_observer(&shadow);
  std::vector<std::byte> model(mapping_->base(), mapping_->base() + mapping_->size_bytes());
  std::mt19937_64 random(1);
  std::vector<std::byte> source(8192);
  for (std::byte& byte : source) byte = static_cast<std::byte>(random());
  PersistStream stream = persist_.NewStream();
  for (uint64_t skip = 0; skip < 72; ++skip) {
    for (const uint64_t size : {1u, 7u, 8u, 9u, 63u, 64u, 65u, 127u, 128u, 200u, 4095u, 4097u}) {
      const MediaOffset at = kPlace + skip + random() % 16384;
      const auto from = std::span(source).subspan(random() % 1024, size);
      const auto target = model.begin() + static_cast<ptrdiff_t>(at.value);
      if (random() % 4 == 0) {
        ASSERT_TRUE(stream.ZeroUnfenced(at, size).has_value());
        std::fill_n(target, size, std::byte{0});
      } else {
        ASSERT_TRUE(stream.CopyUnfenced(at, from).has_value());
        std::ranges::copy(from, target);
      }
    }
  }
  ASSERT_TRUE(stream.Fence().has_value());
  EXPECT_EQ(std::memcmp(model.data(), mapping_->base(), model.size()), 0);
  EXPECT_EQ(std::memcmp(shadow.bytes.data(), mapping_->base(), model.size()), 0);
  persist_.set_observer(nullptr);
}

TEST_P(PersistTest, ObserverSeesTheOrder) {
  Shadow shadow(*mapping_);
  persist_.set_observer(&shadow);
  const std::array<uint64_t, 2> words = {1, 2};
  PersistStream stream = persist_.NewStream();
  ASSERT_TRUE(stream.StoreUnflushed(kPlace, words).has_value());
  stream.Flush(kPlace, sizeof(words));
  ASSERT_TRUE(stream.Fence().has_value());
  ASSERT_TRUE(stream.CopyUnfenced(kPlace + 3, std::as_bytes(std::span(words))).has_value());
  ASSERT_TRUE(stream.Fence().has_value());
  ASSERT_TRUE(stream.ZeroUnfenced(kPlace + 60, 70).has_value());
  ASSERT_TRUE(stream.Fence().has_value());
  // On cache lines only whole ones are copied past the caches.
  EXPECT_EQ(shadow.events, GetParam() ? "sf|n|n|" : "sf|sf|sfnsf|");
}

// What is stored to a plain file may be written back at any moment, by somebody who reads it then.
TEST_P(PersistTest, NobodySeesAWordHalfStored) {
  constexpr uint64_t kSkip = 3;
  constexpr uint64_t kSize = 50;  // in one line: lines are libpmem2's and the C library's
  const std::byte* const line = mapping_->base() + kPlace.value;
  std::atomic<bool> done{false};
  std::atomic<uint64_t> torn{0};
  std::thread reader([&] {
    while (!done.load()) {
      for (uint64_t at = kWordSize; at + kWordSize <= kSkip + kSize; at += kWordSize) {
        uint64_t word = 0;
        __atomic_load(reinterpret_cast<const uint64_t*>(line + at), &word, __ATOMIC_RELAXED);
        if (word != 0 && word != ~uint64_t{0}) torn.fetch_add(1);
      }
    }
  });
  const std::vector<std::byte> ones(kSize, std::byte{0xFF});
  PersistStream stream = persist_.NewStream();
  for (int i = 0; i < 200'000; ++i) {
    ASSERT_TRUE(stream.CopyUnfenced(kPlace + kSkip, ones));
    ASSERT_TRUE(stream.ZeroUnfenced(kPlace + kSkip, kSize));
  }
  done = true;
  reader.join();
  EXPECT_EQ(torn.load(), 0u);
}

TEST_P(PersistTest, EmptyOperationsDoNothing) {
  {
    PersistStream stream = persist_.NewStream();
    EXPECT_TRUE(stream.StoreUnflushed(kPlace, {}).has_value());
    EXPECT_TRUE(stream.CopyUnfenced(kPlace, {}).has_value());
    EXPECT_TRUE(stream.ZeroUnfenced(kPlace, 0).has_value());
    stream.Flush(kPlace, 0);
  }
  EXPECT_EQ(persist_.counts().stores, 0u);
  EXPECT_EQ(persist_.counts().flushes, 0u);
}

TEST_P(PersistTest, AfterFailEverythingIsReadOnly) {
  persist_.Fail();
  const std::array<uint64_t, 1> words = {1};
  PersistStream stream = persist_.NewStream();
  EXPECT_EQ(stream.StoreUnflushed(kPlace, words).error_code(), EROFS);
  EXPECT_EQ(stream.CopyUnfenced(kPlace, std::as_bytes(std::span(words))).error_code(), EROFS);
  EXPECT_EQ(stream.ZeroUnfenced(kPlace, 8).error_code(), EROFS);
  EXPECT_EQ(stream.Fence().error_code(), EROFS);
}

TEST_P(PersistTest, StoreIntoALostFileTurnsReadOnly) {
  ASSERT_EQ(ftruncate(mapping_->fd(), static_cast<off_t>(2 * kMiB)), 0);
  const std::byte* reported = nullptr;
  mapping_->set_fault_handler([&](const std::byte* address) { reported = address; });
  PersistStream stream = persist_.NewStream();
  EXPECT_EQ(stream.ZeroUnfenced(kPlace, 4096).error_code(), ENOSPC);
  EXPECT_EQ(mapping_->Locate(reported), kPlace);
  EXPECT_TRUE(persist_.failed());
  EXPECT_EQ(stream.ZeroUnfenced(MediaOffset(0), 8).error_code(), EROFS);
}

TEST_P(PersistTest, StoreIntoPoisonIsOneError) {
  if (!tests::PoisonPage(*mapping_, kPlace)) GTEST_SKIP() << "UFFDIO_POISON";
  const std::array<uint64_t, 1> words = {1};
  PersistStream stream = persist_.NewStream();
  EXPECT_EQ(stream.StoreUnflushed(kPlace, words).error_code(), EIO);
  EXPECT_EQ(stream.CopyUnfenced(kPlace + 5, std::as_bytes(std::span(words))).error_code(), EIO);
  EXPECT_EQ(stream.ZeroUnfenced(kPlace - 4096, 8192).error_code(), EIO);
  EXPECT_FALSE(persist_.failed());
  EXPECT_TRUE(stream.ZeroUnfenced(kPlace + 4096, 8192).has_value());
  EXPECT_TRUE(stream.Fence().has_value());
}

TEST_P(PersistTest, CopyFromPoisonIsAnError) {
  if (!tests::PoisonPage(*mapping_, kPlace)) GTEST_SKIP() << "UFFDIO_POISON";
  PersistStream stream = persist_.NewStream();
  const std::span from(mapping_->base() + kPlace.value, 4096);
  EXPECT_EQ(stream.CopyUnfenced(MediaOffset(0), from).error_code(), EIO);
  EXPECT_FALSE(persist_.failed());
}

TEST_P(PersistTest, MovedStreamCountsOnce) {
  {
    PersistStream first = persist_.NewStream();
    ASSERT_TRUE(first.ZeroUnfenced(kPlace, 64).has_value());
    PersistStream second = std::move(first);
    ASSERT_TRUE(second.Fence().has_value());
  }
  EXPECT_EQ(persist_.counts().stores, 1u);
  EXPECT_EQ(persist_.counts().fences, 1u);
  EXPECT_EQ(persist_.counts().bytes, 64u);
}

TEST_P(PersistTest, ReadOnlyMapping) {
  MappingOptions options = tests::TestMappingOptions();
  options.read_only = true;
  const auto mapping = tests::MemoryMapping(8 * kMiB, options);
  Persist persist(*mapping);
  PersistStream stream = persist.NewStream();
  EXPECT_EQ(stream.ZeroUnfenced(kPlace, 8).error_code(), EROFS);
  stream.Flush(kPlace, 8);
}

INSTANTIATE_TEST_SUITE_P(Granularity, PersistTest, testing::Bool(), [](const auto& granularity) {
  return granularity.param ? "Page" : "CacheLine";
});

TEST(PersistCounts, CacheLine) {
  const auto mapping = MakeMapping(false);
  Persist persist(*mapping);
  const std::array<uint64_t, 9> words = {};
  {
    PersistStream stream = persist.NewStream();
    ASSERT_TRUE(stream.StoreUnflushed(kPlace + 56, words).has_value());
    stream.Flush(kPlace + 56, sizeof(words));                      // 56..128: two lines
    ASSERT_TRUE(stream.ZeroUnfenced(kPlace, 256).has_value());      // whole lines: none
    ASSERT_TRUE(stream.ZeroUnfenced(kPlace + 60, 72).has_value());  // head and tail: two
    ASSERT_TRUE(stream.Fence().has_value());
  }
  const PersistCounts counts = persist.counts();
  EXPECT_EQ(counts.stores, 3u);
  EXPECT_EQ(counts.flushes, 4u);
  EXPECT_EQ(counts.fences, 1u);
  EXPECT_EQ(counts.msyncs, 0u);
  EXPECT_EQ(counts.bytes, 72u + 256u + 72u);
}

TEST(PersistCounts, PageRunsAreSortedAndMerged) {
  const auto mapping = MakeMapping(true);
  Persist persist(*mapping);
  {
    PersistStream stream = persist.NewStream();
    for (const uint64_t page : {9u, 3u, 4u, 20u, 5u, 3u}) {
      ASSERT_TRUE(stream.ZeroUnfenced(kPlace + page * kPageSize + 100, 8).has_value());
    }
    ASSERT_TRUE(stream.Fence().has_value());  // 3-5, 9, 20
    ASSERT_TRUE(stream.Fence().has_value());  // nothing
    const std::array<uint64_t, 1> words = {1};
    ASSERT_TRUE(stream.StoreUnflushed(kPlace, words).has_value());
    ASSERT_TRUE(stream.Fence().has_value());  // stored, but not flushed
  }
  EXPECT_EQ(persist.counts().msyncs, 3u);
  EXPECT_EQ(persist.counts().fences, 3u);
  EXPECT_EQ(persist.counts().flushes, 0u);
}

TEST(PersistCounts, FailedMsyncIsNeverRetried) {
  const auto mapping = MakeMapping(true);
  Persist persist(*mapping);
  persist.FailMsyncAfter(2);
  {
    PersistStream stream = persist.NewStream();
    ASSERT_TRUE(stream.ZeroUnfenced(kPlace, 8).has_value());
    ASSERT_TRUE(stream.Fence().has_value());
    ASSERT_TRUE(stream.ZeroUnfenced(kPlace, 8).has_value());
    ASSERT_TRUE(stream.ZeroUnfenced(kPlace + 8 * kPageSize, 8).has_value());
    EXPECT_EQ(stream.Fence().error_code(), EIO);
    EXPECT_EQ(stream.Fence().error_code(), EROFS);
  }
  EXPECT_TRUE(persist.failed());
  EXPECT_EQ(persist.counts().msyncs, 2u) << "not even for the second run";
}

TEST(PersistDeathTest, StoreOutsideTheRegionIsOurBug) {
  EXPECT_DEATH(
      {
        const auto mapping = MakeMapping(false);
        Persist persist(*mapping);
        (void)persist.NewStream().ZeroUnfenced(MediaOffset(8 * kMiB - 4), 8);
      },
      "CHECK failed");
}

}  // namespace
}  // namespace ingot
