// SPDX-License-Identifier: BSD-3-Clause
// POSIX access control lists as extended attributes carry them (linux/posix_acl_xattr.h, version
// 2).
//
// With FUSE_POSIX_ACL the kernel checks access by these lists, but leaves to the filesystem what
// kernel filesystems do in posix_acl_update_mode, posix_acl_chmod and posix_acl_create: keeping
// mode and list in step, and inheritance. libacl works on files and texts, not on this form; hence
// by hand. Pure functions on DRAM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <linux/posix_acl_xattr.h>

#include "pmemdev/base/result.h"

namespace ingot {

inline constexpr std::string_view kAccessAclName = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAclName = "system.posix_acl_default";

class PosixAcl {
 public:
  // Nothing: an empty value or a list without entries, which mean "no list". EOPNOTSUPP: another
  // version. EINVAL: entries that are malformed, out of order, or lack a mask that they need.
  static Result<std::optional<PosixAcl>> Parse(std::span<const std::byte> value);
  [[nodiscard]] std::vector<std::byte> Encode() const;

  // The permission bits (0777) that say the same for owner, group class and others.
  [[nodiscard]] uint32_t ModeBits() const;
  // True if those bits say all of it, so that the list need not be kept.
  [[nodiscard]] bool IsEquivalentToMode() const;

  // chmod: owner, mask (or group where there is none) and others become those of `mode`.
  void ApplyMode(uint32_t mode);
  // A new file's access list, made from its parent's default list (this) and the mode that was
  // asked for: both are narrowed to what the two allow. Returns the new mode.
  uint32_t NarrowToCreate(uint32_t mode);

 private:
  using Entry = posix_acl_xattr_entry;

  [[nodiscard]] Result<void> Validate() const;
  // The entry that the group bits of the mode stand for: the mask, or else the owning group.
  [[nodiscard]] size_t GroupClass() const;

  std::vector<Entry> entries_;
};

}  // namespace ingot
