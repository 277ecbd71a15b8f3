// SPDX-License-Identifier: BSD-3-Clause
// A volume under a mount point: libfuse's session, its mount, and what its requests share.
//
// Borrows the volume. Serve() runs on the caller's thread and on threads of its own until the
// mount is gone or Stop() was called. No state here that could not be made again after a restart:
// neither handles nor node numbers are pointers. A crash loses nothing that was answered.
#pragma once

#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <string>

#include "fs/core/volume.h"
#include "fs/fuse/activity.h"
#include "fs/fuse/capabilities.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/mount_options.h"
#include "fs/fuse/passthrough.h"
#include "fs/fuse/workers.h"

namespace ingot {

class Session {
 public:
  // EINVAL: an option that libfuse doesn't take.
  static Result<std::unique_ptr<Session>> Create(Volume& volume, const MountOptions& options);
  ~Session();
  Session(const Session&) = delete;

  // EPERM, ENOENT (no /dev/fuse) and others, with libfuse's own words.
  Result<void> Mount();
  // Instead of Mount(), for tests: requests come and replies go through `io`, whose owner plays the
  // kernel. `descriptor`, which `io` is given, becomes the session's. EOPNOTSUPP: a libfuse without
  // custom io.
  Result<void> Attach(const fuse_custom_io& io, int descriptor);
  // Answers FUSE_INIT, calls `ready`, serves. EIO: the connection failed.
  Result<void> Serve(const std::function<void()>& ready);
  // Ends Serve() soon; requests begun are answered. From any thread.
  void Stop();
  void Unmount();

  [[nodiscard]] Volume& volume() { return volume_; }
  [[nodiscard]] const MountOptions& options() const { return options_; }
  [[nodiscard]] Activity& activity() { return activity_; }
  [[nodiscard]] const Negotiated& negotiated() const { return negotiated_; }
  [[nodiscard]] fuse_session* raw() { return session_; }
  // Null in device pools.
  [[nodiscard]] Passthrough* passthrough() { return passthrough_.get(); }
  // How long the kernel may keep them: as AttributeTimeout, but as long as for others where nobody
  // has mapped the backed file for writing (rule B7).
  [[nodiscard]] double AttributeTimeoutOf(const Attributes& attributes) const;
  // The kernel gives lookup references back.
  void Forget(InodeNumber inode, uint64_t count) noexcept;
  // Ends a handle that was counted when it was opened.
  void CloseHandle(InodeNumber inode, uint64_t handle) noexcept;
  [[nodiscard]] time_t started() const { return started_; }
  [[nodiscard]] uint32_t threads() const;
  [[nodiscard]] uint32_t spin_us() const;

  // Access times are the daemon's own stores, which the kernel's remount to read-only doesn't stop:
  // `ingot mount -o remount` says so through the attribute user.ingot.remount.
  void StopAtimes(bool stop);
  void TouchAtime(InodeNumber inode);
  // False while the mount is read-only or shut down: maintenance holds still then, too.
  [[nodiscard]] bool may_change_by_itself() const {
    return !is_shut_down() && !atimes_stopped_.load(std::memory_order_relaxed);
  }

  // FS_IOC_SHUTDOWN: from now on everything is EIO, as if the machine had stopped.
  void ShutDown();
  [[nodiscard]] bool is_shut_down() const { return shut_down_.load(std::memory_order_relaxed); }
  // Logs, at most a few lines a second.
  void NoteFailure(Operation operation, const Error& error);
  // Makes the kernel ask for the inode's attributes again: after changes it doesn't know of.
  void InvalidateAttributes(InodeNumber inode);

 private:
  Session(Volume& volume, const MountOptions& options);
  static void Init(void* self, fuse_conn_info* connection) noexcept;
  void MakeWorkers();
  Result<void> AnswerInit();
  Result<void> StartPassthrough();
  Result<void> ServeThroughRings();
  [[nodiscard]] bool WantsIoUring() const;

  Volume& volume_;
  const MountOptions options_;
  Activity activity_;
  Negotiated negotiated_;
  Result<void> init_result_;  // ENOMEM: negotiated by half
  fuse_session* session_ = nullptr;
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<Passthrough> passthrough_;
  std::atomic<Workers*> serving_{nullptr};  // `workers_` once they run: for Stop()
  std::atomic<bool> initialised_{false};
  std::atomic<bool> shut_down_{false};
  std::atomic<bool> atimes_stopped_{false};
  std::atomic<int64_t> failures_until_{0};  // second of the last logged failures
  std::atomic<uint32_t> failures_{0};
  time_t started_ = 0;
};

}  // namespace ingot
