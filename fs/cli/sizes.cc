// SPDX-License-Identifier: BSD-3-Clause
// Whole numbers are exact; fractions go through double.
#include "fs/cli/sizes.h"

#include <cctype>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace ingot::cli {
namespace {

constexpr std::string_view kUnits = "KMGTPE";

// 0 for a suffix that is none.
uint64_t UnitOf(std::string_view suffix) {
  if (suffix.empty() || suffix == "B" || suffix == "b") return 1;
  const size_t power =
      kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(suffix[0]))));
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = suffix.substr(1);
  if (!rest.empty() && rest != "iB" && rest != "i" && rest != "ib") return 0;
  return uint64_t{1} << (10 * (power + 1));
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  const auto wrong = [text] {
    return Failure(EINVAL, fmt::format("'{}' is no size. Hint: write 512M, 1.5G or 2T", text));
  };
  const size_t digits = text.find_first_not_of("0123456789.");
  const std::string_view number = text.substr(0, digits);
  const uint64_t unit = digits == std::string_view::npos ? 1 : UnitOf(text.substr(digits));
  if (number.empty() || unit == 0) return wrong();
  // Whole numbers exactly, fractions as far as a double goes.
  uint64_t whole = 0;
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), whole);
  if (parsed.ptr == number.data() + number.size()) {
    uint64_t bytes = 0;
    if (parsed.ec != std::errc() || __builtin_mul_overflow(whole, unit, &bytes) ||
        bytes > INT64_MAX) {
      return Failure(EFBIG, fmt::format("'{}' is too large", text));
    }
    return bytes;
  }
  double value = 0;
  const auto fraction = std::from_chars(number.data(), number.data() + number.size(), value);
  if (fraction.ec != std::errc() || fraction.ptr != number.data() + number.size()) return wrong();
  value *= static_cast<double>(unit);
  if (!(value < 9.2e18)) return Failure(EFBIG, fmt::format("'{}' is too large", text));
  return static_cast<uint64_t>(value);
}

std::string FormatSize(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  size_t power = 0;
  while (value >= 1024 && power < kUnits.size()) {
    value /= 1024;
    ++power;
  }
  return fmt::format("{:.2f} {}iB", value, kUnits[power - 1]);
}

}  // namespace ingot::cli
