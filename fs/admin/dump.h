// SPDX-License-Identifier: BSD-3-Clause
// dump: single structures of a pool as JSON, made from their own field tables.
//
// For damaged pools: nothing is refused because of what it says. Each result has "problems", the
// list of checks that failed while it was made. Stateless.
#pragma once

#include <string_view>

#include "fs/admin/describe.h"
#include "fs/admin/raw_pool.h"

namespace ingot::admin {

// All three copies, each with its place and state.
Result<Json> DumpSuperblock(RawPool& pool);
// A group's entry and what its bitmaps say; of group 0 of a directory pool the ledger of backing
// files, too. ENOENT: the pool has no such group.
Result<Json> DumpGroup(RawPool& pool, GroupIndex group);
// An inode with what its tail holds: extents, leaves, contents, names of attributes. EUCLEAN, EIO.
Result<Json> DumpInode(RawPool& pool, InodeNumber number);
// The entries of the directory at a path. ENOENT, ENOTDIR.
Result<Json> DumpDirectory(RawPool& pool, std::string_view path);
// The lanes that hold something, and how many don't.
Result<Json> DumpJournal(RawPool& pool);

}  // namespace ingot::admin
