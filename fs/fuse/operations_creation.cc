// SPDX-License-Identifier: BSD-3-Clause
// New inodes: mknod, mkdir, symlink, create, tmpfile.
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/fuse/open_mode.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/request.h"
#include "fs/fuse/session.h"

namespace ingot {
namespace {

// The core takes the umask away, or else a default ACL of the parent takes its place.
NewNode NodeOf(const Request& request, mode_t type, mode_t mode) {
  NewNode node;
  node.mode = type | (mode & ALLPERMS);
  node.umask = request.umask();
  return node;
}

// As databases open what they map; temporary files are made exclusively, copies write-only, and
// compilers truncate (rule B1).
bool IsLikelyMapped(int flags) {
  return (flags & O_ACCMODE) == O_RDWR && (flags & (O_EXCL | O_TRUNC)) == 0;
}

void ChooseMode(Request& request, const Attributes& made, fuse_file_info& file) {
  if (Passthrough* const passthrough = request.session().passthrough()) {
    passthrough->OpenNew(made, file);
  } else {
    ChooseOpenMode(file, request.session().options().cache, made.size_bytes);
  }
}

Result<void> Mknod(Request& request, fuse_ino_t parent, const char* name, mode_t mode,
                   dev_t device) {
  NewNode node = NodeOf(request, mode & S_IFMT, mode);
  node.device = S_ISBLK(mode) || S_ISCHR(mode) ? device : 0;
  request.Entry(
      TRY(request.volume().names().Create(InodeNumber(parent), name, node, request.caller())));
  return {};
}

Result<void> Mkdir(Request& request, fuse_ino_t parent, const char* name, mode_t mode) {
  const NewNode node = NodeOf(request, S_IFDIR, mode);
  request.Entry(
      TRY(request.volume().names().Create(InodeNumber(parent), name, node, request.caller())));
  return {};
}

Result<void> Symlink(Request& request, const char* target, fuse_ino_t parent, const char* name) {
  NewNode node;
  node.mode = S_IFLNK | 0777;
  node.symlink_target = target;
  request.Entry(
      TRY(request.volume().names().Create(InodeNumber(parent), name, node, request.caller())));
  return {};
}

Result<void> Create(Request& request, fuse_ino_t parent, const char* name, mode_t mode,
                    fuse_file_info* file) {
  NewNode node = NodeOf(request, S_IFREG, mode);
  node.open = true;
  node.likely_mapped = IsLikelyMapped(file->flags);
  const Attributes made =
      TRY(request.volume().names().Create(InodeNumber(parent), name, node, request.caller()));
  ChooseMode(request, made, *file);
  request.Created(made, *file);
  return {};
}

Result<void> Tmpfile(Request& request, fuse_ino_t parent, mode_t mode, fuse_file_info* file) {
  NewNode node = NodeOf(request, S_IFREG, mode);
  node.open = true;
  node.likely_mapped = IsLikelyMapped(file->flags);
  const Attributes made =
      TRY(request.volume().names().CreateUnnamed(InodeNumber(parent), node, request.caller()));
  ChooseMode(request, made, *file);
  request.Created(made, *file);
  return {};
}

}  // namespace

void AddCreationOperations(fuse_lowlevel_ops& operations) {
  operations.mknod = &Handler<Operation::kMknod, &Mknod>::Call;
  operations.mkdir = &Handler<Operation::kMkdir, &Mkdir>::Call;
  operations.symlink = &Handler<Operation::kSymlink, &Symlink>::Call;
  operations.create = &Handler<Operation::kCreate, &Create>::Call;
  operations.tmpfile = &Handler<Operation::kTmpfile, &Tmpfile>::Call;
}

}  // namespace ingot
