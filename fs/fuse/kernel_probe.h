// SPDX-License-Identifier: BSD-3-Clause
// The kernel's own word on FUSE passthrough, before there is a mount: a connection that serves
// nothing, mounted nowhere, is taken through the handshake and asked to take a file as backing.
//
// Owns the connection; its end leaves nothing. For `ingot doctor`, and for the session of a
// directory pool, whose own connection takes no file before it serves requests.
#pragma once

#include <cstdint>
#include <string>

#include "fs/core/types.h"
#include "pmemdev/base/result.h"

namespace ingot {

class KernelProbe {
 public:
  // EPERM: no CAP_SYS_ADMIN; ENOENT, ENODEV: no FUSE; EPROTO: a kernel that speaks otherwise.
  static Result<KernelProbe> Open();
  ~KernelProbe();
  KernelProbe(KernelProbe&& other) noexcept;
  KernelProbe(const KernelProbe&) = delete;
  KernelProbe& operator=(const KernelProbe&) = delete;

  [[nodiscard]] uint32_t protocol_minor() const { return protocol_minor_; }
  [[nodiscard]] bool offers_passthrough() const { return offers_passthrough_; }
  [[nodiscard]] bool offers_io_uring() const { return offers_io_uring_; }
  // Would it take this regular file? ELOOP: its filesystem is stacked on another; EPERM: no
  // CAP_SYS_ADMIN; EOPNOTSUPP: no passthrough, or files of another kind.
  Result<void> TakesBackingFile(int fd) const;

 private:
  KernelProbe(int device, int context) : device_(device), context_(context) {}
  Result<void> Handshake();

  int device_;
  int context_;
  uint32_t protocol_minor_ = 0;
  bool offers_passthrough_ = false;
  bool offers_io_uring_ = false;
};

// The library that is loaded.
struct LibfuseFacts {
  std::string version;
  bool has_passthrough = false;
};
[[nodiscard]] LibfuseFacts LookAtLibfuse();

// Why files of a directory pool are not mapped directly, for people; empty: they are.
[[nodiscard]] std::string WhyNotDirect(DirectMode direct, bool kernel_offers_passthrough,
                                       bool has_sys_admin);

// Why the kernel passes none of the files through that lie where this one does; empty: it does, or
// can't be asked, and the first open will tell.
[[nodiscard]] std::string WhyHostIsRefused(int fd);
// The same in words, for the error that the kernel gave.
[[nodiscard]] std::string DescribeRefusal(int code);

}  // namespace ingot
