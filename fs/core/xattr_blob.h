// SPDX-License-Identifier: BSD-3-Clause
// The blob of all extended attributes of one inode: taken apart and put together in DRAM, nothing
// else. Pure functions; views point into what they were made from. A blob from media isn't trusted:
// no byte outside it is touched, whatever it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "fs/format.h"
#include "pmemdev/base/result.h"

namespace ingot {

struct XattrView {
  std::string_view name;  // with its prefix
  std::span<const std::byte> value;
};

// EUCLEAN: an entry doesn't fit the blob, or its name can't be one.
[[nodiscard]] Result<std::vector<XattrView>> ParseXattrs(std::span<const std::byte> blob);
[[nodiscard]] std::vector<std::byte> EncodeXattrs(std::span<const XattrView> entries);

// What an entry takes in the blob.
[[nodiscard]] constexpr uint64_t XattrEntrySize(uint64_t name_bytes, uint64_t value_bytes) {
  return RoundUp(sizeof(media::XattrEntry) + name_bytes + value_bytes, kWordSize);
}

// ERANGE: empty or too long. EOPNOTSUPP: none of the namespaces that are kept (user, trusted,
// security, and the two ACLs of system). EINVAL: a prefix and nothing more.
[[nodiscard]] Result<void> CheckXattrName(std::string_view name);

}  // namespace ingot
