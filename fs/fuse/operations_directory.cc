// SPDX-License-Identifier: BSD-3-Clause
// readdir and readdirplus. Cookies are the core's: stable over inserts and deletes, so a handle
// needs no state.
#include "fs/fuse/directory_buffer.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

Result<void> List(Request& request, InodeNumber directory, size_t size_bytes, off_t cookie,
                  bool plus) {
  Names& names = request.volume().names();
  DirectoryBuffer buffer(names, size_bytes, plus);
  TRY(names.VisitDirectory(directory, static_cast<uint64_t>(cookie),
                           [&](const DirectoryEntryView& entry) { return buffer.Add(entry); }));
  buffer.Describe();
  const bool first = cookie == 0;
  if (request.Bytes(buffer.bytes()) == 0) buffer.HandOver();
  // Once a listing is enough: the kernel rereads what it keeps without asking.
  if (first) request.session().TouchAtime(directory);
  return {};
}

Result<void> Readdir(Request& request, fuse_ino_t inode, size_t size_bytes, off_t cookie,
                     fuse_file_info*) {
  return List(request, InodeNumber(inode), size_bytes, cookie, false);
}

Result<void> Readdirplus(Request& request, fuse_ino_t inode, size_t size_bytes, off_t cookie,
                         fuse_file_info*) {
  return List(request, InodeNumber(inode), size_bytes, cookie, true);
}

}  // namespace

void AddDirectoryOperations(fuse_lowlevel_ops& operations) {
  operations.readdir = &Handler<Operation::kReaddir, &Readdir>::Call;
  operations.readdirplus = &Handler<Operation::kReaddirplus, &Readdirplus>::Call;
}

}  // namespace ingot
