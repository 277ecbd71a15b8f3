// SPDX-License-Identifier: BSD-3-Clause
// The log: one event a line, key=value pairs, errno by name. spdlog stands behind this header and
// nowhere else. Thread-safe.
// Nothing on a hot path logs: formatting costs more than most operations here. Nothing that logs
// throws: a line that can't be made or written, for whatever reason, is lost. Unlike elsewhere that
// covers all exceptions (spdlog and fmt have their own), for no line is worth a daemon.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace ingot::log {

enum class Level { kDebug, kInfo, kWarning, kError, kOff };

// Where lines go from now on: standard error, or a file (appended, flushed a line at a time).
void ToStderr(Level threshold);
void ToFile(const std::string& path, Level threshold);

[[nodiscard]] bool Enabled(Level level);
void Write(Level level, std::string_view line);

template <typename... Args>
void Format(Level level, fmt::format_string<Args...> format, Args&&... args) noexcept {
  if (!Enabled(level)) return;
  try {
    Write(level, fmt::format(format, std::forward<Args>(args)...));
  } catch (const std::exception&) {
  }
}
template <typename... Args>
void Debug(fmt::format_string<Args...> format, Args&&... args) {
  Format(Level::kDebug, format, std::forward<Args>(args)...);
}
template <typename... Args>
void Info(fmt::format_string<Args...> format, Args&&... args) {
  Format(Level::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void Warning(fmt::format_string<Args...> format, Args&&... args) {
  Format(Level::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void Failed(fmt::format_string<Args...> format, Args&&... args) {
  Format(Level::kError, format, std::forward<Args>(args)...);
}

}  // namespace ingot::log
