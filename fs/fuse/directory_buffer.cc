// SPDX-License-Identifier: BSD-3-Clause
// Entries in libfuse's form. Their sizes are known before anything is looked up.
#include "fs/fuse/directory_buffer.h"

#include <dirent.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include <array>
#include <cstring>

#include "fs/fuse/attribute_conversion.h"

namespace ingot {
namespace {

// What libfuse puts in front of a name: fuse_direntplus.
constexpr size_t kPlusHeaderBytes = FUSE_NAME_OFFSET_DIRENTPLUS;

// libfuse wants a zero byte behind the name.
using Name = std::array<char, media::kMaxNameLength + 1>;
void CopyName(const char* from, size_t size_bytes, Name& to) {
  std::memcpy(to.data(), from, size_bytes);
  to[size_bytes] = '\0';
}

// All that is said of an inode that isn't counted: number and type.
struct stat StatusOf(InodeNumber inode, uint8_t type) {
  struct stat status {};
  status.st_ino = inode.value;
  status.st_mode = static_cast<mode_t>(DTTOIF(type));
  return status;
}

}  // namespace

DirectoryBuffer::DirectoryBuffer(Names& names, size_t size_bytes, bool plus)
    : names_(names),
      plus_(plus),
      size_bytes_(size_bytes),
      bytes_(std::make_unique_for_overwrite<char[]>(size_bytes)) {}

DirectoryBuffer::~DirectoryBuffer() {
  for (const InodeNumber inode : referenced_) names_.Forget(inode, 1);
}

bool DirectoryBuffer::Add(const DirectoryEntryView& entry) {
  Name name;
  CopyName(entry.name.data(), entry.name.size(), name);
  char* to = bytes_.get() + used_;
  const auto cookie = static_cast<off_t>(entry.key);
  size_t size_bytes = 0;
  if (plus_) {
    fuse_entry_param description{};
    description.attr = StatusOf(entry.inode, entry.type);
    size_bytes = fuse_add_direntry_plus(nullptr, to, room(), name.data(), &description, cookie);
  } else {
    const struct stat status = StatusOf(entry.inode, entry.type);
    size_bytes = fuse_add_direntry(nullptr, to, room(), name.data(), &status, cookie);
  }
  if (size_bytes > room()) return false;
  // Node 0 says nothing of the inode. Enough for "." and "..", which are never counted.
  if (plus_ && entry.name != "." && entry.name != "..") {
    // (What libfuse has put there: a damaged name may hold a zero byte.)
    const auto name_bytes = static_cast<uint8_t>(std::strlen(name.data()));
    described_.push_back({used_, entry.inode, entry.key, entry.type, name_bytes});
  }
  used_ += size_bytes;
  return true;
}

void DirectoryBuffer::Describe() {
  for (const Described& entry : described_) {
    const fuse_entry_param description = AttributesOf(entry);
    if (description.ino == 0) continue;
    char* at = bytes_.get() + entry.place;
    Name name;
    CopyName(at + kPlusHeaderBytes, entry.name_bytes, name);
    fuse_add_direntry_plus(nullptr, at, size_bytes_ - entry.place, name.data(), &description,
                           static_cast<off_t>(entry.key));
  }
}

// Node 0 also for an inode that can't be read: asking for it by name gives its error.
fuse_entry_param DirectoryBuffer::AttributesOf(const Described& entry) {
  // The entry can't have changed since it was read: the kernel holds the directory's lock during
  // READDIRPLUS, and all changes come through it. The type is compared all the same.
  referenced_.push_back(entry.inode);  // first, or a reference could be taken and not be noted
  const auto attributes = NoThrow([&] { return names_.LookupByNumber(entry.inode, std::nullopt); });
  if (attributes && IFTODT(attributes->mode) == entry.type) return ToEntry(*attributes);
  if (attributes) names_.Forget(entry.inode, 1);
  referenced_.pop_back();
  return {};
}

}  // namespace ingot
