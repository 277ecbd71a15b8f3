// SPDX-License-Identifier: BSD-3-Clause
// One inode on a device in memory, for tests of what hangs below it: tree, extents, directory.
//
// Changes run in transactions of their own; blocks on the medium can be damaged behind the
// filesystem's back.
#pragma once

#include <sys/stat.h>

#include <cstring>
#include <utility>

#include "fs/core/owned_block.h"
#include "tests/fs/core/core_fixture.h"

namespace ingot::tests {

class InodeFixture : public CoreFixture {
 protected:
  static constexpr InodeNumber kNumber{2};

  void MakeWithInode(uint64_t size_bytes, uint32_t mode, uint16_t xattr_bytes = 0) {
    Make(size_bytes);
    Transaction transaction(allocator(), core().reader);
    Result<media::Inode*> inode = transaction.NewInode(kNumber);
    ASSERT_OK(inode);
    (*inode)->mode = mode;
    (*inode)->generation = 77;
    (*inode)->links = 1;
    (*inode)->xattr_bytes = xattr_bytes;
    ASSERT_OK(transaction.Commit());
    free_pages_ = allocator().Count().free_pages;
  }
  media::Inode Inode() {
    Result<media::Inode> inode = core().reader.ReadInode(kNumber);
    if (!inode) ADD_FAILURE() << Describe(inode.error());
    return inode ? *inode : media::Inode{};
  }
  // Runs edit(transaction, inode) and commits, unless it fails.
  template <typename Edit>
  Result<void> Change(Edit&& edit) {
    Transaction transaction(allocator(), core().reader);
    media::Inode* inode = TRY(transaction.EditInode(kNumber));
    TRY(edit(transaction, *inode));
    return transaction.Commit();
  }
  // The pages that went since the inode was made.
  uint64_t UsedPages() { return free_pages_ - allocator().Count().free_pages; }

  template <typename Block>
  Block ReadBlock(LogicalPage page) {
    Block block;
    const Result<void> done = device().Read(OffsetOf(page), WritableBytesOf(block));
    if (!done) ADD_FAILURE() << Describe(done.error());
    return block;
  }
  // As if the medium had held these bytes since before the mount.
  template <typename Block>
  void WriteBlock(LogicalPage page, const Block& block) {
    PersistStream stream = device().persist().NewStream();
    ASSERT_OK(stream.CopyUnfenced(Geometry::ToMedia(page), BytesOf(block)));
    ASSERT_OK(stream.Fence());
    device().page_array().Get(page).flags.store(0);
  }
  template <typename Block>
  void WriteSealed(LogicalPage page, Block block) {
    SealBlock(page, WritableBytesOf(block));
    WriteBlock(page, block);
  }

 private:
  uint64_t free_pages_ = 0;
};

}  // namespace ingot::tests
