// SPDX-License-Identifier: BSD-3-Clause
// Entries in libfuse's form. Their sizes are known before anything is looked up.
#include "fs/fuse/directory_buffer.h"

#include <dirent.h>
#include <sys/stat.h>

#include "fs/fuse/attribute_conversion.h"

namespace ingot {
namespace {

// Of an entry with a name of one to eight bytes: 24 and 152 bytes of headers (fuse_dirent,
// fuse_direntplus) and the name padded to 8.
constexpr size_t kSmallestEntryBytes = 24 + 8;
constexpr size_t kSmallestPlusEntryBytes = 152 + 8;

}  // namespace

DirectoryBuffer::DirectoryBuffer(Names& names, size_t size_bytes, bool plus)
    : names_(names), plus_(plus), bytes_(size_bytes) {}

DirectoryBuffer::~DirectoryBuffer() {
  for (const InodeNumber inode : referenced_) names_.Forget(inode, 1);
}

size_t DirectoryBuffer::MaxEntries() const {
  return bytes_.size() / (plus_ ? kSmallestPlusEntryBytes : kSmallestEntryBytes) + 1;
}

bool DirectoryBuffer::Add(const DirectoryEntry& entry) {
  return plus_ ? AddPlus(entry) : AddPlain(entry);
}

bool DirectoryBuffer::AddPlain(const DirectoryEntry& entry) {
  struct stat status {};
  status.st_ino = entry.inode.value;
  status.st_mode = static_cast<mode_t>(DTTOIF(entry.type));
  const size_t size_bytes = fuse_add_direntry(nullptr, end(), room(), entry.name.c_str(), &status,
                                              static_cast<off_t>(entry.key));
  if (size_bytes > room()) return false;
  used_ += size_bytes;
  return true;
}

bool DirectoryBuffer::AddPlus(const DirectoryEntry& entry) {
  // Room first, so that no reference is taken in vain.
  const size_t size_bytes =
      fuse_add_direntry_plus(nullptr, nullptr, 0, entry.name.c_str(), nullptr, 0);
  if (size_bytes > room()) return false;
  const fuse_entry_param description = Describe(entry);
  fuse_add_direntry_plus(nullptr, end(), room(), entry.name.c_str(), &description,
                         static_cast<off_t>(entry.key));
  used_ += size_bytes;
  return true;
}

fuse_entry_param DirectoryBuffer::Describe(const DirectoryEntry& entry) {
  fuse_entry_param description{};
  // Node 0 says nothing about the inode but number and type. Enough for "." and "..", which are
  // never counted, and for an inode that can't be read: asking for it by name gives its error.
  description.attr.st_ino = entry.inode.value;
  description.attr.st_mode = static_cast<mode_t>(DTTOIF(entry.type));
  if (entry.name == "." || entry.name == "..") return description;
  // The entry can't have changed since it was read: the kernel holds the directory's lock during
  // READDIRPLUS, and all changes come through it. The type is compared all the same.
  referenced_.push_back(entry.inode);  // first, or a reference could be taken and not be noted
  const auto attributes =
      NoThrow([&] { return names_.LookupByNumber(entry.inode, std::nullopt); });
  if (attributes && IFTODT(attributes->mode) == entry.type) return ToEntry(*attributes);
  if (attributes) names_.Forget(entry.inode, 1);
  referenced_.pop_back();
  return description;
}

}  // namespace ingot
