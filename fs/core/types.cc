// SPDX-License-Identifier: BSD-3-Clause
// The clock.
#include "fs/core/types.h"

#include <ctime>

namespace ingot {

Time CurrentTime() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return Time{now.tv_sec, static_cast<uint32_t>(now.tv_nsec)};
}

}  // namespace ingot
