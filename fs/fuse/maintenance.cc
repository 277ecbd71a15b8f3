// SPDX-License-Identifier: BSD-3-Clause
// One thread: recovery first, then a look at the budget twice a second.
#include "fs/fuse/maintenance.h"

#include <pthread.h>

#include <chrono>

#include "pmemdev/base/log.h"
#include "pmemdev/base/thread.h"

namespace ingot {
namespace {

constexpr auto kBudgetCheckEvery = std::chrono::milliseconds(500);

}  // namespace

Result<std::unique_ptr<Maintenance>> Maintenance::Start(Volume& volume, Activity& activity) {
  std::unique_ptr<Maintenance> maintenance(new Maintenance(volume, activity));
  maintenance->thread_ = TRY(StartThread([raw = maintenance.get()] { raw->Run(); }));
  return maintenance;
}

Maintenance::Maintenance(Volume& volume, Activity& activity)
    : volume_(volume), activity_(activity) {}

Maintenance::~Maintenance() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  thread_.join();
}

void Maintenance::RecoverOrphans() {
  if (!volume_.core().CheckWritable()) return;
  const auto recovered = NoThrow([&] { return volume_.orphans().Recover(stop_); });
  if (!recovered) {
    log::Failed("recovery of orphans stopped, error={} reason=\"{}\"",
                ErrnoName(recovered.error().code), recovered.error().context);
  } else if (*recovered != 0) {
    log::Info("recovered orphans, count={}", *recovered);
  }
}

bool Maintenance::SleepUnlessStopped() {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, kBudgetCheckEvery, [this] { return stop_.load(); });
}

void Maintenance::Run() {
  pthread_setname_np(pthread_self(), "ingot-upkeep");
  RecoverOrphans();
  PageArray& pages = volume_.device().page_array();
  // A page array on the device never is over its budget, and needs no thread.
  if (pages.placement() == PageArrayPlacement::kDevice) return;
  while (SleepUnlessStopped()) {
    if (!pages.over_budget()) continue;
    // Without memory for that, at the next look.
    (void)NoThrow([&]() -> Result<void> {
      activity_.WhileQuiescent([&] { pages.Trim(); });
      return {};
    });
  }
}

}  // namespace ingot
