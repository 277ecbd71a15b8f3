// SPDX-License-Identifier: BSD-3-Clause
// The threads that read requests from /dev/fuse and serve them.
//
// Not libfuse's own loop, because that takes a mutex twice a request, cancels threads, and leaves
// no place for a short spin. All threads sleep in read(2), where the kernel wakes one for each
// request; one more is made when a request was taken and nobody waits for the next. They live
// until the session ends.
#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fs/fuse/libfuse.h"

namespace ingot {

class Workers {
 public:
  struct Options {
    uint32_t max_threads = 4;
    uint32_t spin_us = 0;
    bool adaptive_spin = false;  // pause the spinning while it finds nothing
    uint32_t max_transfer_bytes = 1 << 20;
  };
  Workers(fuse_session* session, const Options& options);
  ~Workers();

  // Serves on this thread too, until the session has ended. 0 or the errno value that ended it.
  int Run();
  // Wakes all threads out of read(2), again and again until they have left. From any thread.
  void Stop();
  [[nodiscard]] uint32_t count() const { return alive_.load(std::memory_order_relaxed); }

 private:
  // A serving thread; lives on its stack.
  struct Worker {
    pthread_t thread;
    std::atomic<bool> reading{false};  // in read(2), or about to be
    uint32_t spins_in_vain = 0;        // in a row
    uint32_t spins_to_skip = 0;
  };

  // A request's buffer. Made by whoever starts the thread, because that one can do without it.
  struct FreeMemory {
    void operator()(void* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<void, FreeMemory>;
  [[nodiscard]] Memory MakeMemory() const;
  void Work(Memory memory);
  // False: the session is over.
  bool ServeOne(Worker& self, fuse_buf& buffer);
  void StartOneMore();
  void Spin(Worker& self) const;

  fuse_session* const session_;
  const Options options_;
  const int descriptor_;
  std::atomic<uint32_t> alive_{0};
  std::atomic<uint32_t> waiting_{0};  // threads in read(2), or about to be
  std::atomic<bool> may_not_grow_{false};  // the system gave no further thread
  std::atomic<int> error_{0};
  mutable std::atomic<bool> somebody_spins_{false};

  std::mutex mutex_;  // guards the rest
  std::condition_variable gone_;
  std::vector<std::thread> threads_;
  std::vector<Worker*> running_;
};

}  // namespace ingot
