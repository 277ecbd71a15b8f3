// SPDX-License-Identifier: BSD-3-Clause
// Texts for Error: the errno's name and the system's words for it. No state, no locks, no media.
#include "pmemdev/base/result.h"

#include <cstring>
#include <system_error>

namespace ingot {

const char* ErrnoName(int code) {
  const char* name = strerrorname_np(code);
  return name == nullptr ? "errno" : name;
}

std::string Describe(const Error& error) {
  std::string text = error.context;
  if (!text.empty()) text += ": ";
  text += std::system_category().message(error.code);
  text += " (";
  text += ErrnoName(error.code);
  text += ")";
  return text;
}

}  // namespace ingot
