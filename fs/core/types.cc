// SPDX-License-Identifier: BSD-3-Clause
// The clock.
#include "fs/core/types.h"

#include <ctime>

#include "fs/core/test_hooks.h"

namespace ingot {

Time CurrentTime() {
#ifdef INGOT_TEST_HOOKS
  if (Time (*clock)() = test_hooks::clock.load()) return clock();
#endif
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return Time{now.tv_sec, static_cast<uint32_t>(now.tv_nsec)};
}

}  // namespace ingot
