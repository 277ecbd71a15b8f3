// SPDX-License-Identifier: BSD-3-Clause
// The pause between requests: it waits for those begun, holds new ones back, and nobody who asks
// for counts meanwhile waits for ever.
#include "fs/fuse/activity.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace ingot::tests {
namespace {

// A status request asks for the counts while it is itself one of those that a pause waits for.
TEST(Activity, CountsCanBeAskedDuringAPause) {
  Activity activity;
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

TEST(Activity, NobodyServesDuringAPause) {
  Activity activity;
  std::atomic<int> serving{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop.load()) {
        const Activity::Busy mine(activity, Operation::kRead);
        ++serving;
        --serving;
      }
    });
  }
  for (int pause = 0; pause < 200; ++pause) {
    activity.WhileQuiescent([&] {
      for (int look = 0; look < 20; ++look) EXPECT_EQ(serving.load(), 0);
    });
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ingot::tests
