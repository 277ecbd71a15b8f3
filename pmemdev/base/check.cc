// SPDX-License-Identifier: BSD-3-Clause
// The end of a failed CHECK. Uses write(2) only and no heap, so that it works with any lock held
// and without memory.
#include "pmemdev/base/check.h"

#include <unistd.h>

#include <array>
#include <cstdlib>

namespace ingot {

void CheckFailed(const char* file, int line, const char* condition,
                 std::string_view details) noexcept {
  std::array<char, 1024> text;
  const auto made = fmt::format_to_n(text.data(), text.size() - 1, "{}:{}: CHECK failed: {}: {}",
                                     file, line, condition, details);
  *made.out = '\n';
  (void)!write(STDERR_FILENO, text.data(), static_cast<size_t>(made.out - text.data()) + 1);
  std::abort();
}

}  // namespace ingot
