// SPDX-License-Identifier: BSD-3-Clause
// What a process that serves a filesystem sets up about itself: limits, memory reclaim, signals.
//
// Concerns the whole process, so only a daemon calls it, once. Tests that serve a session inside
// their own process leave it alone.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <thread>

#include "pmemdev/base/result.h"

namespace ingot {

// No limit on file sizes (or a host file's growth is SIGXFSZ), reclaim that doesn't wait for our
// own mount, SIGPIPE and SIGHUP ignored. What needs privileges is left out without them.
void PrepareProcess();

// Tells systemd, if it started us, that the mount is ready.
void NotifySupervisor();

// While it lives, SIGTERM and SIGINT call `stop` on a thread of its own. To be made before any
// other thread, which inherit that these signals are blocked.
class SignalWatch {
 public:
  // EAGAIN, ENOMEM: no thread.
  static Result<std::unique_ptr<SignalWatch>> Start(std::function<void()> stop);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;

 private:
  explicit SignalWatch(std::function<void()> stop);
  void Run();
  std::function<void()> stop_;
  std::atomic<bool> ending_{false};
  sigset_t before_{};
  std::thread thread_;
};

}  // namespace ingot
