// SPDX-License-Identifier: BSD-3-Clause
// Work beside the requests, on a thread of its own: frees the orphans that the last mount left,
// keeps the page array's DRAM under its budget, and, in directory pools, deletes the backing files
// that nobody has any more and gives free huge pages back to the host. Stopped and joined by the
// destructor; a crash leaves all that to the next mount.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "fs/core/volume.h"
#include "fs/fuse/activity.h"

namespace ingot {

class Maintenance {
 public:
  // Nothing is changed while `may_write` says no: a mount that was made read-only, or shut down.
  // EAGAIN, ENOMEM: no thread.
  static Result<std::unique_ptr<Maintenance>> Start(Volume& volume, Activity& activity,
                                                    std::function<bool()> may_write);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;

 private:
  Maintenance(Volume& volume, Activity& activity, std::function<bool()> may_write);
  void Run();
  void RecoverOrphans();
  void KeepUpMeanwhile();
  // Until something is to be done, but not longer than a tick. False: the thread is to end.
  bool SleepUnlessStopped();
  void Wake();
  [[nodiscard]] bool MayWrite();

  // In directory pools.
  void KeepBackingFiles();
  void ReleaseHostSpace();
  // A part of it: true if there is more to do at once.
  bool CompletePieces();

  Volume& volume_;
  Activity& activity_;
  const std::function<bool()> may_write_;
  bool has_orphans_ = true;         // that the last mount left, as far as is known
  uint32_t quiet_ticks_ = 0;        // so long upkeep is left alone, after it failed
  int upkeep_error_ = 0;            // the last one's, 0: it worked
  std::chrono::steady_clock::time_point next_upkeep_;  // while recovery goes on
  bool can_release_ = true;         // the host takes space back
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  bool woken_ = false;  // under mutex_
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace ingot
