// SPDX-License-Identifier: BSD-3-Clause
// How far a long command is: a line on the terminal, rewritten in place, or lines to a descriptor
// as fsck(8) -C wants them.
//
// Not thread-safe. Writing fails silently: progress is a courtesy.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::cli {

// "12 s", "3 min 05 s", "2 h 01 min".
[[nodiscard]] std::string FormatDuration(std::chrono::seconds duration);

class ProgressLine {
 public:
  // -1: standard error if it is a terminal, else nothing. Other descriptors get one line per step,
  // "PASS DONE TOTAL NAME", as e2fsck writes them.
  explicit ProgressLine(int descriptor = -1);
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;

  void Show(std::string_view pass, uint64_t done, uint64_t total);
  // Takes the line off the terminal, so that other output can begin.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;
  void Draw(uint64_t done, uint64_t total);

  int descriptor_;
  bool on_terminal_;
  bool shown_ = false;
  int pass_number_ = 0;
  std::string pass_;
  Clock::time_point pass_began_{};
  Clock::time_point last_drawn_{};
};

}  // namespace ingot::cli
