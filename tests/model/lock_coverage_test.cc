// SPDX-License-Identifier: BSD-3-Clause
// I8: threads run random operations in one tree, and each word that they log is looked at: is its
// lock held from logging it until the lane was invalidated? The checker itself is tried first.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "fs/core/volume.h"
#include "tests/model/generator.h"
#include "tests/model/volume_subject.h"
#include "tests/support/fsck_assert.h"
#include "tests/support/lock_checker.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{600} << 20;
constexpr int kThreads = 4;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kOperations = 4'000;
#else
constexpr uint64_t kOperations = 20'000;  // a thread
#endif

std::unique_ptr<Volume> MakeVolume(const VolumeOptions& options) {
  std::unique_ptr<Device> device = FormattedDevice(kPoolBytes);
  EXPECT_TRUE(Volume::Format(*device, Caller{}));
  Result<std::unique_ptr<Volume>> volume = Volume::Open(std::move(device), options);
  EXPECT_TRUE(volume) << Describe(volume.error());
  return std::move(*volume);
}

Result<void> ChangeRootOwner(Volume& volume, uint32_t uid) {
  Transaction transaction(*volume.core().allocator, volume.core().reader);
  media::Inode* root = TRY(transaction.EditInode(Volume::kRoot));
  root->uid = uid;
  return transaction.Commit();
}

TEST(LockCheckerTest, ALockThatIsNotHeldIsNoticed) {
  const std::unique_ptr<Volume> volume = MakeVolume({});
  LockChecker checker(*volume);
  {
    const ExclusiveInodeLocks lock(volume->core().locks, Volume::kRoot);
    ASSERT_TRUE(ChangeRootOwner(*volume, 1));
  }
  EXPECT_TRUE(checker.faults().empty());
  EXPECT_GT(checker.checked_words(), 0u);
  {
    // The wrong inode's, and the right one's but shared.
    const ExclusiveInodeLocks other(volume->core().locks, InodeNumber(800));
    const SharedInodeLock shared(volume->core().locks, Volume::kRoot);
    ASSERT_TRUE(ChangeRootOwner(*volume, 2));
  }
  EXPECT_FALSE(checker.faults().empty());
}

TEST(LockCheckerTest, ALockGivenUpInBetweenIsNoticed) {
  const std::unique_ptr<Volume> volume = MakeVolume({});
  LockChecker checker(*volume);
  {
    Transaction transaction(*volume->core().allocator, volume->core().reader);
    const std::byte bytes[8] = {std::byte{1}};
    const LogicalOffset at = AddressOf(Volume::kRoot) + media::kInodeSize / 2;
    for (int round = 0; round < 2; ++round) {
      const ExclusiveInodeLocks lock(volume->core().locks, Volume::kRoot);
      const Result<void> step =
          round == 0 ? transaction.LogData(at, bytes) : transaction.Commit();
      ASSERT_TRUE(step) << Describe(step.error());
    }
  }
  ASSERT_FALSE(checker.faults().empty());
  EXPECT_NE(checker.faults()[0].find("given up"), std::string::npos) << checker.faults()[0];
}

class LockCoverageTest : public ::testing::TestWithParam<bool> {};

TEST_P(LockCoverageTest, EachLoggedWordIsCovered) {
  const std::unique_ptr<Volume> volume = MakeVolume({.atomic = GetParam()});
  {
    LockChecker checker(*volume);
    std::vector<std::thread> threads;
    std::atomic<uint64_t> successes{0};
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&volume, &successes, t] {
        VolumeSubject subject(*volume);
        Generator generator({.seed = static_cast<uint64_t>(t) + 100, .large_in_1000 = 8});
        for (uint64_t i = 0; i < kOperations; ++i) {
          if (subject.Run(generator.Next()).starts_with("ok")) ++successes;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(checker.faults().empty()) << fmt::format("{}", fmt::join(checker.faults(), "\n"));
    EXPECT_GT(successes, kOperations * kThreads / 10);
    EXPECT_GT(checker.checked_words(), kOperations);
    EXPECT_GT(checker.group_words(), kOperations / 10);
    if (GetParam()) {
      EXPECT_GT(checker.data_words(), kOperations / 10) << "small overwrites are logged";
    }
    EXPECT_EQ(checker.unknown_words(), 0u);
  }
  EXPECT_FSCK_CLEAN(volume->device());
}

INSTANTIATE_TEST_SUITE_P(PlainAndAtomic, LockCoverageTest, ::testing::Bool());

}  // namespace
}  // namespace ingot::tests
