// SPDX-License-Identifier: BSD-3-Clause
// What several operations ask of an inode or of the volume. Reads only, but for the host's sync.
#include "fs/core/core.h"

#include <algorithm>

#include "fs/core/attributes.h"

namespace ingot {
namespace {

Time TimeOf(const struct timespec& time) {
  return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec)};
}

}  // namespace

Result<void> Core::CheckWritable() const {
  if (options.read_only || device.mapping().read_only() || !device.writable()) {
    return Failure(EROFS);
  }
  return {};
}

Result<Attributes> Core::AttributesOf(const media::Inode& inode) const {
  Attributes attributes = StoredAttributesOf(inode);
  if (inode.body_form != media::BodyForm::kBacked || backing == nullptr) [[likely]] {
    return attributes;
  }
  attributes.is_backed = true;
  const Result<struct stat> status = backing->Stat(inode.backing_file);
  if (status.error_code() == EIO) return attributes;
  if (!status) return tl::unexpected<Error>(status.error());
  attributes.size_bytes = static_cast<uint64_t>(status->st_size);
  attributes.page_count += static_cast<uint64_t>(status->st_blocks) / (kPageSize / 512);
  attributes.atime = TimeOf(status->st_atim);
  attributes.mtime = TimeOf(status->st_mtim);
  attributes.ctime = std::max(attributes.ctime, TimeOf(status->st_ctim));
  return attributes;
}

Result<std::shared_ptr<BackingFile>> Core::FileOf(const media::Inode& inode) const {
  if (backing == nullptr) return Failure(EOPNOTSUPP, "a backed file in a pool that has none");
  return backing->File(inode.backing_file);
}

Result<void> Core::SyncBacked(InodeNumber number) {
  if (backing == nullptr) return {};
  std::shared_ptr<BackingFile> file;
  {
    const SharedInodeLock lock(locks, number);
    const Result<media::Inode> inode = reader.ReadInodeHead(number);
    if (!inode || inode->body_form != media::BodyForm::kBacked) return {};
    file = TRY(FileOf(*inode));
  }
  return file->SyncIfDirty();
}

}  // namespace ingot
