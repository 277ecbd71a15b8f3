// SPDX-License-Identifier: BSD-3-Clause
// What must hold of a pool that fsck calls clean, whatever was done to it before. All of these
// CHECK: a fuzzer knows no other failure.
//
// Single-threaded; the volume is nobody else's meanwhile. Costs are bounded whatever the pool says:
// of sparse files only data is read, of holes only their edges.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fs/check/check.h"
#include "fs/core/volume.h"

namespace ingot::tests {

// fsck finds nothing. `when` names the step for whoever reads the crash.
void RequireClean(Device& device, std::string_view when);
// The first findings, one a line.
[[nodiscard]] std::string Summary(const check::CheckReport& report);

// Every name leads to its inode and back, every inode, attribute and byte of data can be read,
// links and counts are true.
void RequireReadable(Volume& volume);

// The same visits on a pool of which nothing is known: errors are fine, crashes and endless work
// are not.
void Wander(Volume& volume);

// Deletes all that can be deleted (flags forbid some) and completes what orphans are left.
void RemoveAll(Volume& volume);

}  // namespace ingot::tests
