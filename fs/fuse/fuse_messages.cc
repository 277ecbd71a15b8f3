// SPDX-License-Identifier: BSD-3-Clause
// libfuse's log function, and the last error that came through it.
#include "fs/fuse/fuse_messages.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string_view>

#include "fs/fuse/libfuse.h"
#include "pmemdev/base/log.h"
#include "pmemdev/base/result.h"

namespace ingot {
namespace {

std::mutex mutex;
std::string& LastMessage() {
  static auto& message = *new std::string;
  return message;
}

// Called from within libfuse, at any time, also to say that it has no memory.
void Collect(enum fuse_log_level level, const char* format, va_list arguments) noexcept {
  char text[512] = "";
  std::vsnprintf(text, sizeof(text), format, arguments);
  std::string_view line(text);
  while (line.ends_with('\n')) line.remove_suffix(1);
  if (line.starts_with("fuse: ")) line.remove_prefix(6);
  if (level <= FUSE_LOG_ERR) {
    const std::lock_guard lock(mutex);
    (void)NoThrow([&]() -> Result<void> {
      LastMessage() = line;
      return {};
    });
  }
  log::Info("libfuse: {}", line);
}

}  // namespace

void CollectFuseMessages() {
  (void)LastMessage();  // made here, not within libfuse
  fuse_set_log_func(&Collect);
}

std::string TakeFuseMessage(const std::string& what) {
  const std::lock_guard lock(mutex);
  std::string message = std::exchange(LastMessage(), {});
  return message.empty() ? what : what + ": " + message;
}

}  // namespace ingot
