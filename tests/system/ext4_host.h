// SPDX-License-Identifier: BSD-3-Clause
// An ext4 in a file, mounted over a loop device, for tests of what such a host does.
//
// Unmounted and deleted at its end, whatever happened. Not thread-safe.
#pragma once

#include <string>

namespace ingot::tests {

class Ext4Host {
 public:
  // `features`: further options of mkfs.ext4.
  explicit Ext4Host(const std::string& features);
  ~Ext4Host();
  Ext4Host(const Ext4Host&) = delete;
  // False: none can be made here.
  [[nodiscard]] bool is_mounted() const { return is_mounted_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string folder_;
  std::string path_;
  bool is_mounted_ = false;
};

// Allocates whole pieces of 2 MiB, as `ingot mkfs --format` makes it.
inline constexpr const char* kHugeClusters = "-O bigalloc,^resize_inode -C 2M";

}  // namespace ingot::tests
