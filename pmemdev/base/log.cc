// SPDX-License-Identifier: BSD-3-Clause
// The log by spdlog. The logger is replaced as a whole under a mutex, so that a writer holds the
// old one alive; the threshold is an atomic of its own, so that Enabled() costs one load.
#include "pmemdev/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace ingot::log {
namespace {

// Until somebody chooses: what goes wrong is said, the rest isn't.
std::atomic<Level> threshold_now{Level::kWarning};

struct Target {
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger;
};

// Never destroyed: threads may log while the process ends.
Target& TheTarget() {
  static auto& target = *new Target;
  return target;
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

void Replace(spdlog::sink_ptr sink, Level threshold) {
  auto logger = std::make_shared<spdlog::logger>("ingot", std::move(sink));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l: %v");
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  Target& target = TheTarget();
  const std::lock_guard lock(target.mutex);
  target.logger = std::move(logger);
  threshold_now.store(threshold, std::memory_order_relaxed);
}

std::shared_ptr<spdlog::logger> CurrentLogger() {
  Target& target = TheTarget();
  {
    const std::lock_guard lock(target.mutex);
    if (target.logger != nullptr) return target.logger;
  }
  ToStderr(threshold_now.load(std::memory_order_relaxed));
  const std::lock_guard lock(target.mutex);
  return target.logger;
}

}  // namespace

void ToStderr(Level threshold) {
  Replace(std::make_shared<spdlog::sinks::stderr_sink_mt>(), threshold);
}

void ToFile(const std::string& path, Level threshold) {
  try {
    Replace(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path), threshold);
  } catch (const spdlog::spdlog_ex& error) {
    ToStderr(threshold);
    Warning("log: cannot open file, path={} reason=\"{}\"", path, error.what());
  }
}

bool Enabled(Level level) {
  return level >= threshold_now.load(std::memory_order_relaxed);
}

void Write(Level level, std::string_view line) {
  if (!Enabled(level)) return;
  CurrentLogger()->log(ToSpdlog(level), fmt::string_view(line.data(), line.size()));
}

}  // namespace ingot::log
