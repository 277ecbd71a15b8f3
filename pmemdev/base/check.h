// SPDX-License-Identifier: BSD-3-Clause
// CHECK(condition, "format", values...): our own bug was found; say the values and abort.
//
// Never for bytes that come from media, users or the kernel: those are Errors. Aborting is safe for
// data: whatever was acknowledged is on the medium already.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace ingot {

// Prints "file:line: CHECK failed: condition: details" to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view details) noexcept;

// Without the heap, whose std::bad_alloc would be taken for an operation's ENOMEM. Longer details
// are cut.
template <typename... Args>
[[noreturn]] void CheckFailedWith(const char* file, int line, const char* condition,
                                  fmt::format_string<Args...> format, Args&&... args) noexcept {
  std::array<char, 512> text;
  const auto made =
      fmt::format_to_n(text.data(), text.size(), format, std::forward<Args>(args)...);
  CheckFailed(file, line, condition, {text.data(), std::min(made.size, text.size())});
}

}  // namespace ingot

#define CHECK(condition, ...)                                                            \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::ingot::CheckFailedWith(__FILE__, __LINE__, #condition, "" __VA_ARGS__);          \
  } while (false)
