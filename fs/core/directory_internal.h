// SPDX-License-Identifier: BSD-3-Clause
// What directory.cc and directory_write.cc share: where a search ended, and how damage is named.
//
// Internal to Directory. Nothing here touches media; callers hold the directory's lock.
// Included by those two and by nobody else.
#pragma once

#include "fs/core/directory.h"
#include "fs/core/directory_leaf.h"
#include "fs/core/owned_block.h"

namespace ingot {

struct Directory::Located {
  directory_leaf::Search search;
  media::Record record{};  // of the leaf that holds the entry, if found
};

[[nodiscard]] inline tl::unexpected<Error> DamagedLeaf(const media::Inode& directory, uint64_t page,
                                                       std::string_view what) {
  return Failure(EUCLEAN, fmt::format("directory {}: leaf {}: {}", directory.number, page, what));
}

}  // namespace ingot
