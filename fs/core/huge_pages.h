// SPDX-License-Identifier: BSD-3-Clause
// Which parts of a host file a mapping gets by 2 MiB entries of the page table; making them whole.
//
// Asked of the kernel itself, by mapping the file as its users do. Functions of a BackingFile
// without state; safe beside all operations, no lock needed. Nothing of the contents changes.
#pragma once

#include <cstdint>

#include "fs/core/backing_file.h"

namespace ingot {

struct HugePageCount {
  uint64_t data_bytes = 0;  // in 2 MiB pieces that hold any data, counted to the end of the file
  uint64_t huge_bytes = 0;  // of these, in pieces that are mapped by one entry
};
// Costs about a microsecond for each piece, and reads none of them. ENOTTY, EINVAL: a kernel
// before Linux 6.7, which doesn't tell. ENOMEM; what the host says.
Result<HugePageCount> CountHugePages(const BackingFile& file);

// Where the host uses 2 MiB pages by itself but has split the one around `offset` into small ones
// (tmpfs does for a truncation into its middle): makes it one again, which copies it. ENOMEM,
// EAGAIN: it is in use in a way that forbids it; EINVAL: the host can't.
Result<void> CollapseHugePage(const BackingFile& file, uint64_t offset);

}  // namespace ingot
