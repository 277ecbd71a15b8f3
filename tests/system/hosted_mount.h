// SPDX-License-Identifier: BSD-3-Clause
// The daemon's session in this very process, on a pool in memory: so that a test can harm the
// mapping that the daemon serves from, while other threads use the mount.
//
// Owns the volume, the mount point (a new folder) and the threads; its end unmounts. Whoever uses
// the mount does so from other threads than the session's, and is done before the end.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "fs/core/volume.h"
#include "fs/fuse/session.h"

namespace ingot::tests {

class HostedMount {
 public:
  // EOPNOTSUPP: the kernel offers no io_uring. EPERM, ENOENT ...: no mounts here.
  static Result<std::unique_ptr<HostedMount>> Start(std::unique_ptr<Volume> volume,
                                                    bool through_io_uring);
  ~HostedMount();
  HostedMount(const HostedMount&) = delete;

  [[nodiscard]] Volume& volume() { return *volume_; }
  [[nodiscard]] Session& session() { return *session_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // `ingot status` of the mount, as it comes.
  [[nodiscard]] std::string Status() const;
  // Ends the mount; the volume lives on.
  void Unmount();

 private:
  HostedMount() = default;

  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Session> session_;
  std::string path_;
  std::thread server_;
};

// Lets the kernel offer io_uring to FUSE as long as it lives; the switch is put back.
class IoUringSwitch {
 public:
  IoUringSwitch();
  ~IoUringSwitch();
  IoUringSwitch(const IoUringSwitch&) = delete;
  [[nodiscard]] bool is_on() const { return is_on_; }

 private:
  std::string before_;
  bool is_on_ = false;
};

}  // namespace ingot::tests
