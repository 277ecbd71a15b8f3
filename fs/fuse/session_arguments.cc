// SPDX-License-Identifier: BSD-3-Clause
// Option by option.
#include "fs/fuse/session_arguments.h"

#include <algorithm>
#include <thread>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

// libfuse splits options at commas.
std::string Escaped(const std::string& value) {
  std::string result;
  for (const char c : value) {
    if (c == ',' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

// Each entry may fill with 1 MiB: few where there are many CPUs.
unsigned RingDepth() {
  return std::clamp(32U / std::max(1U, std::thread::hardware_concurrency()), 1U, 8U);
}

}  // namespace

SessionArguments::SessionArguments(const MountOptions& options, bool io_uring) {
  CHECK(fuse_opt_add_arg(&arguments_, "ingot") == 0);
  const std::string& source = options.source_name.empty() ? options.pool_path : options.source_name;
  Add("fsname=" + Escaped(source));
  Add("subtype=ingot");
  // Always: without it the first verdict about a name would serve all users.
  Add("default_permissions");
  if (options.allow_other) Add("allow_other");
  if (options.volume.read_only) Add("ro");
  if (options.suid) Add("suid");
  if (options.dev) Add("dev");
  if (!options.exec) Add("noexec");
  if (io_uring) {
    Add("io_uring");
    Add("io_uring_q_depth=" + std::to_string(RingDepth()));
  }
  for (const std::string& option : options.extra) Add(option);
}

void SessionArguments::Add(const std::string& option) {
  CHECK(fuse_opt_add_arg(&arguments_, ("-o" + option).c_str()) == 0, "no memory for options");
}

}  // namespace ingot
