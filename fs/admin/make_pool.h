// SPDX-License-Identifier: BSD-3-Clause
// mkfs: makes a pool in a new file, an existing file or a devdax device.
//
// Refuses whatever might be somebody's data unless forced. On an error a file that was made is
// removed again, and what an existing one held is as it was unless formatting itself had begun
// (then it holds no valid pool). A crash likewise leaves no valid pool, or the finished one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pmemdev/base/result.h"
#include "pmemdev/format.h"

namespace ingot::admin {

struct MakePoolOptions {
  std::string path;
  std::optional<uint64_t> size_bytes;  // of a new file, or of an empty one; rounded down to 2 MiB
  std::string label;                   // at most 31 bytes
  media::Uuid uuid{};                  // all zero: random
  bool force = false;                  // overwrite what is there, resize a file that has a size
};

struct MadePool {
  media::Superblock superblock{};
  uint64_t total_bytes = 0;  // as statfs will say
  bool created = false;      // the file is new
};

// ENOENT: no such file and no size; EEXIST: something is there, named; EBUSY: in use, by whom;
// ENOSPC: too small (the context says the minimum), or the host is full; EFBIG; EINVAL: not a file
// or devdax.
Result<MadePool> MakePool(const MakePoolOptions& options);

// "d94b7b4e-1c2d-..." to bytes. EINVAL: not a UUID, or the zero one.
Result<media::Uuid> ParseUuid(std::string_view text);

}  // namespace ingot::admin
