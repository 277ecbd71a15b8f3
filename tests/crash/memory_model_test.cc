// SPDX-License-Identifier: BSD-3-Clause
// What is durable when, on each kind of medium.
#include "tests/support/memory_model.h"

#include <gtest/gtest.h>

namespace ingot::tests {
namespace {

constexpr uint64_t kLine = 4096;

// A trace put together by hand.
class MemoryModelTest : public ::testing::Test {
 protected:
  void Store(TraceEvent::Kind kind, uint64_t at, uint64_t word, uint16_t thread = 0) {
    trace_.words.push_back(word);
    trace_.events.push_back({.kind = kind,
                             .thread = thread,
                             .site = 0,
                             .size_bytes = kWordSize,
                             .at = at,
                             .first_word = trace_.words.size() - 1});
  }
  void Other(TraceEvent::Kind kind, uint64_t at = 0, uint32_t size_bytes = 0, uint16_t site = 0,
             uint16_t thread = 0) {
    trace_.events.push_back({.kind = kind,
                             .thread = thread,
                             .site = site,
                             .size_bytes = size_bytes,
                             .at = at,
                             .first_word = 0});
  }
  // The words that are durable at the end, in order, and what is pending.
  std::vector<uint64_t> Durable(Granularity granularity, uint32_t skipped_site = UINT32_MAX) {
    MemoryModel model(granularity);
    std::vector<WordStore> durable;
    for (const TraceEvent& event : trace_.events) model.Apply(trace_, event, skipped_site, durable);
    pending_ = model.Pending();
    std::vector<uint64_t> words;
    for (const WordStore& store : durable) words.push_back(store.word);
    return words;
  }

  Trace trace_;
  std::vector<PendingUnit> pending_;
};

using Words = std::vector<uint64_t>;

TEST_F(MemoryModelTest, AFlushedLineIsSureAtTheFence) {
  Store(TraceEvent::kStore, kLine, 1);
  Store(TraceEvent::kStore, kLine + 8, 2);
  Other(TraceEvent::kFlush, kLine, 16);
  Store(TraceEvent::kStore, kLine, 3);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{});
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kCacheLine), (Words{1, 2}));
  ASSERT_EQ(pending_.size(), 1u);
  EXPECT_EQ(pending_[0].stores[0].store.word, 3u) << "stored after the flush";
  EXPECT_TRUE(pending_[0].stores[0].ordered);
}

TEST_F(MemoryModelTest, NonTemporalStoresTakeNothingElseOfTheirLineAlong) {
  Store(TraceEvent::kStore, kLine, 1);
  Store(TraceEvent::kNonTemporal, kLine + 8, 2);
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{2});
  ASSERT_EQ(pending_.size(), 1u);
  ASSERT_EQ(pending_[0].stores.size(), 1u);
  EXPECT_EQ(pending_[0].stores[0].store.word, 1u) << "never flushed";
}

TEST_F(MemoryModelTest, AWordsStoresKeepTheirOrder) {
  Store(TraceEvent::kStore, kLine, 1);
  Store(TraceEvent::kNonTemporal, kLine, 2);
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{2});
  EXPECT_TRUE(pending_.empty()) << "the first can't come back";
}

TEST_F(MemoryModelTest, AFlushIsNotForNonTemporalStores) {
  Store(TraceEvent::kNonTemporal, kLine, 1, 1);
  Store(TraceEvent::kStore, kLine + 8, 2);
  Other(TraceEvent::kFlush, kLine, 16);
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{2});
  ASSERT_EQ(pending_.size(), 1u);
  EXPECT_FALSE(pending_[0].stores[0].ordered);
}

TEST_F(MemoryModelTest, WithoutAFlushAFenceDoesNothing) {
  Store(TraceEvent::kStore, kLine, 1);
  Other(TraceEvent::kFlush, kLine + 64, 64);
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{});
}

TEST_F(MemoryModelTest, NonTemporalStoresNeedTheirThreadsFence) {
  Store(TraceEvent::kNonTemporal, kLine, 1, 1);
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{}) << "another thread's fence";
  Other(TraceEvent::kFence, 0, 0, 0, 1);
  EXPECT_EQ(Durable(Granularity::kCacheLine), Words{1});
}

TEST_F(MemoryModelTest, AMutantHasNoSuchFence) {
  Store(TraceEvent::kNonTemporal, kLine, 1);
  Other(TraceEvent::kFence, 0, 0, 7);
  EXPECT_EQ(Durable(Granularity::kCacheLine, 7), Words{});
  EXPECT_EQ(Durable(Granularity::kCacheLine, 8), Words{1});
}

TEST_F(MemoryModelTest, WithEadrCachedStoresAreDurableAtOnce) {
  Store(TraceEvent::kStore, kLine, 1);
  Store(TraceEvent::kNonTemporal, kLine + 64, 2);
  EXPECT_EQ(Durable(Granularity::kByte), Words{1});
  Other(TraceEvent::kFence);
  EXPECT_EQ(Durable(Granularity::kByte), (Words{1, 2}));
}

TEST_F(MemoryModelTest, WithEadrOtherWordsOfALineStayPending) {
  Store(TraceEvent::kNonTemporal, kLine, 1);
  Store(TraceEvent::kNonTemporal, kLine + 8, 2);
  Store(TraceEvent::kStore, kLine, 3);
  EXPECT_EQ(Durable(Granularity::kByte), Words{3});
  ASSERT_EQ(pending_.size(), 1u);
  ASSERT_EQ(pending_[0].stores.size(), 1u);
  EXPECT_EQ(pending_[0].stores[0].store.word, 2u);
}

TEST_F(MemoryModelTest, OnPagesOnlySyncCounts) {
  Store(TraceEvent::kStore, kLine, 1);
  Store(TraceEvent::kStore, kLine + 4096, 2);
  Other(TraceEvent::kFlush, kLine, 8192);
  Other(TraceEvent::kFence, 0, 0, 5);
  EXPECT_EQ(Durable(Granularity::kPage), Words{});
  for (const PendingUnit& sector : pending_) EXPECT_FALSE(sector.stores[0].ordered);
  Other(TraceEvent::kSync, kLine, 4096);
  EXPECT_EQ(Durable(Granularity::kPage), Words{1}) << "the second msync is still to come";
  EXPECT_EQ(Durable(Granularity::kPage, 5), Words{}) << "without the fence there is none";
}

}  // namespace
}  // namespace ingot::tests
