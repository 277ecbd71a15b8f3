// SPDX-License-Identifier: BSD-3-Clause
// The pause between requests: it waits for those begun, holds new ones back, and nobody who asks
// for counts meanwhile waits for ever. A thread's first request needs no memory.
#include "fs/fuse/activity.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <thread>
#include <vector>

#include "tests/support/failing_memory.h"

namespace ingot::tests {
namespace {

// A status request asks for the counts while it is itself one of those that a pause waits for.
TEST(Activity, CountsCanBeAskedDuringAPause) {
  Activity activity(4);
  std::atomic<bool> busy{false};
  std::atomic<bool> pausing{false};
  std::thread request([&] {
    const Activity::Busy mine(activity, Operation::kGetxattr);
    busy.store(true);
    while (!pausing.load()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the pause has begun for sure
    EXPECT_EQ(activity.Counts()[static_cast<size_t>(Operation::kGetxattr)], 1u);
  });
  while (!busy.load()) std::this_thread::yield();
  bool ran = false;
  pausing.store(true);
  activity.WhileQuiescent([&] { ran = true; });
  EXPECT_TRUE(ran);
  request.join();
}

// With a slot for each thread, and with some that share one.
class ActivityOfFour : public testing::TestWithParam<size_t> {};

TEST_P(ActivityOfFour, NobodyServesDuringAPause) {
  Activity activity(GetParam());
  std::atomic<int> serving{0};
  std::atomic<uint64_t> served{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop.load()) {
        const Activity::Busy mine(activity, Operation::kRead);
        ++serving;
        ++served;
        --serving;
      }
    });
  }
  for (int pause = 0; pause < 8; ++pause) {
    const uint64_t before = served.load();
    while (served.load() == before) std::this_thread::yield();
    activity.WhileQuiescent([&] {
      for (int look = 0; look < 20; ++look) EXPECT_EQ(serving.load(), 0);
    });
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(activity.Counts()[static_cast<size_t>(Operation::kRead)], served.load());
}
INSTANTIATE_TEST_SUITE_P(Slots, ActivityOfFour, testing::Values(0, 1, 4));

// FORGET and RELEASE can't be refused.
TEST(Activity, FirstRequestOfAThreadNeedsNoMemory) {
  Activity activity(1);
  for (int i = 0; i < 3; ++i) {
    bool was_thrown = false;
    std::thread worker([&] {
      const FailingMemory memory(1, FailingMemory::Failures::kAllFromThere);
      try {
        const Activity::Busy mine(activity, Operation::kForget);
      } catch (const std::bad_alloc&) {
        was_thrown = true;
      }
    });
    worker.join();
    EXPECT_FALSE(was_thrown) << i;
  }
  EXPECT_EQ(activity.Counts()[static_cast<size_t>(Operation::kForget)], 3u);
}

}  // namespace
}  // namespace ingot::tests
