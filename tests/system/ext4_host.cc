// SPDX-License-Identifier: BSD-3-Clause
// The usual commands.
#include "tests/system/ext4_host.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

namespace ingot::tests {
namespace {

bool Run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

}  // namespace

Ext4Host::Ext4Host(const std::string& features) : folder_("/dev/shm/ingot-ext4-XXXXXX") {
  if (mkdtemp(folder_.data()) == nullptr) std::abort();
  path_ = folder_ + "/mnt";
  const std::string image = folder_ + "/image";
  is_mounted_ = mkdir(path_.c_str(), 0700) == 0 && Run("truncate -s 256M " + image) &&
                Run(fmt::format("mkfs.ext4 -q -F -b 4096 {} {}", features, image)) &&
                Run(fmt::format("mount -o loop -t ext4 {} {}", image, path_));
}

Ext4Host::~Ext4Host() {
  if (is_mounted_) umount2(path_.c_str(), MNT_DETACH);
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

}  // namespace ingot::tests
