// SPDX-License-Identifier: BSD-3-Clause
// What a running daemon says about itself, as JSON in virtual extended attributes:
// `user.ingot.status` of the root, `user.ingot.map` of each regular file. Never listed, so that
// no copying program takes them along; can't be set. Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fs/core/volume.h"

namespace ingot {

class Session;

inline constexpr std::string_view kStatusXattr = "user.ingot.status";
inline constexpr std::string_view kMapXattr = "user.ingot.map";

// Set on the root by `ingot mount -o remount`: "ro" or "rw".
inline constexpr std::string_view kRemountXattr = "user.ingot.remount";

[[nodiscard]] bool IsVirtualXattr(std::string_view name);
// The value; ENODATA: not on this inode.
Result<std::string> ReadVirtualXattr(Session& session, InodeNumber inode, std::string_view name);

// Pool, device, space, connection, requests served by kind.
[[nodiscard]] std::string StatusReport(Session& session);
// Extents (as many as an attribute holds), bytes in whole huge pages, whether mappings are direct.
Result<std::string> MapReport(Session& session, InodeNumber inode);

}  // namespace ingot
