// SPDX-License-Identifier: BSD-3-Clause
// Which part of an Error is the reason, which the hint, and what helps against which errno.
#include "fs/cli/errors.h"

#include <cstdio>
#include <system_error>

#include <fmt/format.h>

namespace ingot::cli {
namespace {

constexpr std::string_view kHintMark = ". Hint: ";

std::string SystemText(int code) { return std::system_category().message(code); }

// The library's context says the reason, names the object whose system call failed, or is empty.
std::string ReasonOf(std::string context, const std::string& path, int code) {
  if (context.starts_with(path + ": ")) context.erase(0, path.size() + 2);
  if (context.empty() || context == path) return SystemText(code);
  const bool is_name = context.find(' ') == std::string::npos ||
                       (context.starts_with("mount point '") && context.ends_with('\''));
  if (is_name) return context + ": " + SystemText(code);
  while (context.ends_with('.')) context.pop_back();
  return context;
}

constexpr std::string_view kMountPointMark = "mount point '";

// What helps against an error of the mount point, not of the pool.
std::string HintForMountPoint(const std::string& context, int code) {
  const std::string path =
      context.substr(kMountPointMark.size(), context.rfind('\'') - kMountPointMark.size());
  switch (code) {
    case ENOENT: return "mkdir " + path;
    case ENOTCONN: return "the daemon of an earlier mount is gone: ingot umount -l " + path;
    default: return "";
  }
}

std::string HintFor(const Doing& doing, int code) {
  switch (code) {
    case EUCLEAN: return "ingot fsck -y " + doing.path;
    case ERANGE:
      return "give the file its length back (truncate -s), then: ingot fsck -y " + doing.path;
    case ENOTSUP: return "use a newer ingot";
    case EACCES:
    case EPERM: return "try it as root, or check the permissions of " + doing.path;
    case ENOTCONN: return "the daemon is gone: ingot umount -l " + doing.path;
    case ENODEV: return "modprobe fuse";
    case ENOENT: return "ls -ld " + doing.path;
    default: return "";
  }
}

// The host of a prepared block device is reached by a descriptor, whose name tells nobody anything.
std::string NameDevice(std::string text, const std::string& device) {
  constexpr std::string_view kDescriptor = "/proc/self/fd/";
  size_t at = text.find(kDescriptor);
  while (at != std::string::npos) {
    const size_t end = text.find_first_not_of("0123456789", at + kDescriptor.size());
    text.replace(at, (end == std::string::npos ? text.size() : end) - at, device);
    at = text.find(kDescriptor, at + device.size());
  }
  return text;
}

}  // namespace

std::string FormatError(const Doing& doing, const Error& error) {
  std::string context = NameDevice(error.context, doing.path);
  std::string hint;
  if (const size_t at = context.find(kHintMark); at != std::string::npos) {
    hint = context.substr(at + kHintMark.size());
    context.resize(at);
  }
  // For damage the library often names the program alone; here the whole command is known.
  if (hint.empty() && context.starts_with(kMountPointMark) && context.ends_with('\'')) {
    hint = HintForMountPoint(context, error.code);
  } else if (error.code == EUCLEAN && context.find("all three superblocks") != std::string::npos) {
    hint = "ingot fsck --superblock " + doing.path;
  } else if (hint.empty() || (error.code == EUCLEAN && hint.find("ingot fsck ") == hint.npos)) {
    hint = HintFor(doing, error.code);
  }
  std::string text = fmt::format("ingot: cannot {} '{}': {} ({})", doing.what, doing.path,
                                 ReasonOf(std::move(context), doing.path, error.code),
                                 ErrnoName(error.code));
  if (!hint.empty()) text += std::string(kHintMark) + hint;
  return text;
}

void PrintError(const Doing& doing, const Error& error) {
  const std::string line = FormatError(doing, error) + "\n";
  std::fputs(line.c_str(), stderr);
}

}  // namespace ingot::cli
