// SPDX-License-Identifier: BSD-3-Clause
// A block device that nobody else uses: neither a mount, in whatever namespace, nor swap, LVM or
// another program that claims it.
//
// Owns the descriptor and with it the claim, which a crash gives up. Programs that are to work on
// the device claim it themselves, so it is released before they run.
#pragma once

#include <chrono>
#include <string>

#include "pmemdev/base/result.h"

namespace ingot::admin {

class HostClaim {
 public:
  // For writing, or only to keep others away. Waits for the daemon of a mount that is gone, up to
  // `wait`. EBUSY, with where it is mounted if that can be seen; EINVAL: no block device; ENOENT,
  // EACCES, EROFS ...
  static Result<HostClaim> Take(const std::string& device, bool read_only = false,
                                std::chrono::milliseconds wait = std::chrono::seconds(30));
  ~HostClaim();
  HostClaim(HostClaim&& other) noexcept;
  HostClaim(const HostClaim&) = delete;
  HostClaim& operator=(const HostClaim&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }

 private:
  HostClaim(int fd, uint64_t size_bytes) : fd_(fd), size_bytes_(size_bytes) {}
  int fd_;
  uint64_t size_bytes_;
};

// Where the device, a whole pool or any other filesystem, is mounted in this namespace; empty:
// nowhere.
[[nodiscard]] std::string MountpointOfDevice(const std::string& device);

}  // namespace ingot::admin
