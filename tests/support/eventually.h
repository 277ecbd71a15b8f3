// SPDX-License-Identifier: BSD-3-Clause
// Waiting for what the kernel, the daemon or another thread does at its own pace. RELEASE reaches
// the daemon some time after close(2), FORGET some time after unlink(2), and a host's file is
// deleted after both; on a busy machine others may run for seconds in between. So a test that
// claims such a state asks until it is there. What must not come can't be waited for.
#pragma once

#include <chrono>
#include <thread>

namespace ingot::tests {

// Less than a ctest entry has (ingot_test), so that the test itself says what didn't come.
inline constexpr std::chrono::seconds kPatience{100};

// Whether the condition is true in the end.
template <typename Condition>
[[nodiscard]] bool Eventually(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return static_cast<bool>(condition());
}

}  // namespace ingot::tests
