// SPDX-License-Identifier: BSD-3-Clause
// JSON as indented text for people: the same facts as --json, in the same order.
//
// Pure functions but for Print, which writes to standard output. Whatever the strings hold, nothing
// is thrown.
#pragma once

#include <string>

#include "fs/admin/describe.h"

namespace ingot::cli {

using admin::Json;

// One "name: value" a line; members of objects indented; objects in lists on one line each. Names
// ending in "bytes" get their size in units as well, names ending in "share" are per cent.
[[nodiscard]] std::string Render(const Json& json);

// To standard output: JSON with a line end, or rendered.
void Print(const Json& json, bool as_json);

}  // namespace ingot::cli
