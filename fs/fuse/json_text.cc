// SPDX-License-Identifier: BSD-3-Clause
// Commas and brackets; the scalars' text is nlohmann's.
#include "fs/fuse/json_text.h"

#include "pmemdev/base/check.h"

namespace ingot {

void JsonText::AddKey(std::string_view key) {
  if (!text_.empty() && text_.back() != '{' && text_.back() != '[') text_ += ',';
  if (key.empty()) return;
  text_ += '"';
  text_ += key;
  text_ += "\":";
}

void JsonText::Begin(std::string_view key, char bracket) {
  AddKey(key);
  text_ += bracket;
}

void JsonText::End(char bracket) {
  text_ += bracket;
}

void JsonText::Add(std::string_view key, const nlohmann::json& scalar) {
  CHECK(!scalar.is_structured(), "{}", key);
  AddKey(key);
  text_ += scalar.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace ingot
