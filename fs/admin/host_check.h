// SPDX-License-Identifier: BSD-3-Clause
// fsck of the host filesystem that a prepared device holds, below the pool.
//
// The host's own program does it: e2fsck or xfs_repair. It wants the device for itself, so that
// nothing may be mounted. Interrupted, it leaves what that program leaves.
#pragma once

#include <string>

#include "fs/core/host_device.h"
#include "pmemdev/base/result.h"

namespace ingot::admin {

enum class HostCheckMode : uint8_t { kReport, kPreen, kRepair };  // -n, -p, -y

struct HostCheckReport {
  std::string program;
  int exit_code = 0;   // fsck(8)'s bits, whatever the program's own are
  std::string output;  // what it said
};

// EBUSY: in use. ENOENT: the program isn't installed. What it found is no error.
Result<HostCheckReport> CheckHost(const std::string& device, HostKind kind, HostCheckMode mode);

}  // namespace ingot::admin
