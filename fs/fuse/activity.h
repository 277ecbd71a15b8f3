// SPDX-License-Identifier: BSD-3-Clause
// Who is serving a request right now, and how many of each kind were served.
//
// Each serving thread has a slot of its own, so that a request costs two stores in a line nobody
// else writes. WhileQuiescent() holds new requests back until those begun have ended: the moment
// that PageArray::Trim asks for. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

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
 public:
  Activity();
  ~Activity();
  Activity(const Activity&) = delete;

  // A request from its arrival to the last touch of the volume for it. One a thread at a time.
  class Busy {
   public:
    Busy(Activity& activity, Operation operation);
    ~Busy();
    Busy(const Busy&) = delete;

   private:
    std::atomic<bool>& busy_;
  };

  // Runs `action` while no request is being served. Not from within a request.
  void WhileQuiescent(const std::function<void()>& action);

  [[nodiscard]] std::array<uint64_t, kOperationCount> Counts() const;

 private:
  struct Slot;
  Slot& SlotOfThisThread();

  const uint64_t id_;  // tells activities apart even if one is made where another one was
  std::atomic<bool> paused_{false};
  std::mutex pause_mutex_;    // one pause at a time; never taken by a request
  mutable std::mutex mutex_;  // guards slots_, shortly: requests take it too
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace ingot
