// SPDX-License-Identifier: BSD-3-Clause
// Parses /proc/PID/status, whose id may be that of any thread.
#include "fs/fuse/caller.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

namespace ingot {
namespace {

// The rest of the line that begins with `key` in /proc/PID/status. The id in a request is a
// thread's.
std::optional<std::string> StatusField(pid_t pid, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with(key)) return line.substr(key.size());
  }
  return std::nullopt;
}

// The text of a file in /proc/PID; nothing if it can't be read.
std::optional<std::string> ReadOf(const std::string& pid, const char* name) {
  std::ifstream file("/proc/" + pid + "/" + name);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

bool IsInOurUserNamespace(pid_t pid) {
  std::error_code error;
  const std::string process = std::to_string(pid);
  const auto theirs = std::filesystem::read_symlink("/proc/" + process + "/ns/user", error);
  if (!error) return theirs == std::filesystem::read_symlink("/proc/self/ns/user", error) && !error;
  // A user's daemon may not look at root's. Its maps anybody may read, and nobody without
  // privileges can make a namespace whose maps are the first one's.
  for (const char* map : {"uid_map", "gid_map"}) {
    const auto text = ReadOf(process, map);
    if (!text || text != ReadOf("self", map)) return false;
  }
  return true;
}

bool HasCapability(pid_t pid, int capability) {
  if (!IsInOurUserNamespace(pid)) return false;
  const auto field = StatusField(pid, "CapEff:");
  if (!field) return false;
  std::istringstream text(*field);
  uint64_t effective = 0;
  text >> std::hex >> effective;
  return !text.fail() && (effective >> capability & 1) != 0;
}

bool IsInGroup(pid_t pid, uint32_t gid) {
  for (const char* key : {"Gid:", "Groups:"}) {
    const auto field = StatusField(pid, key);
    if (!field) return false;
    std::istringstream text(*field);
    uint32_t group = 0;
    // "Gid:" lists real, effective, saved and filesystem id; only the last counts.
    bool last_matches = false;
    while (text >> group) {
      last_matches = group == gid;
      if (last_matches && key[1] == 'r') return true;
    }
    if (last_matches) return true;
  }
  return false;
}

}  // namespace ingot
