// SPDX-License-Identifier: BSD-3-Clause
// Reading, choosing, writing and re-creating the superblock's three copies.
//
// The copies are written one after the other with a fence between, so a crash leaves at least two
// whole ones. Reading validates on a DRAM copy. Stateless functions; the caller holds the device's
// lock.
#pragma once

#include <array>
#include <string>

#include "pmemdev/base/result.h"
#include "pmemdev/format.h"
#include "pmemdev/geometry.h"
#include "pmemdev/mapping.h"
#include "pmemdev/persist.h"

namespace ingot {

struct SuperblockScan {
  media::Superblock best{};                              // the winner
  std::array<bool, media::kSuperblockCopies> valid{};    // which copies were whole
  std::array<bool, media::kSuperblockCopies> same{};     // which equal the winner, in its places
};

// The valid copy with the highest sequence. The third copy is looked for at the end of the mapping
// and at the end that a valid copy names. EUCLEAN: none is valid, but something ingot-like is
// there; EINVAL: this is no ingot pool; ENOTSUP with the name: an unknown version, incompatible
// feature or page size. ERANGE: the file is shorter than the superblock says. EIO: no copy could be
// read.
Result<SuperblockScan> ReadSuperblocks(const Mapping& mapping);

// The newest whole copy (magic and checksum) without any check of what it says: for dump.
Result<SuperblockScan> ReadSuperblocksUnchecked(const Mapping& mapping);

// Writes all three copies, each fenced before the next. A crash leaves old and new copies, each
// whole.
Result<void> WriteSuperblocks(Persist& persist, media::Superblock superblock);

// Writes the copies that don't equal the winner. A crash leaves the good ones as they were. Tries
// all; the first error is returned.
Result<void> RestoreSuperblocks(Persist& persist, const SuperblockScan& scan);

// A superblock made again from lane headers and group entries, if they agree on UUID and version
// (lanes and groups must each have a majority). The label is lost, the sequence is 1, the region is
// the whole mapping. Writes nothing. EUCLEAN: they don't agree.
Result<media::Superblock> RecreateSuperblock(const Mapping& mapping);

// Fills `checksum`.
void Seal(media::Superblock& superblock);

// A UUID of version 4, variant 1 (RFC 9562), as mkfs takes where it is given none.
Result<media::Uuid> RandomUuid();

// "d94b7b4e-..." of a UUID.
[[nodiscard]] std::string FormatUuid(const media::Uuid& uuid);

}  // namespace ingot
