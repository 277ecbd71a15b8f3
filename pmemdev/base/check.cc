// SPDX-License-Identifier: BSD-3-Clause
// The end of a failed CHECK. Uses write(2) only, so that it works with any lock held.
#include "pmemdev/base/check.h"

#include <unistd.h>

#include <cstdlib>

namespace ingot {

void CheckFailed(const char* file, int line, const char* condition, const std::string& details) {
  const std::string text =
      fmt::format("{}:{}: CHECK failed: {}: {}\n", file, line, condition, details);
  (void)!write(STDERR_FILENO, text.data(), text.size());
  std::abort();
}

}  // namespace ingot
