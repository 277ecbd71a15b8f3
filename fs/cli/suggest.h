// SPDX-License-Identifier: BSD-3-Clause
// The nearest known word to a mistyped one, for hints.
//
// Pure functions; quadratic in the words' lengths, which are short: options, commands, values. What
// is too far away is no suggestion.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ingot::cli {

// How many insertions, deletions, replacements and swaps of neighbours turn one into the other.
[[nodiscard]] size_t EditDistance(std::string_view a, std::string_view b);

// The candidate that is likely meant; nothing if none is near (a third of its length may be wrong).
[[nodiscard]] std::optional<std::string> Nearest(std::string_view word,
                                                 std::span<const std::string> candidates);

}  // namespace ingot::cli
