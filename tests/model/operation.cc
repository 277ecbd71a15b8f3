// SPDX-License-Identifier: BSD-3-Clause
// Texts of operations and results, and the walk over a subject's tree.
#include "tests/model/operation.h"

#include <fmt/format.h>

#include <array>
#include <span>
#include <sstream>
#include <vector>

#include "pmemdev/base/checksum.h"
#include "pmemdev/base/result.h"

namespace ingot::tests {
namespace {

constexpr std::array kNames = {
    "create",   "mkdir",    "mknod",    "symlink", "link",      "unlink",    "rmdir",
    "rename",   "write",    "append",   "read",    "truncate",  "fallocate", "seek",
    "copy",     "setxattr", "getxattr", "rmxattr", "listxattr", "chmod",     "chown",
    "settimes", "stat",     "readlink", "readdir",
};

std::vector<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

void DumpBelow(Subject& subject, const std::string& path, std::string& out) {
  const auto line = [&](Kind kind, const std::string& name, uint64_t size) {
    return subject.Run({.kind = kind, .path = path, .name = name, .size = size});
  };
  const std::string stat = line(Kind::kStat, "", 0);
  out += path + " " + stat + "\n";
  const std::string xattrs = line(Kind::kListXattr, "", 0);
  out += path + " xattrs " + xattrs + "\n";
  for (const std::string& name : Words(xattrs)) {
    if (name != "ok") out += path + " " + name + " " + line(Kind::kGetXattr, name, 0) + "\n";
  }
  const std::string type = Words(stat).at(1);
  if (type == "file") out += path + " " + line(Kind::kRead, "", uint64_t{64} << 20) + "\n";
  if (type == "link") out += path + " " + line(Kind::kReadLink, "", 0) + "\n";
  if (type != "dir") return;
  for (const std::string& name : Words(line(Kind::kReadDirectory, "", 0))) {
    if (name != "ok") DumpBelow(subject, (path == "/" ? "/" : path + "/") + name, out);
  }
}

}  // namespace

std::string Describe(const Operation& operation) {
  return fmt::format(
      "{} path={} path2={} name={} offset={} offset2={} size={} seed={} mode={:o} "
      "flags={}",
      kNames[static_cast<size_t>(operation.kind)], operation.path, operation.path2,
      operation.name.size() > 40 ? "(long)" : operation.name, operation.offset, operation.offset2,
      operation.size, operation.seed, operation.mode, operation.flags);
}

std::string MakeBytes(uint64_t seed, uint64_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (char& byte : bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<char>(state >> 56);
  }
  return bytes;
}

std::string ErrorText(int code) {
  return std::string("E:") + ErrnoName(code);
}

std::string BytesText(const std::string& bytes) {
  return fmt::format("ok {} bytes {:016x}", bytes.size(),
                     Hash64(std::as_bytes(std::span(bytes)), 0));
}

bool Fits(const std::string& model, const std::string& subject) {
  if (model == subject) return true;
  const std::vector<std::string> expected = Words(model);
  const std::vector<std::string> got = Words(subject);
  if (expected.size() != got.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool any_error = expected[i] == "E:*" && got[i].starts_with("E:");
    if (expected[i] != "*" && expected[i] != got[i] && !any_error) return false;
  }
  return true;
}

std::string DumpTree(Subject& subject) {
  std::string out;
  DumpBelow(subject, "/", out);
  return out;
}

std::string TreeDifference(Subject& model, Subject& subject) {
  return TreeDifference(DumpTree(model), DumpTree(subject));
}

std::string TreeDifference(const std::string& expected, const std::string& got) {
  size_t line = 0;
  for (size_t a = 0, b = 0; a < expected.size() || b < got.size(); ++line) {
    const size_t a_end = std::min(expected.find('\n', a), expected.size());
    const size_t b_end = std::min(got.find('\n', b), got.size());
    const std::string left = expected.substr(std::min(a, expected.size()), a_end - a);
    const std::string right = got.substr(std::min(b, got.size()), b_end - b);
    if (!Fits(left, right)) {
      return fmt::format("line {}\nmodel:  {}\nvolume: {}", line, left, right);
    }
    a = a_end + 1;
    b = b_end + 1;
  }
  return "";
}

}  // namespace ingot::tests
