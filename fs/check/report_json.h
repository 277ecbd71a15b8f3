// SPDX-License-Identifier: BSD-3-Clause
// A check's report as JSON, for `ingot fsck --json`.
//
// Keys are stable, and so are the names of kinds: scripts and tests rely on them. A pure
// function.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "fs/check/check.h"

namespace ingot::check {

[[nodiscard]] nlohmann::json ToJson(const CheckReport& report);

}  // namespace ingot::check
