// SPDX-License-Identifier: BSD-3-Clause
// What making a device pool and making a directory pool have in common.
//
// Internal to fs/admin/make_*pool.cc. Stateless; what a crash leaves is said in make_pool.h.
// Whoever makes a pool holds its lock from before the first change on.
#pragma once

#include <memory>
#include <string>

#include "fs/admin/make_pool.h"
#include "pmemdev/mapping.h"

namespace ingot::admin {

// Mapping::Open of a file or device that nobody uses. EBUSY says who does.
Result<std::unique_ptr<Mapping>> MapLocked(const std::string& path);

// `options.path` is a directory. EEXIST, ENOTEMPTY: what is in it, named; EOPNOTSUPP: its host
// can't keep files sparse and no size was given; otherwise as MakePool.
Result<MadePool> MakeDirectoryPool(const MakePoolOptions& options);

}  // namespace ingot::admin
