// SPDX-License-Identifier: BSD-3-Clause
// fsck --superblock: gives a pool its superblocks back, from a good copy or, if none is left, from
// the lanes and group entries.
//
// Changes nothing else: journal and data stay as they are. A crash in it is gone on with by calling
// again. Stateless.
#pragma once

#include <cstdint>
#include <memory>

#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

namespace ingot::admin {

enum class SuperblockRepair : uint8_t {
  kNothing,    // all copies were good
  kCopied,     // damaged copies were replaced by a good one
  kRecreated,  // none was left; the label is lost
};

// `mapping` is writable. A crash in it is gone on with by doing it again. EUCLEAN: the witnesses
// don't agree. EINVAL: no ingot pool. ENOTSUP, ERANGE: as mounting says.
Result<SuperblockRepair> RestoreSuperblocks(const Mapping& mapping);

}  // namespace ingot::admin
