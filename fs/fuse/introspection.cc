// SPDX-License-Identifier: BSD-3-Clause
// Which report belongs to which attribute and inode.
#include "fs/fuse/introspection.h"

#include "fs/fuse/session.h"

namespace ingot {

bool IsVirtualXattr(std::string_view name) {
  return name == kStatusXattr || name == kMapXattr || name == kRemountXattr;
}

Result<std::string> ReadVirtualXattr(Session& session, InodeNumber inode, std::string_view name) {
  if (name == kRemountXattr) return Failure(ENODATA);
  if (name == kMapXattr) return MapReport(session, inode);
  if (inode != Volume::kRoot) return Failure(ENODATA);
  return StatusReport(session);
}

}  // namespace ingot
