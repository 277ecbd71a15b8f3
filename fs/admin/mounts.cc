// SPDX-License-Identifier: BSD-3-Clause
// mountinfo, see proc(5): "36 35 98:0 /root /mount options optional... - type source superoptions".
#include "fs/admin/mounts.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fs/core/pool_path.h"

namespace ingot::admin {
namespace {

std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&text](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '7';
    };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      const int value =
          (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
      plain += static_cast<char>(value);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

template <typename T>
bool ParseNumber(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<MountEntry> ParseLine(std::string_view line) {
  const std::vector<std::string_view> fields = Split(line, ' ');
  const auto separator = std::ranges::find(fields, "-");
  if (fields.size() < 10 || fields.end() - separator < 4) return std::nullopt;
  MountEntry entry;
  const size_t colon = fields[2].find(':');
  if (colon == std::string_view::npos || !ParseNumber(fields[0], entry.id) ||
      !ParseNumber(fields[2].substr(0, colon), entry.device_major) ||
      !ParseNumber(fields[2].substr(colon + 1), entry.device_minor)) {
    return std::nullopt;
  }
  entry.root = Unescape(fields[3]);
  entry.mountpoint = Unescape(fields[4]);
  entry.options = fields[5];
  entry.type = Unescape(separator[1]);
  entry.source = Unescape(separator[2]);
  entry.super_options = Unescape(separator[3]);
  return entry;
}

template <typename Predicate>
Result<std::optional<MountEntry>> LastWhere(Predicate&& predicate) {
  std::vector<MountEntry> mounts = TRY(IngotMounts());
  std::optional<MountEntry> last;
  for (MountEntry& entry : mounts) {
    if (predicate(entry)) last = std::move(entry);
  }
  return last;
}

}  // namespace

std::vector<MountEntry> ParseMountInfo(std::string_view text) {
  std::vector<MountEntry> entries;
  for (const std::string_view line : Split(text, '\n')) {
    if (std::optional<MountEntry> entry = ParseLine(line)) entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<std::vector<MountEntry>> IngotMounts() {
  std::ifstream file("/proc/self/mountinfo");
  if (!file) return FailureFromErrno("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  std::vector<MountEntry> entries = ParseMountInfo(text.str());
  std::erase_if(entries, [](const MountEntry& entry) { return entry.type != kFilesystemType; });
  return entries;
}

Result<std::optional<MountEntry>> FindMountOf(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return FailureFromErrno(path);
  return LastWhere([&status](const MountEntry& entry) {
    return entry.device_major == major(status.st_dev) && entry.device_minor == minor(status.st_dev);
  });
}

Result<std::optional<MountEntry>> FindMountAt(const std::string& mountpoint) {
  // realpath() asks the dead daemon of a broken mount too; then the path as it is has to do.
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(mountpoint, error);
  char* resolved = realpath(mountpoint.c_str(), nullptr);
  std::string real = resolved == nullptr ? absolute.lexically_normal().string() : resolved;
  free(resolved);
  while (real.size() > 1 && real.back() == '/') real.pop_back();
  return LastWhere([&real](const MountEntry& entry) { return entry.mountpoint == real; });
}

Result<bool> IsMountedElsewhere(const MountEntry& mount) {
  const std::vector<MountEntry> mounts = TRY(IngotMounts());
  return std::ranges::any_of(mounts, [&mount](const MountEntry& other) {
    return other.device_major == mount.device_major && other.device_minor == mount.device_minor &&
           other.id != mount.id;
  });
}

Result<std::optional<MountEntry>> FindMountOfPool(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return FailureFromErrno(path);
  return LastWhere([&path](const MountEntry& entry) {
    return entry.source.starts_with('/') && IsSamePool(entry.source, path);
  });
}

}  // namespace ingot::admin
