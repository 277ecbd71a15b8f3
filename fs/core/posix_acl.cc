// SPDX-License-Identifier: BSD-3-Clause
// The kernel's rules for lists, on copies in DRAM.
#include "fs/core/posix_acl.h"

#include <linux/posix_acl.h>
#include <sys/stat.h>

#include <cstring>

namespace ingot {
namespace {

constexpr uint16_t kPermissions = ACL_READ | ACL_WRITE | ACL_EXECUTE;
constexpr uint32_t kModeBits = S_IRWXU | S_IRWXG | S_IRWXO;

// What an entry's permissions become when `bits` (the low three) are all that the mode allows.
void Narrow(uint16_t& permissions, uint32_t bits) {
  permissions = static_cast<uint16_t>(permissions & bits & kPermissions);
}

}  // namespace

Result<std::optional<PosixAcl>> PosixAcl::Parse(std::span<const std::byte> value) {
  posix_acl_xattr_header header;
  if (value.empty()) return std::nullopt;
  if (value.size() < sizeof(header)) return Failure(EINVAL);
  std::memcpy(&header, value.data(), sizeof(header));
  if (header.a_version != POSIX_ACL_XATTR_VERSION) return Failure(EOPNOTSUPP);
  value = value.subspan(sizeof(header));
  if (value.size() % sizeof(Entry) != 0) return Failure(EINVAL);
  if (value.empty()) return std::nullopt;

  PosixAcl acl;
  acl.entries_.resize(value.size() / sizeof(Entry));
  std::memcpy(acl.entries_.data(), value.data(), value.size());
  TRY(acl.Validate());
  return acl;
}

// The order that posix_acl_valid() of the kernel demands: owner, users, group, groups, mask,
// others; a mask if there is any named user or group.
Result<void> PosixAcl::Validate() const {
  uint16_t next = ACL_USER_OBJ;
  bool needs_mask = false;
  for (const Entry& entry : entries_) {
    if ((entry.e_perm & ~kPermissions) != 0) return Failure(EINVAL);
    const uint16_t tag = entry.e_tag;
    if (tag == ACL_USER_OBJ && next == ACL_USER_OBJ) {
      next = ACL_USER;
    } else if (tag == ACL_GROUP_OBJ && next == ACL_USER) {
      next = ACL_GROUP;
    } else if ((tag == ACL_USER || tag == ACL_GROUP) && next == tag) {
      if (entry.e_id == static_cast<uint32_t>(ACL_UNDEFINED_ID)) return Failure(EINVAL);
      needs_mask = true;
    } else if (tag == ACL_MASK && next == ACL_GROUP) {
      next = ACL_OTHER;
    } else if (tag == ACL_OTHER && (next == ACL_OTHER || (next == ACL_GROUP && !needs_mask))) {
      next = 0;
    } else {
      return Failure(EINVAL);
    }
  }
  if (next != 0) return Failure(EINVAL);
  return {};
}

std::vector<std::byte> PosixAcl::Encode() const {
  const posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
  std::vector<std::byte> value(sizeof(header) + entries_.size() * sizeof(Entry));
  std::memcpy(value.data(), &header, sizeof(header));
  std::memcpy(value.data() + sizeof(header), entries_.data(), entries_.size() * sizeof(Entry));
  return value;
}

size_t PosixAcl::GroupClass() const {
  size_t at = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].e_tag == ACL_MASK) return i;
    if (entries_[i].e_tag == ACL_GROUP_OBJ) at = i;
  }
  return at;
}

uint32_t PosixAcl::ModeBits() const {
  // Validate() saw to it: the owner is first, others are last.
  return uint32_t{entries_.front().e_perm} << 6 | uint32_t{entries_[GroupClass()].e_perm} << 3 |
         uint32_t{entries_.back().e_perm};
}

bool PosixAcl::IsEquivalentToMode() const {
  for (const Entry& entry : entries_) {
    const uint16_t tag = entry.e_tag;
    if (tag == ACL_USER || tag == ACL_GROUP || tag == ACL_MASK) return false;
  }
  return true;
}

void PosixAcl::ApplyMode(uint32_t mode) {
  entries_.front().e_perm = static_cast<uint16_t>(mode >> 6 & kPermissions);
  entries_[GroupClass()].e_perm = static_cast<uint16_t>(mode >> 3 & kPermissions);
  entries_.back().e_perm = static_cast<uint16_t>(mode & kPermissions);
}

uint32_t PosixAcl::NarrowToCreate(uint32_t mode) {
  Narrow(entries_.front().e_perm, mode >> 6);
  Narrow(entries_[GroupClass()].e_perm, mode >> 3);
  Narrow(entries_.back().e_perm, mode);
  return (mode & ~kModeBits) | ModeBits();
}

}  // namespace ingot
