// SPDX-License-Identifier: BSD-3-Clause
// Extended attributes: one blob per inode, in the inode's tail if small, else in pages of its own.
//
// Each change writes the whole blob anew and swaps it in one transaction: a crash leaves the old or
// the new set. Names carry their prefix (user., trusted., security., system.). Which callers may
// touch which namespace was checked by the kernel.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/core/core.h"

namespace ingot {

// What a file may do when it is run; gone with any change of its contents.
inline constexpr std::string_view kCapabilityName = "security.capability";

enum class XattrSetMode : uint8_t { kAny, kCreate, kReplace };

// One of several changes that go together. No value: remove it if it is there.
struct XattrChange {
  std::string_view name;
  std::optional<std::span<const std::byte>> value;
  XattrSetMode mode = XattrSetMode::kAny;
};

class Xattrs {
 public:
  explicit Xattrs(Core& core) : core_(core) {}

  // ENODATA: no such attribute.
  Result<std::vector<std::byte>> Get(InodeNumber inode, std::string_view name);
  // Names, each with its terminating zero byte, in stored order.
  Result<std::string> List(InodeNumber inode);
  // ENODATA / EEXIST by mode; ERANGE: name or value too long; ENOSPC; E2BIG: all together too
  // large; EPERM: immutable or append-only; EOPNOTSUPP: a namespace that isn't kept.
  // system.posix_acl_access also sets the mode bits, as kernel filesystems do, and isn't kept if
  // they say all of it; system.posix_acl_default is for directories (EACCES); for both an empty
  // value means removal. `clear_set_gid`: the caller is neither in the group nor privileged
  // (FUSE_SETXATTR_ACL_KILL_SGID).
  Result<void> Set(InodeNumber inode, std::string_view name, std::span<const std::byte> value,
                   XattrSetMode mode, bool clear_set_gid);
  // ENODATA, but not for an ACL: none is then as good as a removed one. EPERM, EOPNOTSUPP.
  Result<void> Remove(InodeNumber inode, std::string_view name);

  // --- under the caller's lock and transaction ------------------------------------------------
  // Of Change, Set, Remove and FreeAll at most one call per inode and transaction: pages that a
  // transaction allocated can't be freed in it again. Times are the caller's.
  Result<std::vector<std::byte>> Get(const media::Inode& inode, std::string_view name) const;
  // All changes in one new blob; true if it differs from the old one.
  Result<bool> Change(Transaction& transaction, media::Inode& inode,
                      std::span<const XattrChange> changes);
  // True if it was there.
  Result<bool> Remove(Transaction& transaction, media::Inode& inode, std::string_view name);
  Result<void> Set(Transaction& transaction, media::Inode& inode, std::string_view name,
                   std::span<const std::byte> value, XattrSetMode mode);
  // Frees the blob's pages; no attribute is left.
  Result<void> FreeAll(Transaction& transaction, media::Inode& inode);
  // The pages of the blob: for fsck and map.
  Result<std::vector<Extent>> Pages(const media::Inode& inode) const;

 private:
  struct Head;  // a validated copy of a head page
  Result<void> ReadHead(const media::Inode& inode, Head& head) const;
  Result<std::vector<std::byte>> LoadBlob(const media::Inode& inode) const;
  Result<void> StoreBlob(Transaction& transaction, media::Inode& inode,
                         std::span<const std::byte> blob, bool from_reserve);
  Result<void> StoreInHead(Transaction& transaction, media::Inode& inode,
                           std::span<const std::byte> blob, bool from_reserve);
  Result<std::vector<uint64_t>> StoreRuns(Transaction& transaction, media::Inode& inode,
                                          std::span<const std::byte> blob, bool from_reserve);
  Result<void> SetAcl(InodeNumber inode, std::string_view name, std::span<const std::byte> value,
                      bool clear_set_gid);

  Core& core_;
};

}  // namespace ingot
