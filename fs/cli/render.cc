// SPDX-License-Identifier: BSD-3-Clause
// One recursive walk; what fits a line goes onto one.
#include "fs/cli/render.h"

#include <cstdio>

#include <fmt/format.h>

#include "fs/cli/sizes.h"

namespace ingot::cli {
namespace {

std::string Words(std::string name) {
  for (char& c : name) {
    if (c == '_') c = ' ';
  }
  return name;
}

// Names and labels may hold anything; a terminal must not obey them, nor a line be forged.
std::string Shown(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return shown;
}

std::string Scalar(const std::string& name, const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    return text.empty() ? "-" : Shown(text);
  }
  if (name.ends_with("share") && value.is_number()) {
    return fmt::format("{:.1f} %", value.get<double>() * 100);
  }
  if (name.ends_with("bytes") && value.is_number_unsigned() && value.get<uint64_t>() >= 1024) {
    const auto bytes = value.get<uint64_t>();
    return fmt::format("{} ({})", FormatSize(bytes), bytes);
  }
  return admin::ToText(value, -1);
}

// "a=1 b=x" of an object, "1 2" of a list.
std::string OneLine(const Json& json) {
  if (!json.is_structured()) return Scalar("", json);
  std::string text;
  for (const auto& [key, value] : json.items()) {
    if (!text.empty()) text += "  ";
    if (json.is_object()) text += key + "=";
    text += value.is_structured() ? "[" + OneLine(value) + "]" : Scalar("", value);
  }
  return text;
}

void RenderInto(std::string& text, const Json& json, size_t indent);

void RenderMember(std::string& text, const std::string& key, const Json& value, size_t indent) {
  text += std::string(indent, ' ') + Words(key) + ":";
  if (value.is_object() && !value.empty()) {
    text += "\n";
    RenderInto(text, value, indent + 2);
    return;
  }
  const bool has_structures =
      value.is_array() && !value.empty() && value.front().is_structured();
  if (has_structures || (value.is_array() && key == "problems" && !value.empty())) {
    text += "\n";
    RenderInto(text, value, indent + 2);
    return;
  }
  const std::string line = value.is_structured() ? OneLine(value) : Scalar(key, value);
  text += " " + (line.empty() ? "none" : line) + "\n";
}

void RenderInto(std::string& text, const Json& json, size_t indent) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) RenderMember(text, key, value, indent);
    return;
  }
  if (!json.is_array()) {
    text += std::string(indent, ' ') + Scalar("", json) + "\n";
    return;
  }
  for (const Json& element : json) {
    bool nested = false;
    if (element.is_object()) {
      for (const auto& [key, value] : element.items()) nested = nested || value.is_structured();
    }
    if (nested) {
      RenderInto(text, element, indent);
      if (&element != &json.back()) text += "\n";
    } else {
      text += std::string(indent, ' ') + OneLine(element) + "\n";
    }
  }
}

}  // namespace

std::string Render(const Json& json) {
  std::string text;
  RenderInto(text, json, 0);
  return text;
}

void Print(const Json& json, bool as_json) {
  const std::string text = as_json ? admin::ToText(json) + "\n" : Render(json);
  std::fputs(text.c_str(), stdout);
}

}  // namespace ingot::cli
