// SPDX-License-Identifier: BSD-3-Clause
// mkfs --format: a block device becomes a host filesystem whose allocations are whole 2 MiB pages,
// with one directory pool in it.
//
// What can be refused is refused before the first byte changes. The device gets the label that it
// is recognised by when all else is done and durable, so that a failure or a crash leaves a host
// filesystem that is taken for nobody's pool. Nothing stays mounted.
#pragma once

#include <string>

#include "fs/admin/make_pool.h"
#include "fs/core/host_device.h"

namespace ingot::admin {

struct FormatHostOptions {
  MakePoolOptions pool;  // path: the device; the host filesystem gets the pool's UUID
  HostKind kind = HostKind::kExt4;
  bool need_dax = true;  // false: an ordinary disk will do, mappings then share the page cache
};

struct FormattedHost {
  MadePool pool;
  bool dax = false;  // the host filesystem maps files directly
};

// EBUSY: in use, by force as well. EEXIST: it holds something, named. ENOTSUP: the device has no
// DAX, or begins where its 2 MiB pages can't be mapped. ENOSPC: too small. ENOENT: the host's mkfs
// isn't installed. EIO: that failed; its last line. Otherwise as MakePool.
Result<FormattedHost> FormatHost(const FormatHostOptions& options);

// Where a device, if it is a partition, begins on its disk; 0 of a whole device.
[[nodiscard]] uint64_t DeviceStartBytes(const std::string& device);

}  // namespace ingot::admin
