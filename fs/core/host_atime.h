// SPDX-License-Identifier: BSD-3-Clause
// Access times of backing files by this mount's rule, whatever the host is mounted with.
//
// Where the kernel reads a backing file by itself, or the daemon through its own descriptor, the
// host's mount decides about atime: the one through which the file was opened. So files are opened
// through a private copy of that mount, which no path leads to and which ends with the last file
// opened in it. Stateless.
#pragma once

#include "fs/core/types.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/base/result.h"

namespace ingot {

// The same directory in a copy of its mount with that rule; no descriptor if its own mount has it.
// EPERM: without CAP_SYS_ADMIN. EINVAL: a detached mount, before Linux 6.15.
Result<Descriptor> OpenWithAtimeRule(int directory, AtimeMode rule);

}  // namespace ingot
