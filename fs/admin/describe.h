// SPDX-License-Identifier: BSD-3-Clause
// Media structs as JSON, from their own field tables: the one describer behind dump.
//
// Pure functions. Whatever the bytes are, the result is valid: texts are kept as such only if they
// are printable ASCII, other bytes become {"hex": "..."}.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "pmemdev/base/fields.h"

namespace ingot::admin {

// Members in the order in which they were added: a dump reads like the struct.
using Json = nlohmann::ordered_json;

// Bytes without their trailing zeros: "" for none, a text if printable, else {"hex": "..."}.
[[nodiscard]] Json DescribeBytes(std::span<const std::byte> bytes);

[[nodiscard]] Json DescribeFields(std::span<const Field> fields, std::span<const std::byte> bytes);

// One member per field of T.
template <typename T>
[[nodiscard]] Json Describe(const T& object) {
  static_assert(!media::kFieldsOf<T>.empty());
  return DescribeFields(media::kFieldsOf<T>, BytesOf(object));
}

// The text of a document, indented by `indent` (-1: one line). Invalid UTF-8, as names may hold, is
// replaced instead of thrown about.
[[nodiscard]] std::string ToText(const Json& json, int indent = 2);

}  // namespace ingot::admin
