// SPDX-License-Identifier: BSD-3-Clause
// Who is serving a request right now, and how many of each kind were served.
//
// Each serving thread has a slot of its own, so that a request costs two stores in a line nobody
// else writes. All slots are made ahead, because a thread can't be refused one: the kernel's FORGET
// and RELEASE come once, and an error in reply to them is heard by nobody. WhileQuiescent() holds
// new requests back until those begun have ended: the moment that PageArray::Trim asks for.
// Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

namespace ingot {

enum class Operation : uint8_t {
  kLookup,
  kForget,
  kForgetMulti,
  kGetattr,
  kSetattr,
  kStatx,
  kReadlink,
  kMknod,
  kMkdir,
  kSymlink,
  kLink,
  kUnlink,
  kRmdir,
  kRename,
  kCreate,
  kTmpfile,
  kOpen,
  kRelease,
  kFsync,
  kRead,
  kWrite,
  kFallocate,
  kLseek,
  kCopyFileRange,
  kReaddir,
  kReaddirplus,
  kStatfs,
  kSetxattr,
  kGetxattr,
  kListxattr,
  kRemovexattr,
  kIoctl,
};
inline constexpr size_t kOperationCount = static_cast<size_t>(Operation::kIoctl) + 1;
[[nodiscard]] std::string_view NameOf(Operation operation);

class Activity {
 private:
  struct Slot;

 public:
  // Slots for that many threads; those that come later share one more. (Threads are libfuse's own
  // where requests come through io_uring, and newer ones may make more of them.)
  explicit Activity(size_t threads);
  ~Activity();
  Activity(const Activity&) = delete;

  // A request from its arrival to the last touch of the volume for it. One a thread at a time.
  // Needs no memory.
  class Busy {
   public:
    Busy(Activity& activity, Operation operation) noexcept;
    ~Busy();
    Busy(const Busy&) = delete;

   private:
    Slot& slot_;
  };

  // Runs `action` while no request is being served. Not from within a request.
  void WhileQuiescent(const std::function<void()>& action);

  [[nodiscard]] std::array<uint64_t, kOperationCount> Counts() const;

 private:
  Slot& SlotOfThisThread() noexcept;
  [[nodiscard]] std::span<Slot> slots() const;

  const uint64_t id_;  // tells activities apart even if one is made where another one was
  const size_t own_slots_;
  const std::unique_ptr<Slot[]> slots_;  // the shared one last
  std::atomic<size_t> taken_slots_{0};
  std::atomic<bool> paused_{false};
  std::mutex pause_mutex_;  // one pause at a time; never taken by a request
};

}  // namespace ingot
