// SPDX-License-Identifier: BSD-3-Clause
// What a calling process may do, for the two questions that a FUSE request doesn't answer by
// itself. Read from /proc: slow, and asked only where the answer matters. A process that can't be
// seen (another pid namespace, gone) may nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ingot {

[[nodiscard]] bool HasCapability(pid_t pid, int capability);  // CAP_*, effective
[[nodiscard]] bool IsInGroup(pid_t pid, uint32_t gid);        // filesystem or supplementary group

}  // namespace ingot
