// SPDX-License-Identifier: BSD-3-Clause
// A file descriptor that is closed at the end of its scope.
//
// Owns it; -1 is none. Move-only, not for two threads at once. Not for descriptors whose close may
// report an error that matters: it is lost.
#pragma once

#include <unistd.h>

#include <utility>

namespace ingot {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace ingot
