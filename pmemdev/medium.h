// SPDX-License-Identifier: BSD-3-Clause
// What is asked of a pool's descriptor without mapping it: its kind, its size, its lock, its holes.
//
// Stateless functions of a descriptor; internal to Mapping. Thread-safe: lseek moves the file's
// position, which nobody uses.
#pragma once

#include <cstdint>
#include <string>

#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

namespace ingot {

// Opens the pool. `read_only` opens O_RDONLY. ENOENT, EACCES ...; EINVAL names what it is instead.
Result<int> OpenMedium(const std::string& path, bool read_only);

// kDevDax for character devices (libpmem2 judges those), kMemory for tmpfs, ramfs and memfd, kFile
// for other regular files, DAX or not. EINVAL names anything else.
Result<Medium> ClassifyMedium(int fd);

// Bytes of the file or device.
Result<uint64_t> MediumSize(int fd, Medium medium);

// Takes the lock, shared for readers, until the descriptor is closed. EBUSY names the holder's
// process where the kernel tells it.
Result<void> LockMedium(int fd, bool shared);

// fallocate's two directions, with EINTR repeated.
Result<void> AllocateFileSpace(int fd, MediaOffset at, uint64_t size_bytes);
Result<void> PunchFileSpace(int fd, MediaOffset at, uint64_t size_bytes);

// True if there are no bytes behind the file at `at`: a hole, or beyond the end.
[[nodiscard]] bool IsFileHole(int fd, MediaOffset at);

}  // namespace ingot
