// SPDX-License-Identifier: BSD-3-Clause
// All that a user can see of a volume: each name's inode with every attribute, and hashes of
// contents and of extended attributes.
//
// A plain value, comparable; taking one changes nothing on media. The caller sees to it that nobody
// changes the volume meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fs/core/volume.h"

namespace ingot::tests {

struct NodeState {
  Attributes attributes;
  uint64_t contents_hash = 0;  // of a file's bytes, a link's target
  uint64_t xattrs_hash = 0;
  bool has_capability = false;  // said by the hash, too
};

using TreeSnapshot = std::map<std::string, NodeState>;

// What couldn't be read is an error: EUCLEAN, EIO and the like. EMSGSIZE: a file above 64 MiB.
[[nodiscard]] Result<TreeSnapshot> SnapshotOf(Volume& volume);
[[nodiscard]] Result<std::string> ContentsOf(Volume& volume, InodeNumber inode);

[[nodiscard]] uint64_t DigestOf(const TreeSnapshot& tree);

// The first difference in words; "" if there is none. Of the inode `except` type, owner, links and
// extended attributes are compared, contents, size and times are not.
[[nodiscard]] std::string DifferenceOf(const TreeSnapshot& expected, const TreeSnapshot& got,
                                       InodeNumber except = InodeNumber(0));

}  // namespace ingot::tests
