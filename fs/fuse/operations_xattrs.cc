// SPDX-License-Identifier: BSD-3-Clause
// Extended attributes: get, list, set, remove. A size of 0 asks how large the answer would be.
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/core/posix_acl.h"
#include "fs/fuse/caller.h"
#include "fs/fuse/introspection.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/privileges.h"
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

// As xattr(7) says, trusted attributes are for those with CAP_SYS_ADMIN alone.
void HideTrusted(Request& request, std::string& names) {
  constexpr std::string_view kTrusted = "trusted.";
  if (names.find(kTrusted) == std::string::npos) return;
  if (HasCapability(request.pid(), CAP_SYS_ADMIN)) return;
  std::string shown;
  for (size_t at = 0; at < names.size();) {
    const std::string_view name(names.c_str() + at);
    if (!name.starts_with(kTrusted)) shown.append(name.data(), name.size() + 1);
    at += name.size() + 1;
  }
  names = std::move(shown);
}

Result<void> Listxattr(Request& request, fuse_ino_t inode, size_t size_bytes) {
  std::string names = TRY(request.volume().xattrs().List(InodeNumber(inode)));
  HideTrusted(request, names);
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

// Of `ingot mount -o remount,ro` and `rw`, by root or by the user who mounted.
Result<void> NoteRemount(Request& request, std::string_view value) {
  const bool is_ours = request.caller().uid == geteuid() && IsInOurUserNamespace(request.pid());
  if (!is_ours && !HasCapability(request.pid(), CAP_SYS_ADMIN)) return Failure(EPERM);
  if (value != "ro" && value != "rw") return Failure(EINVAL);
  request.session().StopAtimes(value == "ro");
  request.Done();
  return {};
}

Result<void> Setxattr(Request& request, fuse_ino_t number, const char* name, const char* value,
                      size_t size_bytes, int flags) {
  const InodeNumber inode(number);
  if (name == kRemountXattr && inode == Volume::kRoot) {
    return NoteRemount(request, {value, size_bytes});
  }
  if (IsVirtualXattr(name)) return Failure(EPERM);
  XattrSetMode mode = XattrSetMode::kAny;
  if ((flags & XATTR_REPLACE) != 0) mode = XattrSetMode::kReplace;
  if ((flags & XATTR_CREATE) != 0) {
    // Both together can only fail: with what is there, or with what is not.
    if (mode == XattrSetMode::kReplace) TRY(request.volume().xattrs().Get(inode, name));
    mode = XattrSetMode::kCreate;
  }
  const bool clear_set_gid = TRY(ClearsSetGid(request, inode, name));
  TRY(request.volume().xattrs().Set(inode, name, std::as_bytes(std::span(value, size_bytes)), mode,
                                    clear_set_gid));
  request.Done();
  return {};
}

Result<void> Removexattr(Request& request, fuse_ino_t number, const char* name) {
  const InodeNumber inode(number);
  if (IsVirtualXattr(name)) return Failure(EPERM);
  // From others it is the kernel's, on its way to something that clears privileges itself.
  const bool counts = name != kCapabilityName || HasCapability(request.pid(), CAP_SETFCAP) ||
                      TRY(MayClearPrivileges(request, inode));
  if (counts) TRY(request.volume().xattrs().Remove(inode, name));
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
