// SPDX-License-Identifier: BSD-3-Clause
// Sizes as people write and read them: 512M, 1.5 GiB.
//
// Powers of 1024 throughout, whether written K, KiB or k; other suffixes are refused rather than
// guessed at. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pmemdev/base/result.h"

namespace ingot::cli {

// "16M", "1.5G", "2TiB", "4096": bytes. EINVAL with what is wrong; EFBIG: beyond 2^63 - 1.
Result<uint64_t> ParseSize(std::string_view text);

// "1.50 GiB"; below 1 KiB "17 B".
[[nodiscard]] std::string FormatSize(uint64_t bytes);

}  // namespace ingot::cli
