// SPDX-License-Identifier: BSD-3-Clause
// What lies in a region before mkfs overwrites it: an ingot pool, or a signature that libblkid
// knows.
//
// Reads only, but for WipeSignatures. The caller holds the region's lock, or has claimed the
// device. Stateless.
#pragma once

#include <optional>
#include <string>

#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

namespace ingot::admin {

// "an ingot pool 'label' (UUID)", "an ext4 filesystem 'label'", "a dos partition table"; nothing if
// nothing is known to be there. EIO: it can't be read. ENOMEM.
Result<std::optional<std::string>> FindContent(const Mapping& mapping);

// The same of a block device, which is only read, never mapped.
Result<std::optional<std::string>> FindDeviceContent(int fd, uint64_t size_bytes);

// Takes every signature off a block device, and all that lies in its first megabyte; durable.
// A crash may leave some. EIO.
Result<void> WipeSignatures(int fd);

// The loop device that a file is attached to, or nothing.
[[nodiscard]] std::optional<std::string> FindLoopDevice(const std::string& path);

}  // namespace ingot::admin
