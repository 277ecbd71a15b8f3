// SPDX-License-Identifier: BSD-3-Clause
// mkfs: makes a pool in a new file, an existing file, a devdax device or an existing directory.
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
  // Of a new file, of an empty one, or of a directory's region; rounded down to 2 MiB. A region
  // without it is sparse and as large as its host.
  std::optional<uint64_t> size_bytes;
  std::string label;                   // at most 31 bytes
  media::Uuid uuid{};                  // all zero: random
  bool force = false;                  // overwrite what is there, resize a file that has a size
};

struct MadePool {
  media::Superblock superblock{};
  uint64_t total_bytes = 0;  // as statfs will say
  bool created = false;      // the file, or the directory's region, is new
};

// ENOENT: no such file and no size; EEXIST: something is there, named; EBUSY: in use, by whom;
// ENOSPC: too small (the context says the minimum), or the host is full; EFBIG; EINVAL: not a file,
// devdax or directory, or a directory pool's region. Of a directory: ENOTEMPTY: it holds what is no
// pool's, which is left alone; EOPNOTSUPP: its host can't keep files sparse, and no size was given.
Result<MadePool> MakePool(const MakePoolOptions& options);

// EINVAL: too long, or not fit to be printed. ENOSPC, EFBIG: no pool has that size.
Result<void> CheckLabel(const std::string& label);
Result<void> CheckPoolSize(uint64_t size_bytes);

// "d94b7b4e-1c2d-..." to bytes. EINVAL: not a UUID, or the zero one.
Result<media::Uuid> ParseUuid(std::string_view text);

}  // namespace ingot::admin
