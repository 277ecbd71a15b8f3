// SPDX-License-Identifier: BSD-3-Clause
// JSON for the reports of a running daemon, written as it comes.
//
// Not by building nlohmann's values: the destructor of its arrays and objects allocates, so that
// memory that runs out would end the process (3.11.2). Here it is std::bad_alloc as everywhere. A
// value on its caller's stack; not thread-safe.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace ingot {

class JsonText {
 public:
  // Keys are the program's own words; elements of arrays have none.
  void BeginObject(std::string_view key = {}) { Begin(key, '{'); }
  void EndObject() { End('}'); }
  void BeginArray(std::string_view key) { Begin(key, '['); }
  void EndArray() { End(']'); }
  // A number, a bool or a string of any bytes: a report must not fail because of a path.
  void Add(std::string_view key, const nlohmann::json& scalar);

  [[nodiscard]] std::string Take() { return std::move(text_); }

 private:
  void Begin(std::string_view key, char bracket);
  void End(char bracket);
  void AddKey(std::string_view key);

  std::string text_;
};

}  // namespace ingot
