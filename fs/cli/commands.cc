// SPDX-License-Identifier: BSD-3-Clause
// The list of all commands.
#include "fs/cli/command.h"

namespace ingot::cli {
namespace {

constexpr Command kCommands[] = {
    {"mkfs", "Make a pool in a file or on a devdax device",
     "ingot mkfs --size 1G /var/lib/data.ingot", kExitUsage, SetUpMkfs, nullptr},
    {"mount", "Mount a pool", "ingot mount /var/lib/data.ingot /mnt -o noatime", kMountUsage,
     SetUpMount, nullptr},
    {"umount", "Unmount and wait until the pool is free", "ingot umount /mnt", kMountUsage,
     SetUpUmount, nullptr},
    {"fsck", "Check a pool, and repair it with -y", "ingot fsck -y /var/lib/data.ingot", kFsckUsage,
     SetUpFsck, RewriteFsckArguments},
    {"status", "How a pool is: space, medium, damage, requests",
     "ingot status --json /mnt | jq .space.free_bytes", kExitUsage, SetUpStatus, nullptr},
    {"info", "What a pool is: size, label, UUID, format", "ingot info /var/lib/data.ingot",
     kExitUsage, SetUpInfo, nullptr},
    {"map", "Where files lie and how much of them is in whole 2 MiB pages",
     "ingot map /mnt/database", kExitUsage, SetUpMap, nullptr},
    {"direct", "Have files mapped straight from the medium, or no longer",
     "ingot direct on /mnt/database", kExitUsage, SetUpDirect, nullptr},
    {"dump", "Single structures of a pool, damaged or not",
     "ingot dump inode 1 /var/lib/data.ingot", kExitUsage, SetUpDump, nullptr},
    {"doctor", "What stands between a pool and direct mappings, and what mends it",
     "ingot doctor /mnt", kExitUsage, SetUpDoctor, nullptr},
};

}  // namespace

std::span<const Command> AllCommands() { return kCommands; }

}  // namespace ingot::cli
