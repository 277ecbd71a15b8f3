// SPDX-License-Identifier: BSD-3-Clause
// The walk goes by names alone, depth first. Only for volumes that nobody else uses meanwhile.
#include "tests/fs/core/volume_walk.h"

#include <dirent.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

namespace ingot::tests {
namespace {

std::vector<DirectoryEntry> EntriesOf(Volume& volume, InodeNumber directory) {
  std::vector<DirectoryEntry> entries;
  uint64_t cookie = 2;
  for (;;) {
    const auto some = volume.names().ReadDirectory(directory, cookie, 100);
    EXPECT_TRUE(some) << Describe(some.error());
    if (!some || some->empty()) return entries;
    cookie = some->back().key;
    entries.insert(entries.end(), some->begin(), some->end());
  }
}

void WalkDirectory(Volume& volume, const media::Inode& directory, WalkSummary& summary) {
  uint32_t subdirectories = 0;
  const InodeNumber number(directory.number);
  const std::vector<DirectoryEntry> entries = EntriesOf(volume, number);
  ++summary.directories;
  for (const DirectoryEntry& entry : entries) {
    const auto inode = volume.core().reader.ReadInode(entry.inode);
    ASSERT_TRUE(inode) << entry.name << ": " << Describe(inode.error());
    EXPECT_EQ(entry.type, inode->mode >> 12) << entry.name;
    EXPECT_EQ(inode->flags & media::kInodeOrphan, 0u) << entry.name;
    if (!S_ISDIR(inode->mode)) {
      ++summary.links[entry.inode.value];
      continue;
    }
    ++subdirectories;
    EXPECT_EQ(inode->parent, directory.number) << entry.name;
    WalkDirectory(volume, *inode, summary);
  }
  EXPECT_EQ(directory.entry_count, entries.size()) << "inode " << directory.number;
  EXPECT_EQ(directory.links, 2 + subdirectories) << "inode " << directory.number;
}

void Empty(Volume& volume, InodeNumber directory) {
  for (const DirectoryEntry& entry : EntriesOf(volume, directory)) {
    if (entry.type == DT_DIR) {
      Empty(volume, entry.inode);
      const auto done = volume.names().Rmdir(directory, entry.name);
      EXPECT_TRUE(done) << entry.name << ": " << Describe(done.error());
    } else {
      const auto done = volume.names().Unlink(directory, entry.name);
      EXPECT_TRUE(done) << entry.name << ": " << Describe(done.error());
    }
  }
}

}  // namespace

WalkSummary Walk(Volume& volume) {
  WalkSummary summary;
  const auto root = volume.core().reader.ReadInode(Volume::kRoot);
  EXPECT_TRUE(root) << Describe(root.error());
  if (root) WalkDirectory(volume, *root, summary);
  for (const auto& [number, names] : summary.links) {
    const auto inode = volume.core().reader.ReadInode(InodeNumber(number));
    EXPECT_EQ(inode->links, names) << "inode " << number;
  }
  return summary;
}

void RemoveAll(Volume& volume) { Empty(volume, Volume::kRoot); }

}  // namespace ingot::tests
