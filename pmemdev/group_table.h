// SPDX-License-Identifier: BSD-3-Clause
// The group entries on the medium: read, validated, sealed. Their meaning (bitmaps, claims, policy)
// is fs/core/allocator's; their place and checksum are this layer's.
//
// An entry belongs to its group's lock, from computing a value until the lane that logs it has been
// invalidated. Stateless but for references.
#pragma once

#include <functional>

#include "pmemdev/base/result.h"
#include "pmemdev/format.h"
#include "pmemdev/geometry.h"
#include "pmemdev/mapping.h"
#include "pmemdev/persist.h"

namespace ingot {

class GroupTable {
 public:
  GroupTable(const Mapping& mapping, const Geometry& geometry, const media::Uuid& uuid)
      : mapping_(mapping), geometry_(geometry), uuid_(uuid) {}

  // A validated copy. EUCLEAN: checksum, UUID, index or ranges are wrong. EIO: poisoned.
  Result<media::GroupEntry> Read(GroupIndex group) const;
  // The same without the verdict: for fsck and dump. EIO: poisoned.
  Result<media::GroupEntry> ReadUnchecked(GroupIndex group) const;
  // EUCLEAN with the reason, if `entry` can't be the entry of `group`.
  Result<void> Validate(GroupIndex group, const media::GroupEntry& entry) const;

  // The entry of a group that was never used: everything free but the reserved pages.
  [[nodiscard]] media::GroupEntry Fresh(GroupIndex group) const;
  // Writes fresh entries for groups [first, first + count): mkfs and growth, before they are
  // published by the superblock. Fenced.
  Result<void> WriteFresh(Persist& persist, GroupIndex first, uint64_t count) const;

  // Fills `checksum`.
  static void Seal(GroupIndex group, media::GroupEntry& entry);

 private:
  const Mapping& mapping_;
  const Geometry& geometry_;
  media::Uuid uuid_;
};

}  // namespace ingot
