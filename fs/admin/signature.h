// SPDX-License-Identifier: BSD-3-Clause
// What lies in a region before mkfs overwrites it: an ingot pool, or a signature that libblkid
// knows.
//
// Reads only. The caller holds the region's lock. Stateless.
#pragma once

#include <optional>
#include <string>

#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

namespace ingot::admin {

// "an ingot pool 'label' (UUID)", "an ext4 filesystem 'label'", "a dos partition table"; nothing if
// nothing is known to be there. EIO: it can't be read. ENOMEM.
Result<std::optional<std::string>> FindContent(const Mapping& mapping);

// The loop device that a file is attached to, or nothing.
[[nodiscard]] std::optional<std::string> FindLoopDevice(const std::string& path);

}  // namespace ingot::admin
