// SPDX-License-Identifier: BSD-3-Clause
// Extended attributes: get, list, set, remove. A size of 0 asks how large the answer would be.
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/core/posix_acl.h"
#include "fs/fuse/caller.h"
#include "fs/fuse/introspection.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

// A report grows between the question for its size and the one for its content.
constexpr size_t kVirtualSlackBytes = 256;

Result<void> Answer(Request& request, std::span<const std::byte> value, size_t size_bytes,
                    size_t slack_bytes) {
  if (size_bytes == 0) {
    request.XattrSize(value.size() + slack_bytes);
    return {};
  }
  if (value.size() > size_bytes) return Failure(ERANGE);
  request.Bytes(value);
  return {};
}

std::span<const std::byte> BytesOfText(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Result<void> Getxattr(Request& request, fuse_ino_t number, const char* name, size_t size_bytes) {
  const InodeNumber inode(number);
  if (IsVirtualXattr(name)) [[unlikely]] {
    const std::string report = TRY(ReadVirtualXattr(request.session(), inode, name));
    return Answer(request, BytesOfText(report), size_bytes, kVirtualSlackBytes);
  }
  const auto value = TRY(request.volume().xattrs().Get(inode, name));
  return Answer(request, value, size_bytes, 0);
}

Result<void> Listxattr(Request& request, fuse_ino_t inode, size_t size_bytes) {
  const std::string names = TRY(request.volume().xattrs().List(InodeNumber(inode)));
  return Answer(request, BytesOfText(names), size_bytes, 0);
}

// Setting an access list as somebody outside the file's group takes S_ISGID away
// (posix_acl_update_mode).
Result<bool> ClearsSetGid(Request& request, InodeNumber inode, std::string_view name) {
  if (name != kAccessAclName) return false;
  const Attributes attributes = TRY(request.volume().attributes().Get(inode));
  if ((attributes.mode & S_ISGID) == 0) return false;
  return !IsInGroup(request.pid(), attributes.gid) && !HasCapability(request.pid(), CAP_FSETID);
}

Result<void> Setxattr(Request& request, fuse_ino_t number, const char* name, const char* value,
                      size_t size_bytes, int flags) {
  const InodeNumber inode(number);
  if (IsVirtualXattr(name)) return Failure(EPERM);
  XattrSetMode mode = XattrSetMode::kAny;
  if ((flags & XATTR_CREATE) != 0) mode = XattrSetMode::kCreate;
  if ((flags & XATTR_REPLACE) != 0) mode = XattrSetMode::kReplace;
  const bool clear_set_gid = TRY(ClearsSetGid(request, inode, name));
  TRY(request.volume().xattrs().Set(inode, name, std::as_bytes(std::span(value, size_bytes)), mode,
                                    clear_set_gid));
  request.Done();
  return {};
}

Result<void> Removexattr(Request& request, fuse_ino_t inode, const char* name) {
  if (IsVirtualXattr(name)) return Failure(EPERM);
  TRY(request.volume().xattrs().Remove(InodeNumber(inode), name));
  request.Done();
  return {};
}

}  // namespace

void AddXattrOperations(fuse_lowlevel_ops& operations) {
  operations.getxattr = &Handler<Operation::kGetxattr, &Getxattr>::Call;
  operations.listxattr = &Handler<Operation::kListxattr, &Listxattr>::Call;
  operations.setxattr = &Handler<Operation::kSetxattr, &Setxattr>::Call;
  operations.removexattr = &Handler<Operation::kRemovexattr, &Removexattr>::Call;
}

}  // namespace ingot
