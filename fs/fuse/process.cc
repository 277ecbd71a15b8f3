// SPDX-License-Identifier: BSD-3-Clause
// Limits, reclaim and signals; what the supervisor is told.
#include "fs/fuse/process.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <utility>

#include "pmemdev/base/log.h"
#include "pmemdev/base/thread.h"

#ifdef INGOT_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

namespace ingot {
namespace {

// Wakes the watch, to look whether it is to end.
constexpr int kEndOfWatch = SIGUSR2;

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, kEndOfWatch);
  return set;
}

}  // namespace

void PrepareProcess() {
  const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_FSIZE, &unlimited) != 0) log::Info("process: RLIMIT_FSIZE stays as it is");
  // Directory pools need one descriptor for each large file that is open.
  struct rlimit files {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
#ifdef PR_SET_IO_FLUSHER
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) log::Info("process: not marked as IO flusher");
#endif
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGIO, SIG_IGN);  // somebody on the host opens a file while a lease is tried
}

void NotifySupervisor() {
#ifdef INGOT_HAVE_SYSTEMD
  sd_notify(0, "READY=1");
#endif
}

Result<std::unique_ptr<SignalWatch>> SignalWatch::Start(std::function<void()> stop) {
  std::unique_ptr<SignalWatch> watch(new SignalWatch(std::move(stop)));
  watch->thread_ = TRY(StartThread([raw = watch.get()] { raw->Run(); }));
  return watch;
}

SignalWatch::SignalWatch(std::function<void()> stop) : stop_(std::move(stop)) {
  const sigset_t watched = WatchedSignals();
  pthread_sigmask(SIG_BLOCK, &watched, &before_);
}

SignalWatch::~SignalWatch() {
  ending_.store(true);
  if (thread_.joinable()) {
    pthread_kill(thread_.native_handle(), kEndOfWatch);
    thread_.join();
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void SignalWatch::Run() {
  pthread_setname_np(pthread_self(), "ingot-signals");
  const sigset_t watched = WatchedSignals();
  int signal = 0;
  while (sigwait(&watched, &signal) == 0 && !ending_.load()) {
    if (signal == kEndOfWatch) continue;  // somebody else's
    log::Info("stopping, signal={}", signal);
    stop_();
  }
}

}  // namespace ingot
