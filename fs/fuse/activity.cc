// SPDX-License-Identifier: BSD-3-Clause
// Slots, the pause, and the names of the operations.
#include "fs/fuse/activity.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace ingot {
namespace {

constexpr std::array<std::string_view, kOperationCount> kNames = {
    "lookup",
    "forget",
    "forget_multi",
    "getattr",
    "setattr",
    "statx",
    "readlink",
    "mknod",
    "mkdir",
    "symlink",
    "link",
    "unlink",
    "rmdir",
    "rename",
    "create",
    "tmpfile",
    "open",
    "release",
    "fsync",
    "read",
    "write",
    "fallocate",
    "lseek",
    "copy_file_range",
    "readdir",
    "readdirplus",
    "statfs",
    "setxattr",
    "getxattr",
    "listxattr",
    "removexattr",
    "ioctl",
};
static_assert(!kNames.back().empty());

std::atomic<uint64_t> next_id{1};

}  // namespace

std::string_view NameOf(Operation operation) {
  return kNames[static_cast<size_t>(operation)];
}

struct alignas(64) Activity::Slot {
  // Sequentially consistent: either this thread sees the pause, or the pausing thread sees it busy.
  void Enter() {
    if (is_shared) [[unlikely]] {
      busy.fetch_add(1);
    } else {
      busy.store(1);
    }
  }
  void Leave(std::memory_order order) {
    if (is_shared) [[unlikely]] {
      busy.fetch_sub(1, order);
    } else {
      busy.store(0, order);
    }
  }
  void Count(Operation operation) {
    std::atomic<uint64_t>& count = counts[static_cast<size_t>(operation)];
    if (is_shared) [[unlikely]] {
      count.fetch_add(1, std::memory_order_relaxed);
    } else {  // only this thread writes it, hence no read-modify-write
      count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
  }

  std::atomic<uint32_t> busy{0};  // threads that serve a request
  bool is_shared = false;
  std::array<std::atomic<uint64_t>, kOperationCount> counts{};
};

Activity::Activity(size_t threads)
    : id_(next_id.fetch_add(1)),
      own_slots_(threads),
      slots_(std::make_unique<Slot[]>(threads + 1)) {
  slots_[own_slots_].is_shared = true;
}
Activity::~Activity() = default;

std::span<Activity::Slot> Activity::slots() const {
  return {slots_.get(), own_slots_ + 1};
}

Activity::Slot& Activity::SlotOfThisThread() noexcept {
  thread_local uint64_t owner = 0;
  thread_local Slot* slot = nullptr;
  if (owner != id_) [[unlikely]] {
    // libfuse cancels its ring threads at the end, having woken them by other means too; a
    // handler must not be unwound in the middle.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    slot = &slots_[std::min(taken_slots_.fetch_add(1), own_slots_)];
    owner = id_;
  }
  return *slot;
}

Activity::Busy::Busy(Activity& activity, Operation operation) noexcept
    : slot_(activity.SlotOfThisThread()) {
  slot_.Enter();
  while (activity.paused_.load()) {
    slot_.Leave(std::memory_order_seq_cst);
    activity.paused_.wait(true);
    slot_.Enter();
  }
  slot_.Count(operation);
}

Activity::Busy::~Busy() {
  slot_.Leave(std::memory_order_release);
}

void Activity::WhileQuiescent(const std::function<void()>& action) {
  // Ends the pause however this ends: requests would wait for ever.
  struct Pause {
    explicit Pause(std::atomic<bool>& flag) : paused(flag) { paused.store(true); }
    ~Pause() {
      paused.store(false);
      paused.notify_all();
    }
    std::atomic<bool>& paused;
  };
  const std::lock_guard lock(pause_mutex_);
  const Pause pause(paused_);
  for (const Slot& slot : slots()) {
    while (slot.busy.load() != 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  action();
}

std::array<uint64_t, kOperationCount> Activity::Counts() const {
  std::array<uint64_t, kOperationCount> sums{};
  for (const Slot& slot : slots()) {
    for (size_t i = 0; i < kOperationCount; ++i) {
      sums[i] += slot.counts[i].load(std::memory_order_relaxed);
    }
  }
  return sums;
}

}  // namespace ingot
