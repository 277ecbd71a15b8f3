// SPDX-License-Identifier: BSD-3-Clause
// Slots, the pause, and the names of the operations.
#include "fs/fuse/activity.h"

#include <pthread.h>

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
  std::atomic<bool> busy{false};
  std::array<std::atomic<uint64_t>, kOperationCount> counts{};
};

Activity::Activity() : id_(next_id.fetch_add(1)) {}
Activity::~Activity() = default;

Activity::Slot& Activity::SlotOfThisThread() {
  thread_local uint64_t owner = 0;
  thread_local Slot* slot = nullptr;
  if (owner != id_) [[unlikely]] {
    // libfuse cancels its ring threads at the end, having woken them by other means too; a
    // handler must not be unwound in the middle.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    auto made = std::make_unique<Slot>();
    Slot* const raw = made.get();
    const std::lock_guard lock(mutex_);
    slots_.push_back(std::move(made));
    slot = raw;
    owner = id_;
  }
  return *slot;
}

Activity::Busy::Busy(Activity& activity, Operation operation)
    : busy_(activity.SlotOfThisThread().busy) {
  // Sequentially consistent on both sides: either this thread sees the pause, or the pausing thread
  // sees it busy.
  busy_.store(true);
  while (activity.paused_.load()) {
    busy_.store(false);
    activity.paused_.wait(true);
    busy_.store(true);
  }
  // Only this thread writes the count, hence no read-modify-write.
  std::atomic<uint64_t>& count = activity.SlotOfThisThread().counts[static_cast<size_t>(operation)];
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

Activity::Busy::~Busy() {
  busy_.store(false, std::memory_order_release);
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
  // A thread whose slot comes later than this list looks at paused_ after it has said it is busy.
  std::vector<Slot*> slots;
  {
    const std::lock_guard lock_slots(mutex_);
    for (const auto& slot : slots_) slots.push_back(slot.get());
  }
  for (const Slot* slot : slots) {
    while (slot->busy.load()) std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  action();
}

std::array<uint64_t, kOperationCount> Activity::Counts() const {
  std::array<uint64_t, kOperationCount> sums{};
  const std::lock_guard lock(mutex_);
  for (const auto& slot : slots_) {
    for (size_t i = 0; i < kOperationCount; ++i) {
      sums[i] += slot->counts[i].load(std::memory_order_relaxed);
    }
  }
  return sums;
}

}  // namespace ingot
