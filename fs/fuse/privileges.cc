// SPDX-License-Identifier: BSD-3-Clause
// What a caller is allowed to is asked only about files that have something to lose.
#include "fs/fuse/privileges.h"

#include <linux/capability.h>
#include <sys/stat.h>

#include "fs/fuse/caller.h"
#include "fs/fuse/session.h"

namespace ingot {

Result<bool> MayClearPrivileges(Request& request, InodeNumber inode) {
  const Passthrough* const passthrough = request.session().passthrough();
  if (passthrough != nullptr && passthrough->HasWriter(inode)) return true;
  const Attributes attributes = TRY(request.volume().attributes().Get(inode));
  return request.caller().uid == attributes.uid || HasCapability(request.pid(), CAP_FOWNER);
}

Result<void> ClearPrivileges(Request& request, InodeNumber inode) {
  Volume& volume = request.volume();
  const Attributes attributes = TRY(volume.attributes().Get(inode));
  if (!S_ISREG(attributes.mode)) return {};
  const bool has_set_ids = (attributes.mode & (S_ISUID | S_ISGID)) != 0;
  if (has_set_ids && !HasCapability(request.pid(), CAP_FSETID)) {
    AttributeChange change;
    change.kill_privileges = true;
    change.kill_group_id = !IsInGroup(request.pid(), attributes.gid);
    TRY(volume.attributes().Set(inode, change));
    return {};
  }
  // Whoever changes it, as with a write.
  auto value = volume.xattrs().Get(inode, kCapabilityName);
  if (value.error_code() == ENODATA) return {};
  TRY(value);
  return volume.xattrs().Remove(inode, kCapabilityName);
}

}  // namespace ingot
