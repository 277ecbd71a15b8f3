// SPDX-License-Identifier: BSD-3-Clause
// Work beside the requests, on a thread of its own: frees the orphans that the last mount left,
// then keeps the page array's DRAM under its budget. Stopped and joined by the destructor; a
// crash leaves orphans for the next mount.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "fs/core/volume.h"
#include "fs/fuse/activity.h"

namespace ingot {

class Maintenance {
 public:
  // EAGAIN, ENOMEM: no thread.
  static Result<std::unique_ptr<Maintenance>> Start(Volume& volume, Activity& activity);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;

 private:
  Maintenance(Volume& volume, Activity& activity);
  void Run();
  void RecoverOrphans();
  bool SleepUnlessStopped();

  Volume& volume_;
  Activity& activity_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace ingot
