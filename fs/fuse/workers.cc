// SPDX-License-Identifier: BSD-3-Clause
// The loop of a worker, its request buffer, and how sleepers are woken at the end.
#include "fs/fuse/workers.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"
#include "pmemdev/base/thread.h"

namespace ingot {
namespace {

using std::chrono::steady_clock;

// With so many spins in a row in vain, the next 1,023 requests are waited for asleep.
constexpr uint32_t kMaxSpinsInVain = 10;

// Only there to make read(2) return EINTR.
constexpr int kWakeSignal = SIGUSR1;

void InstallWakeSignal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(kWakeSignal, &action, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kWakeSignal);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// A request buffer whose write payload begins on a page: the kernel copies faster to there, and we
// from there. libfuse reads at most the maximal transfer and one page of headers; untouched pages
// cost address space only.
constexpr size_t kPage = 4096;
constexpr size_t kHeadersOfWrite = 80;  // fuse_in_header and fuse_write_in
constexpr size_t kSlackBytes = 64 << 10;

size_t BufferBytes(uint32_t max_transfer_bytes) {
  return max_transfer_bytes + kSlackBytes;
}

fuse_buf BufferIn(char* memory, uint32_t max_transfer_bytes) {
  fuse_buf buffer{};
  buffer.mem = memory + kPage - kHeadersOfWrite;
  buffer.size = BufferBytes(max_transfer_bytes) - kPage;
  return buffer;
}

}  // namespace

Workers::Workers(fuse_session* session, const Options& options)
    : session_(session), options_(options), descriptor_(fuse_session_fd(session)) {
  threads_.reserve(options_.max_threads);
  running_.reserve(options_.max_threads + 1);
}

Workers::~Workers() {
  for (std::thread& thread : threads_) thread.join();
}

int Workers::Run() {
  InstallWakeSignal();
  Memory memory = MakeMemory();
  if (memory == nullptr) return ENOMEM;
  alive_.fetch_add(1);
  Work(std::move(memory));
  // The first one to leave ends the session; the others may sleep in read(2) of a mount that lives.
  Stop();
  return error_.load();
}

void Workers::Stop() {
  fuse_session_exit(session_);
  std::unique_lock lock(mutex_);
  const pthread_t self = pthread_self();
  const auto is_self = [&](const Worker* worker) {
    return pthread_equal(worker->thread, self) != 0;
  };
  while (!std::all_of(running_.begin(), running_.end(), is_self)) {
    for (const Worker* worker : running_) {
      // Not while it serves: the request's own system calls are not to fail.
      if (!is_self(worker) && worker->reading.load()) pthread_kill(worker->thread, kWakeSignal);
    }
    // Again and again: a signal that came just before read(2) was entered is lost.
    gone_.wait_for(lock, std::chrono::milliseconds(5));
  }
}

Workers::Memory Workers::MakeMemory() const {
  return Memory(std::aligned_alloc(kPage, BufferBytes(options_.max_transfer_bytes)));
}

void Workers::Work(Memory memory) {
  pthread_setname_np(pthread_self(), "ingot-worker");
  InstallWakeSignal();
  Worker self{pthread_self()};
  {
    const std::lock_guard lock(mutex_);
    running_.push_back(&self);
  }
  fuse_buf buffer = BufferIn(static_cast<char*>(memory.get()), options_.max_transfer_bytes);
  while (fuse_session_exited(session_) == 0 && ServeOne(self, buffer)) {
  }
  fuse_session_exit(session_);
  const std::lock_guard lock(mutex_);
  std::erase(running_, &self);
  gone_.notify_all();
}

bool Workers::ServeOne(Worker& self, fuse_buf& buffer) {
  self.reading.store(true);
  waiting_.fetch_add(1, std::memory_order_relaxed);
  if (options_.spin_us != 0) Spin(self);
  const int received = fuse_session_receive_buf(session_, &buffer);
  const uint32_t others = waiting_.fetch_sub(1, std::memory_order_relaxed) - 1;
  self.reading.store(false);
  if (received == -EINTR || received == -EAGAIN) return true;
  if (received <= 0) {
    if (received < 0) error_.store(-received);
    return false;
  }
  if (others == 0 && alive_.load(std::memory_order_relaxed) < options_.max_threads &&
      !may_not_grow_.load(std::memory_order_relaxed)) {
    StartOneMore();
  }
  fuse_session_process_buf(session_, &buffer);
  return true;
}

void Workers::StartOneMore() {
  if (alive_.fetch_add(1) >= options_.max_threads) {
    alive_.fetch_sub(1);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (fuse_session_exited(session_) != 0) return;
  Result<std::thread> started = Failure(ENOMEM);
  if (Memory memory = MakeMemory(); memory != nullptr) {
    started =
        StartThread([this, memory = std::move(memory)]() mutable { Work(std::move(memory)); });
  }
  if (started) {
    threads_.push_back(std::move(*started));
    return;
  }
  // Those that there are do it; the limit is not asked again at each request.
  alive_.fetch_sub(1);
  if (!may_not_grow_.exchange(true)) {
    log::Warning("workers: no further thread, threads={} error={}", alive_.load(),
                 ErrnoName(started.error().code));
  }
}

void Workers::Spin(Worker& self) const {
  if (self.spins_to_skip > 0) {
    --self.spins_to_skip;
    return;
  }
  // One is enough: two would take the CPU from the program that is to send the request.
  if (somebody_spins_.exchange(true, std::memory_order_relaxed)) return;
  const auto end = steady_clock::now() + std::chrono::microseconds(options_.spin_us);
  struct pollfd poll_entry {
    descriptor_, POLLIN, 0
  };
  bool found = false;
  do {
    found = poll(&poll_entry, 1, 0) != 0;
    // That program may wait for this very CPU.
    if (!found) sched_yield();
  } while (!found && steady_clock::now() < end);
  somebody_spins_.store(false, std::memory_order_relaxed);
  if (found || !options_.adaptive_spin) {
    self.spins_in_vain = 0;
    return;
  }
  self.spins_in_vain = std::min(self.spins_in_vain + 1, kMaxSpinsInVain);
  self.spins_to_skip = (1U << self.spins_in_vain) - 1;
}

}  // namespace ingot
