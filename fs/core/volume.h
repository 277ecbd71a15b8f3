// SPDX-License-Identifier: BSD-3-Clause
// An open volume: the filesystem in a pool, without FUSE. Daemon, fsck, tools and tests drive this.
//
// Owns the device and the parts; hands them out by reference. Operations are thread-safe. Close
// (the destructor) has nothing to write: a clean and an unclean end are the same on media.
#pragma once

#include <memory>

#include "fs/core/attributes.h"
#include "fs/core/core.h"
#include "fs/core/file_data.h"
#include "fs/core/names.h"
#include "fs/core/orphans.h"
#include "fs/core/types.h"
#include "fs/core/xattrs.h"
#include "pmemdev/device.h"

namespace ingot {

// Of a directory pool the bytes are the host's (fs/core/shared_space.h), for large files can fill
// it, the rest the region's, where the others lie: inodes end where no small file fits any more.
// With direct=never the bytes are what fits into the region, too.
struct VolumeStatistics {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;       // includes volatile claims
  uint64_t available_bytes = 0;  // free without the reserve
  uint64_t total_inodes = 0;     // how many could be at most, by free space
  uint64_t free_inodes = 0;
  uint64_t free_huge_pages = 0;
};

class Volume {
 public:
  // Makes an empty filesystem (a root directory of mode 0755 owned by `owner`) on a device that
  // Device::Format has just made, or in Device::Create; with an empty ledger, if the device says
  // that it belongs to a directory pool. One transaction. ENOSPC.
  static Result<void> Format(Device& device, const Caller& owner);
  // Reads the group table, nothing else; validates the root. EUCLEAN: run fsck. A directory pool
  // wants its `directory`, which others don't have (EINVAL).
  static Result<std::unique_ptr<Volume>> Open(
      std::unique_ptr<Device> device, const VolumeOptions& options,
      std::unique_ptr<BackingDirectory> directory = nullptr);
  ~Volume();

  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] Core& core() { return *core_; }
  [[nodiscard]] Names& names() { return *names_; }
  [[nodiscard]] FileData& data() { return *data_; }
  [[nodiscard]] AttributeOperations& attributes() { return *attributes_; }
  [[nodiscard]] Xattrs& xattrs() { return *xattrs_; }
  [[nodiscard]] Orphans& orphans() { return *orphans_; }

  [[nodiscard]] VolumeStatistics Statistics() const;
  static constexpr InodeNumber kRoot{media::kRootInode};

 private:
  Volume() = default;

  std::unique_ptr<Device> device_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<FileData> data_;
  std::unique_ptr<Xattrs> xattrs_;
  std::unique_ptr<Orphans> orphans_;
  std::unique_ptr<Names> names_;
  std::unique_ptr<AttributeOperations> attributes_;
};

}  // namespace ingot
