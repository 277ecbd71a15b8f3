// SPDX-License-Identifier: BSD-3-Clause
// Optimal string alignment distance by dynamic programming.
#include "fs/cli/suggest.h"

#include <algorithm>
#include <vector>

namespace ingot::cli {

size_t EditDistance(std::string_view a, std::string_view b) {
  // Rows of the dynamic programme: two above the present one, for swaps.
  std::vector<size_t> above(b.size() + 1), before(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) before[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = before[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replace, before[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], above[j - 2] + 1);
      }
    }
    std::swap(above, before);
    std::swap(before, row);
  }
  return before[b.size()];
}

std::optional<std::string> Nearest(std::string_view word, std::span<const std::string> candidates) {
  std::optional<std::string> nearest;
  size_t best = SIZE_MAX;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(word, candidate);
    const size_t allowed = std::max<size_t>(1, std::max(candidate.size(), word.size()) / 3);
    if (distance <= allowed && distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace ingot::cli
