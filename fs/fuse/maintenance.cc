// SPDX-License-Identifier: BSD-3-Clause
// One thread: what the last mount left first, then a look twice a second, or when it is woken.
#include "fs/fuse/maintenance.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "fs/core/piece_completion.h"
#include "pmemdev/base/log.h"
#include "pmemdev/base/thread.h"

namespace ingot {
namespace {

constexpr auto kTick = std::chrono::milliseconds(500);
// After a failure of the host, which may last: eight seconds.
constexpr uint32_t kTicksAfterFailure = 16;
// Huge pages that stay allocated for what must work on a full host.
constexpr uint32_t kHostReserveHugePages = 4;

}  // namespace

Result<std::unique_ptr<Maintenance>> Maintenance::Start(Volume& volume, Activity& activity,
                                                        std::function<bool()> may_write) {
  std::unique_ptr<Maintenance> maintenance(
      new Maintenance(volume, activity, std::move(may_write)));
  if (BackingFiles* const backing = volume.core().backing.get()) {
    backing->set_waker([raw = maintenance.get()] { raw->Wake(); });
  }
  maintenance->thread_ = TRY(StartThread([raw = maintenance.get()] { raw->Run(); }));
  return maintenance;
}

Maintenance::Maintenance(Volume& volume, Activity& activity, std::function<bool()> may_write)
    : volume_(volume), activity_(activity), may_write_(std::move(may_write)) {}

Maintenance::~Maintenance() {
  if (BackingFiles* const backing = volume_.core().backing.get()) backing->set_waker({});
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  thread_.join();
}

void Maintenance::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

bool Maintenance::MayWrite() {
  return !stop_.load() && may_write_() && volume_.core().CheckWritable().has_value();
}

// Held up while the mount is read-only, it goes on where it is written to again.
// Recovery may have much to move; the rest must not wait for it.
void Maintenance::KeepUpMeanwhile() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_upkeep_) return;
  next_upkeep_ = now + kTick;
  if (quiet_ticks_ != 0) {
    --quiet_ticks_;
  } else {
    KeepBackingFiles();
  }
  ReleaseHostSpace();
}

void Maintenance::RecoverOrphans() {
  if (!has_orphans_ || !MayWrite()) return;
  has_orphans_ = false;
  const auto recovered = NoThrow([&] {
    return volume_.orphans().Recover([this] {
      const bool may = MayWrite();
      has_orphans_ = has_orphans_ || !may;
      if (may) KeepUpMeanwhile();
      return may;
    });
  });
  if (!recovered) {
    // It isn't tried again in this mount.
    if (BackingFiles* const backing = volume_.core().backing.get()) backing->EndDemotion();
    log::Failed("recovery of orphans stopped, error={} reason=\"{}\"",
                ErrnoName(recovered.error().code), recovered.error().context);
  } else if (*recovered != 0) {
    log::Info("recovered inodes, count={}", *recovered);
  }
}

void Maintenance::KeepBackingFiles() {
  if (volume_.core().backing == nullptr || !MayWrite()) return;
  const Result<void> kept = NoThrow([&] { return volume_.core().backing->Upkeep(); });
  quiet_ticks_ = kept ? 0 : kTicksAfterFailure;
  if (kept.error_code() == std::exchange(upkeep_error_, kept.error_code()) || kept) return;
  log::Warning("event=upkeep_failed error={} reason=\"{}\"", ErrnoName(kept.error().code),
               kept.error().context);
}

void Maintenance::ReleaseHostSpace() {
  if (volume_.core().backing == nullptr || !can_release_) return;
  while (MayWrite()) {
    const Result<bool> more = NoThrow(
        [&] { return volume_.core().allocator->ReleaseFreeHugePages(kHostReserveHugePages); });
    if (more && *more) continue;
    const int code = more.error_code();
    if (code == 0 || code == ENOMEM || code == ENOSPC || code == EROFS) return;
    // A host without holes has none the next time either, and a failing one is left alone.
    can_release_ = false;
    log::Warning("event=host_space_kept error={} reason=\"{}\"", ErrnoName(code),
                 more.error().context);
    return;
  }
}

bool Maintenance::CompletePieces() {
  if (volume_.core().backing == nullptr) return false;
  // Without memory for that, at the next look.
  const Result<bool> more = NoThrow(
      [this] { return volume_.data().completion().Work([this] { return MayWrite(); }); });
  return more && *more;
}

bool Maintenance::SleepUnlessStopped() {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, kTick, [this] { return stop_.load() || woken_; });
  // What failed is not tried again for each file that somebody deletes.
  if (!woken_ && quiet_ticks_ != 0) --quiet_ticks_;
  woken_ = false;
  return !stop_.load();
}

void Maintenance::Run() {
  pthread_setname_np(pthread_self(), "ingot-upkeep");
  KeepBackingFiles();
  RecoverOrphans();
  PageArray& pages = volume_.device().page_array();
  // A page array on the device never is over its budget, a device pool has nothing to give back.
  const bool is_idle = pages.placement() == PageArrayPlacement::kDevice &&
                       volume_.core().backing == nullptr;
  // For good, if the volume was opened so.
  has_orphans_ = has_orphans_ && volume_.core().CheckWritable().has_value();
  do {
    RecoverOrphans();
    if (is_idle && !has_orphans_) return;
    if (is_idle) continue;
    if (quiet_ticks_ == 0) KeepBackingFiles();
    ReleaseHostSpace();
    if (CompletePieces()) Wake();
    if (!pages.over_budget()) continue;
    // Without memory for that, at the next look.
    (void)NoThrow([&]() -> Result<void> {
      activity_.WhileQuiescent([&] { pages.Trim(); });
      return {};
    });
  } while (SleepUnlessStopped());
}

}  // namespace ingot
