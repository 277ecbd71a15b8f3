// SPDX-License-Identifier: BSD-3-Clause
// libfuse's log function, and the last error that came through it.
#include "fs/fuse/fuse_messages.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>

#include "fs/fuse/libfuse.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

std::mutex mutex;
std::string& LastMessage() {
  static auto& message = *new std::string;
  return message;
}

void Collect(enum fuse_log_level level, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof(text), format, arguments);
  std::string line(text);
  while (line.ends_with('\n')) line.pop_back();
  if (line.starts_with("fuse: ")) line.erase(0, 6);
  if (level <= FUSE_LOG_ERR) {
    const std::lock_guard lock(mutex);
    LastMessage() = line;
  }
  log::Info("libfuse: {}", line);
}

}  // namespace

void CollectFuseMessages() {
  fuse_set_log_func(&Collect);
}

std::string TakeFuseMessage(const std::string& what) {
  const std::lock_guard lock(mutex);
  std::string message = std::exchange(LastMessage(), {});
  return message.empty() ? what : what + ": " + message;
}

}  // namespace ingot
