// SPDX-License-Identifier: BSD-3-Clause
// CHECK(condition, "format", values...): our own bug was found; say the values and abort.
//
// Never for bytes that come from media, users or the kernel: those are Errors. Aborting is safe for
// data: whatever was acknowledged is on the medium already.
#pragma once

#include <string>

#include <fmt/format.h>

namespace ingot {

// Prints "file:line: CHECK failed: condition: details" to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& details);

}  // namespace ingot

#define CHECK(condition, ...)                                                              \
  do {                                                                                     \
    if (!(condition)) [[unlikely]]                                                         \
      ::ingot::CheckFailed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
