// SPDX-License-Identifier: BSD-3-Clause
// What a calling process may do, for the two questions that a FUSE request doesn't answer by
// itself. Read from /proc: slow, and asked only where the answer matters. A process that can't be
// seen (another pid namespace, gone) may nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ingot {

// In a user namespace of its own anybody has all capabilities, over nothing of ours.
[[nodiscard]] bool IsInOurUserNamespace(pid_t pid);
// CAP_*, effective, in the daemon's own user namespace.
[[nodiscard]] bool HasCapability(pid_t pid, int capability);
[[nodiscard]] bool IsInGroup(pid_t pid, uint32_t gid);        // filesystem or supplementary group

}  // namespace ingot
