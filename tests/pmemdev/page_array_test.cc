// SPDX-License-Identifier: BSD-3-Clause
// The page array: lazy layers, the epoch (I9), concurrent first touches, counters, DRAM budget.
#include "pmemdev/page_array.h"

#include <sys/mman.h>

#include <absl/base/config.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kRegionSize = uint64_t{250} << 20;  // two groups, the second one short
constexpr PageArrayPlacement kPlacements[] = {PageArrayPlacement::kDevice,
                                              PageArrayPlacement::kDram};

class PageArrayTest : public testing::Test {
 protected:
  void SetUp() override {
    mapping_ = MemoryMapping(kRegionSize);
    geometry_ = Geometry::ForRegion(kRegionSize).value();
    ASSERT_EQ(geometry_.group_count(), 2u);
  }

  std::unique_ptr<PageArray> Create(PageArrayPlacement placement, uint64_t budget = 1 << 30) {
    return PageArray::Create(*mapping_, geometry_, placement, budget).value();
  }

  [[nodiscard]] std::byte* ArrayBytes(uint64_t group) const {
    return mapping_->writable_base() + Geometry::PageArrayOf(GroupIndex(group)).value;
  }

  std::unique_ptr<Mapping> mapping_;
  Geometry geometry_;
};

uint64_t UnionWord(const PageDescriptor& descriptor, size_t index) {
  uint64_t word = 0;
  std::memcpy(&word, reinterpret_cast<const std::byte*>(&descriptor) + 16 + index * 8, 8);
  return word;
}

void ExpectBlank(const PageDescriptor& descriptor, bool head = false) {
  EXPECT_EQ(descriptor.state.load(), PageState::kUnknown);
  EXPECT_EQ(descriptor.flags.load(), 0);
  EXPECT_EQ(descriptor.pins.load(), 0);
  EXPECT_EQ(descriptor.write_count.load(), 0u);
  EXPECT_EQ(descriptor.verified_inodes.load(), 0u);
  EXPECT_EQ(descriptor.owner.load(), 0u);
  for (size_t i = 0; i < 6 && !head; ++i) EXPECT_EQ(UnionWord(descriptor, i), 0u) << i;
}

// Takes all mappings that the process may have, until it ends: then no mmap or mprotect that
// divides one succeeds.
class NoMoreMappings {
 public:
  NoMoreMappings() {
    at_ = static_cast<std::byte*>(
        mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    for (uint64_t offset = 0; offset < kBytes && !is_complete; offset += 2 * kPageSize) {
      is_complete = mprotect(at_ + offset, kPageSize, PROT_READ) != 0;
    }
  }
  ~NoMoreMappings() { munmap(at_, kBytes); }
  NoMoreMappings(const NoMoreMappings&) = delete;
  bool is_complete = false;

 private:
  static constexpr uint64_t kBytes = uint64_t{2} << 30;
  std::byte* at_;
};

TEST_F(PageArrayTest, ABadPlaceIsReplacedThoughNothingCanBeMapped) {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
  GTEST_SKIP() << "the sanitizer's own memory could not be mapped";
#endif
  const MediaOffset bad = Geometry::PageArrayOf(GroupIndex(1)) + 40 * kPageSize;
  if (!tests::PoisonPage(*mapping_, bad)) GTEST_SKIP() << "UFFDIO_POISON";
  const auto array = Create(PageArrayPlacement::kDevice);
  PageDescriptor* descriptor = nullptr;
  {
    const NoMoreMappings none;
    if (!none.is_complete) GTEST_SKIP() << "vm.max_map_count is too large";
    descriptor = &array->Get(FirstPageOf(GroupIndex(1)) + 2600);
    descriptor->owner = 7;
  }
  EXPECT_EQ(array->Get(FirstPageOf(GroupIndex(1)) + 2600).owner.load(), 7u);
}

TEST_F(PageArrayTest, ABadPlaceOnTheDeviceIsReplacedByMemory) {
  const MediaOffset bad = Geometry::PageArrayOf(GroupIndex(1)) + 40 * kPageSize;
  if (!tests::PoisonPage(*mapping_, bad)) GTEST_SKIP() << "UFFDIO_POISON";
  const auto array = Create(PageArrayPlacement::kDevice);
  EXPECT_EQ(array->Peek(FirstPageOf(GroupIndex(1))), nullptr);
  for (uint64_t i = 0; i < kPagesPerGroup; i += 7) {
    array->Get(FirstPageOf(GroupIndex(1)) + i).owner = i;
  }
  for (uint64_t i = 0; i < kPagesPerGroup; i += 7) {
    ASSERT_EQ(array->Get(FirstPageOf(GroupIndex(1)) + i).owner, i);
  }
  EXPECT_NE(array->Peek(FirstPageOf(GroupIndex(1))), nullptr);
}

// I9: an array full of the most plausible lies, but for the nonce.
TEST_F(PageArrayTest, StaleDescriptorsAreNeverBelieved) {
  for (const int lie : {0, 1, 2, 3}) {
    std::unique_ptr<PageArray> array = Create(PageArrayPlacement::kDevice);
    std::mt19937_64 random(static_cast<uint64_t>(lie));
    for (uint64_t group = 0; group < 2; ++group) {
      auto* descriptors = reinterpret_cast<PageDescriptor*>(ArrayBytes(group));
      for (uint64_t i = 0; i < kPagesPerGroup; ++i) {
        descriptors[i].state = PageState::kInodePage;
        descriptors[i].flags = kPageVerified;
        descriptors[i].pins = 3;
        descriptors[i].owner = 1 + random() % 1000;
        for (auto& lookups : descriptors[i].references.lookups) lookups = 7;
      }
      // Epochs that are not this one: one bit off, the bits of another mount, none, all.
      const uint64_t nonces[] = {array->epoch() ^ 1, random(), 0, ~uint64_t{0}};
      descriptors[1].group.nonce = nonces[lie];
      descriptors[1].group.mask = ~uint64_t{0};
    }
    EXPECT_EQ(array->Peek(LogicalPage(0)), nullptr);
    EXPECT_EQ(array->Peek(LogicalPage(5000)), nullptr);
    EXPECT_EQ(array->Peek(LogicalPage(kPagesPerGroup + 700)), nullptr);
    for (const uint64_t page : {uint64_t{700}, uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{511},
                                kPagesPerGroup + 1, kPagesPerGroup + 512}) {
      ExpectBlank(array->Get(LogicalPage(page)), page % kPagesPerGroup == 1);
    }
    EXPECT_EQ(array->Peek(LogicalPage(5000)), nullptr) << "its layer was not touched";
  }
}

TEST_F(PageArrayTest, TwoMountsHaveTwoEpochs) {
  std::unique_ptr<PageArray> first = Create(PageArrayPlacement::kDevice);
  first->Get(LogicalPage(9)).owner = 1;
  std::unique_ptr<PageArray> second = Create(PageArrayPlacement::kDevice);
  EXPECT_NE(first->epoch(), 0u);
  EXPECT_NE(first->epoch(), second->epoch());
  EXPECT_EQ(second->Peek(LogicalPage(9)), nullptr);
  ExpectBlank(second->Get(LogicalPage(9)));
}

TEST_F(PageArrayTest, LayersAreInitialisedOneByOne) {
  for (const PageArrayPlacement placement : kPlacements) {
    std::memset(ArrayBytes(0), 0xA5, media::kPageArraySize);
    std::unique_ptr<PageArray> array = Create(placement);
    EXPECT_EQ(array->placement(), placement);
    EXPECT_EQ(array->initialised_groups(), 0u);
    array->Get(LogicalPage(3 * 512 + 5)).owner = 42;
    EXPECT_EQ(array->initialised_groups(), 1u);
    for (uint64_t huge = 0; huge < kHugePagesPerGroup; ++huge) {
      EXPECT_EQ(array->Peek(LogicalPage(huge * 512)) != nullptr, huge == 3) << huge;
    }
    EXPECT_EQ(array->Peek(LogicalPage(kPagesPerGroup)), nullptr);
    EXPECT_EQ(array->Get(LogicalPage(3 * 512 + 5)).owner.load(), 42u);
    ExpectBlank(array->Get(LogicalPage(3 * 512 + 6)));
    if (placement == PageArrayPlacement::kDevice) {
      EXPECT_EQ(ArrayBytes(0)[4 * 512 * 64], std::byte{0xA5}) << "the next layer is untouched";
      EXPECT_EQ(ArrayBytes(0)[0], std::byte{0xA5});
    }
    // Layer 0 keeps the head through its own initialisation.
    ExpectBlank(array->Get(LogicalPage(1)), true);
    EXPECT_EQ(array->Get(LogicalPage(1)).group.nonce.load(), array->epoch());
    EXPECT_EQ(array->Get(LogicalPage(1)).group.mask.load(), 0b1001u);
    EXPECT_EQ(array->Get(LogicalPage(3 * 512 + 5)).owner.load(), 42u);
  }
}

// The bitmap pages' own flags live beside the head.
TEST_F(PageArrayTest, FlagsOfBitmapPagesAreKept) {
  std::unique_ptr<PageArray> array = Create(PageArrayPlacement::kDevice);
  for (const uint64_t page : {1u, 2u}) {
    PageDescriptor& descriptor = array->Get(LogicalPage(page));
    ResetDescriptor(descriptor, PageState::kMetadata);
    descriptor.flags = kPageVerified | kPagePoisoned;
    descriptor.pins = 0xFFFF;
    descriptor.write_count = 0xFFFF;
    descriptor.verified_inodes = 0xFF;
    descriptor.owner = ~uint64_t{0};
  }
  array->Get(LogicalPage(63 * 512)).owner = 1;
  for (const uint64_t page : {1u, 2u}) {
    PageDescriptor* descriptor = array->Peek(LogicalPage(page));
    ASSERT_NE(descriptor, nullptr);
    EXPECT_EQ(descriptor->flags.load(), kPageVerified | kPagePoisoned);
    EXPECT_EQ(descriptor->owner.load(), ~uint64_t{0});
    ResetDescriptor(*descriptor, PageState::kFree);
    EXPECT_EQ(descriptor->flags.load(), kPagePoisoned) << "poison stays";
    EXPECT_EQ(descriptor->owner.load(), 0u);
  }
  EXPECT_EQ(array->Peek(LogicalPage(63 * 512))->owner.load(), 1u) << "the head survived it";
}

TEST_F(PageArrayTest, StormOfFirstTouches) {
  for (const PageArrayPlacement placement : kPlacements) {
    std::memset(ArrayBytes(0), 0xFF, media::kPageArraySize);
    std::memset(ArrayBytes(1), 0xFF, media::kPageArraySize);
    std::unique_ptr<PageArray> array = Create(placement);
    const uint64_t pages = geometry_.page_count();
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    constexpr uint64_t kThreads = 6, kTouches = 3000;
    for (uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(7);  // the same pages for all: they collide
        while (!go.load()) std::this_thread::yield();
        for (uint64_t i = 0; i < kTouches; ++i) {
          const LogicalPage page(random() % pages);
          if (t == 0) (void)array->Peek(page);
          array->Get(page).write_count.fetch_add(1);
          array->Get(LogicalPage(i % 3)).write_count.fetch_add(1);
        }
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
    uint64_t sum = 0;
    for (uint64_t page = 0; page < pages; ++page) {
      const PageDescriptor* descriptor = array->Peek(LogicalPage(page));
      if (descriptor != nullptr) sum += descriptor->write_count;
    }
    EXPECT_EQ(sum, kThreads * kTouches * 2) << "no touch was zeroed away";
    EXPECT_EQ(array->initialised_groups(), 2u);
  }
}

TEST_F(PageArrayTest, CountersSaturateAndStay) {
  std::unique_ptr<PageArray> array = Create(PageArrayPlacement::kDram);
  PageDescriptor& inodes = array->Get(LogicalPage(0));
  ResetDescriptor(inodes, PageState::kInodePage);
  EXPECT_EQ(AddLookups(inodes, 3, 5), 5u);
  EXPECT_EQ(AddLookups(inodes, 4, 1), 1u);
  EXPECT_EQ(ForgetLookups(inodes, 3, 2), 3u);
  EXPECT_EQ(ForgetLookups(inodes, 3, 100), 0u) << "the kernel can't take more than there is";
  EXPECT_EQ(AddLookups(inodes, 3, 0xFFFFFFFE), 0xFFFFFFFEu);
  EXPECT_EQ(ForgetLookups(inodes, 3, 1), 0xFFFFFFFDu);
  EXPECT_EQ(AddLookups(inodes, 3, ~uint64_t{0}), 0xFFFFFFFFu);
  EXPECT_EQ(ForgetLookups(inodes, 3, 0xFFFFFFFF), 0xFFFFFFFFu) << "saturated for good";
  EXPECT_EQ(inodes.references.lookups[4].load(), 1u);
  EXPECT_EQ(AddOpen(inodes, 7), 1u);
  EXPECT_EQ(RemoveOpen(inodes, 7), 0u);
  EXPECT_EQ(RemoveOpen(inodes, 7), 0u);
  for (int i = 0; i < 70000; ++i) AddOpen(inodes, 7);
  EXPECT_EQ(RemoveOpen(inodes, 7), 0xFFFFu);
  EXPECT_EQ(inodes.references.opens[6].load(), 0u);
  ResetDescriptor(inodes, PageState::kData);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(UnionWord(inodes, i), 0u);
}

uint64_t ResidentBytes(const void* at, uint64_t size_bytes) {
  std::vector<unsigned char> pages(size_bytes / kPageSize);
  EXPECT_EQ(mincore(const_cast<void*>(at), size_bytes, pages.data()), 0);
  uint64_t resident = 0;
  for (const unsigned char page : pages) resident += (page & 1) * kPageSize;
  return resident;
}

TEST_F(PageArrayTest, TrimKeepsWhatMustNotBeLost) {
  constexpr uint64_t kLayer = 512 * sizeof(PageDescriptor);
  std::unique_ptr<PageArray> array = Create(PageArrayPlacement::kDram, 4 * kLayer);
  const auto page = [](uint64_t group, uint64_t huge) {
    return LogicalPage(group * kPagesPerGroup + huge * 512 + 17);
  };
  array->Get(page(0, 5)).state = PageState::kClaimed;
  array->Get(page(0, 6)).pins = 1;
  array->Get(page(0, 7)).flags = kPagePoisoned;
  ResetDescriptor(array->Get(page(0, 8)), PageState::kInodePage);
  AddLookups(array->Get(page(0, 8)), 7, 1);
  ResetDescriptor(array->Get(page(0, 9)), PageState::kInodePage);
  AddOpen(array->Get(page(0, 9)), 0);
  EXPECT_TRUE(array->over_budget());
  for (const uint64_t huge : {0u, 10u, 11u, 12u}) array->Get(page(0, huge)).owner = 99;
  ResetDescriptor(array->Get(page(0, 13)), PageState::kInodePage);  // nobody looks at it
  for (uint64_t huge = 0; huge < 40; ++huge) array->Get(page(1, huge)).flags = kPageVerified;
  EXPECT_EQ(array->populated_bytes(), 50 * kLayer);
  EXPECT_EQ(array->initialised_groups(), 2u);
  const void* memory = &array->Get(LogicalPage(0));
  const uint64_t resident = ResidentBytes(memory, 2 * media::kPageArraySize);

  EXPECT_EQ(array->Trim(), 44 * kLayer);
  EXPECT_EQ(array->populated_bytes(), 6 * kLayer);
  EXPECT_EQ(array->initialised_groups(), 1u) << "the second group went whole";
  EXPECT_LT(ResidentBytes(memory, 2 * media::kPageArraySize), resident);
  for (const uint64_t huge : {5u, 6u, 7u, 8u, 9u, 0u}) {
    EXPECT_NE(array->Peek(page(0, huge)), nullptr) << huge;
  }
  for (const uint64_t huge : {10u, 11u, 12u, 13u}) {
    EXPECT_EQ(array->Peek(page(0, huge)), nullptr) << huge;
  }
  EXPECT_EQ(array->Peek(page(1, 3)), nullptr);
  EXPECT_EQ(array->Get(page(0, 8)).references.lookups[7].load(), 1u);
  EXPECT_EQ(array->Get(page(0, 5)).state.load(), PageState::kClaimed);

  // What comes back is blank, and the accounts stay right.
  ExpectBlank(array->Get(page(0, 11)));
  ExpectBlank(array->Get(page(1, 3)));
  EXPECT_EQ(array->populated_bytes(), 8 * kLayer);
  EXPECT_EQ(array->initialised_groups(), 2u);
  EXPECT_EQ(array->Trim(), 2 * kLayer);
  EXPECT_TRUE(array->over_budget()) << "protected layers may exceed it";
}

TEST_F(PageArrayTest, UntouchedDescriptorsCostNothing) {
  std::unique_ptr<PageArray> array = Create(PageArrayPlacement::kDram);
  PageDescriptor& first = array->Get(LogicalPage(0));
  for (uint64_t huge = 0; huge < 64; ++huge) array->Get(LogicalPage(huge * 512)).owner = 1;
  EXPECT_LE(ResidentBytes(&first, media::kPageArraySize), 65 * kPageSize)
      << "a page of descriptors a layer, not 32 KiB, and never a transparent huge page";
}

}  // namespace
}  // namespace ingot::tests
