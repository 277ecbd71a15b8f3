// SPDX-License-Identifier: BSD-3-Clause
// The requests of the kernel, each a function that calls fs/core and answers.
//
// Grouped by what they touch; MakeOperations() joins the groups into libfuse's table. The
// handlers keep no state: everything is in the session's volume.
#pragma once

#include "fs/fuse/libfuse.h"

namespace ingot {

// `has_backed_files`: the pool is a directory.
[[nodiscard]] fuse_lowlevel_ops MakeOperations(bool has_backed_files);

void AddNameOperations(fuse_lowlevel_ops& operations);
void AddCreationOperations(fuse_lowlevel_ops& operations);
void AddAttributeOperations(fuse_lowlevel_ops& operations);
void AddHandleOperations(fuse_lowlevel_ops& operations, bool has_backed_files);
void AddDataOperations(fuse_lowlevel_ops& operations);
void AddDirectoryOperations(fuse_lowlevel_ops& operations);
void AddXattrOperations(fuse_lowlevel_ops& operations);
void AddIoctlOperations(fuse_lowlevel_ops& operations);

}  // namespace ingot
