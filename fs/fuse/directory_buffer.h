// SPDX-License-Identifier: BSD-3-Clause
// The reply to READDIR or READDIRPLUS, filled entry by entry up to the size that was asked for.
//
// Entries go straight from the directory's leaf into the reply, under the directory's lock, where
// no other inode may be locked: so READDIRPLUS's attributes come in a second step. It then holds a
// lookup reference on each inode in it, until the kernel has taken the reply. Lives for one
// request, on one thread.
#pragma once

#include <memory>
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

  // False: no room. Takes no lock.
  bool Add(const DirectoryEntryView& entry);
  // READDIRPLUS: puts the attributes in, and takes the references. No lock is held.
  void Describe();
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(bytes_.get(), used_));
  }
  void HandOver() { referenced_.clear(); }

 private:
  struct Described {  // one that gets attributes
    size_t place;
    InodeNumber inode;
    uint64_t key;
    uint8_t type;
    uint8_t name_bytes;
  };
  fuse_entry_param AttributesOf(const Described& entry);
  [[nodiscard]] size_t room() const { return size_bytes_ - used_; }

  Names& names_;
  const bool plus_;
  const size_t size_bytes_;
  std::unique_ptr<char[]> bytes_;
  size_t used_ = 0;
  std::vector<Described> described_;
  std::vector<InodeNumber> referenced_;
};

}  // namespace ingot
