// SPDX-License-Identifier: BSD-3-Clause
// The reply to READDIR or READDIRPLUS, filled entry by entry up to the size that was asked for.
//
// With READDIRPLUS it holds a lookup reference on each inode in it, until the kernel has taken
// the reply. Lives for one request, on one thread.
#pragma once

#include <span>
#include <vector>

#include "fs/core/directory.h"
#include "fs/core/names.h"
#include "fs/fuse/libfuse.h"

namespace ingot {

class DirectoryBuffer {
 public:
  DirectoryBuffer(Names& names, size_t size_bytes, bool plus);
  // Gives the references back, unless they were handed over.
  ~DirectoryBuffer();
  DirectoryBuffer(const DirectoryBuffer&) = delete;

  // False: no room.
  bool Add(const DirectoryEntry& entry);
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(bytes_)).first(used_);
  }
  [[nodiscard]] size_t MaxEntries() const;
  void HandOver() { referenced_.clear(); }

 private:
  bool AddPlain(const DirectoryEntry& entry);
  bool AddPlus(const DirectoryEntry& entry);
  fuse_entry_param Describe(const DirectoryEntry& entry);
  [[nodiscard]] char* end() { return bytes_.data() + used_; }
  [[nodiscard]] size_t room() const { return bytes_.size() - used_; }

  Names& names_;
  const bool plus_;
  std::vector<char> bytes_;
  size_t used_ = 0;
  std::vector<InodeNumber> referenced_;
};

}  // namespace ingot
