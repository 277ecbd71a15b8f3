// SPDX-License-Identifier: BSD-3-Clause
// Drawing, at most five times a second.
#include "fs/cli/progress.h"

#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

namespace ingot::cli {
namespace {

constexpr std::chrono::milliseconds kRedrawEvery{200};

// Progress is a courtesy: a full pipe or a closed terminal is no error.
void WriteText(int descriptor, const std::string& text) {
  [[maybe_unused]] const ssize_t written = write(descriptor, text.data(), text.size());
}

}  // namespace

std::string FormatDuration(std::chrono::seconds duration) {
  const auto seconds = std::max<int64_t>(0, duration.count());
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
}

ProgressLine::ProgressLine(int descriptor)
    : descriptor_(descriptor < 0 ? STDERR_FILENO : descriptor),
      on_terminal_(descriptor < 0 && isatty(STDERR_FILENO) == 1) {
  if (descriptor < 0 && !on_terminal_) descriptor_ = -1;
}

void ProgressLine::Show(std::string_view pass, uint64_t done, uint64_t total) {
  if (descriptor_ < 0) return;
  const Clock::time_point now = Clock::now();
  if (pass != pass_) {
    pass_ = pass;
    ++pass_number_;
    pass_began_ = now;
  } else if (now - last_drawn_ < kRedrawEvery && done < total) {
    return;
  }
  last_drawn_ = now;
  if (on_terminal_) {
    Draw(done, total);
  } else {
    WriteText(descriptor_, fmt::format("{} {} {} {}\n", pass_number_, done, total, pass_));
  }
}

void ProgressLine::Draw(uint64_t done, uint64_t total) {
  std::string text = fmt::format("\r\033[K{}:", pass_);
  if (total != 0) text += fmt::format(" {} %", std::min<uint64_t>(100, done * 100 / total));
  const double seconds = std::chrono::duration<double>(Clock::now() - pass_began_).count();
  if (seconds > 0.5 && done > 0) {
    const double rate = static_cast<double>(done) / seconds;
    text += fmt::format(", {:.0f}/s", rate);
    // The first units may be the fullest: too early a guess is a bad one.
    if (total > done && done >= total / 50) {
      const auto left = static_cast<int64_t>(static_cast<double>(total - done) / rate) + 1;
      text += ", " + FormatDuration(std::chrono::seconds(left)) + " left";
    }
  }
  WriteText(descriptor_, text);
  shown_ = true;
}

void ProgressLine::Clear() {
  if (shown_) WriteText(descriptor_, "\r\033[K");
  shown_ = false;
}

}  // namespace ingot::cli
