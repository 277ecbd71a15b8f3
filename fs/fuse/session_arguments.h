// SPDX-License-Identifier: BSD-3-Clause
// Mount options as libfuse wants them: an argument vector.
//
// Owns the vector. libfuse takes out of it what it understands and complains about the rest, so it
// is used once.
#pragma once

#include <string>

#include "fs/fuse/libfuse.h"
#include "fs/fuse/mount_options.h"

namespace ingot {

class SessionArguments {
 public:
  SessionArguments(const MountOptions& options, bool io_uring);
  ~SessionArguments() { fuse_opt_free_args(&arguments_); }
  SessionArguments(const SessionArguments&) = delete;

  [[nodiscard]] fuse_args* get() { return &arguments_; }

 private:
  void Add(const std::string& option);
  fuse_args arguments_{};
};

}  // namespace ingot
