// SPDX-License-Identifier: BSD-3-Clause
// Samples of single operations, and what is said about them.
//
// The median of single operations, because on a shared machine a mean tells about the neighbours;
// the mean is printed beside it. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

namespace ingot::bench {

class Samples {
 public:
  // Runs `operation` once and takes its time. Reading the clock twice costs some 50 ns.
  template <typename Operation>
  void Time(Operation&& operation) {
    const auto start = std::chrono::steady_clock::now();
    operation();
    const auto end = std::chrono::steady_clock::now();
    ns_.push_back(
        std::chrono::duration_cast<std::chrono::duration<double, std::nano>>(end - start).count());
  }
  [[nodiscard]] size_t count() const { return ns_.size(); }

  // "median_ns": ..., "mean_ns": ..., "operations": ...
  [[nodiscard]] std::string Json() const {
    std::vector<double> sorted = ns_;
    std::sort(sorted.begin(), sorted.end());
    const double sum = std::accumulate(sorted.begin(), sorted.end(), 0.0);
    const auto count = static_cast<double>(std::max<size_t>(sorted.size(), 1));
    char text[160];
    (void)std::snprintf(
        text, sizeof(text), R"("median_ns": %.1f, "mean_ns": %.1f, "operations": %zu)",
        sorted.empty() ? 0.0 : sorted[sorted.size() / 2], sum / count, sorted.size());
    return text;
  }

 private:
  std::vector<double> ns_;
};

}  // namespace ingot::bench
