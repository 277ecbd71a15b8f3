// SPDX-License-Identifier: BSD-3-Clause
// Names that exist: lookup and forget, link, unlink, rmdir, rename.
#include <string_view>

#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

Result<void> Lookup(Request& request, fuse_ino_t parent, const char* name) {
  Names& names = request.volume().names();
  const InodeNumber number(parent);
  // "." comes for handles of inodes the kernel has forgotten, of any type; it compares the
  // generation.
  const bool by_number = std::string_view(name) == ".";
  const auto found =
      by_number ? names.LookupByNumber(number, std::nullopt) : names.Lookup(number, name);
  if (found) {
    request.Entry(*found);
  } else if (found.error().code == ENOENT) {
    request.NoEntry();
  } else {
    return Failure(found.error().code, found.error().context);
  }
  return {};
}

Result<void> Forget(Request& request, fuse_ino_t inode, uint64_t count) {
  request.session().Forget(InodeNumber(inode), count);
  request.None();
  return {};
}

Result<void> ForgetMulti(Request& request, size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& forget : std::span(forgets, count)) {
    request.session().Forget(InodeNumber(forget.ino), forget.nlookup);
  }
  request.None();
  return {};
}

Result<void> Link(Request& request, fuse_ino_t inode, fuse_ino_t parent, const char* name) {
  request.Entry(TRY(request.volume().names().Link(InodeNumber(inode), InodeNumber(parent), name)));
  return {};
}

Result<void> Unlink(Request& request, fuse_ino_t parent, const char* name) {
  TRY(request.volume().names().Unlink(InodeNumber(parent), name));
  request.Done();
  return {};
}

Result<void> Rmdir(Request& request, fuse_ino_t parent, const char* name) {
  TRY(request.volume().names().Rmdir(InodeNumber(parent), name));
  request.Done();
  return {};
}

Result<void> Rename(Request& request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
                    const char* new_name, unsigned flags) {
  TRY(request.volume().names().Rename(InodeNumber(parent), name, InodeNumber(new_parent), new_name,
                                      flags, request.caller()));
  request.Done();
  return {};
}

}  // namespace

void AddNameOperations(fuse_lowlevel_ops& operations) {
  operations.lookup = &Handler<Operation::kLookup, &Lookup>::Call;
  operations.forget = &Handler<Operation::kForget, &Forget>::Call;
  operations.forget_multi = &Handler<Operation::kForgetMulti, &ForgetMulti>::Call;
  operations.link = &Handler<Operation::kLink, &Link>::Call;
  operations.unlink = &Handler<Operation::kUnlink, &Unlink>::Call;
  operations.rmdir = &Handler<Operation::kRmdir, &Rmdir>::Call;
  operations.rename = &Handler<Operation::kRename, &Rename>::Call;
}

}  // namespace ingot
