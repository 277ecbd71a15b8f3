// SPDX-License-Identifier: BSD-3-Clause
// Error lines for people.
#include "fs/cli/errors.h"

#include <gtest/gtest.h>

namespace ingot::cli {
namespace {

TEST(FormatError, TakesReasonAndHintFromTheContext) {
  EXPECT_EQ(FormatError({"mount", "/p"}, {EINVAL, "not an ingot pool. Hint: mkfs.ingot makes one"}),
            "ingot: cannot mount '/p': not an ingot pool (EINVAL). Hint: mkfs.ingot makes one");
}

TEST(FormatError, AddsTheSystemsWordsToNames) {
  EXPECT_EQ(FormatError({"mount", "/p"}, {EBUSY, "flock"}),
            "ingot: cannot mount '/p': flock: Device or resource busy (EBUSY)");
  EXPECT_EQ(FormatError({"mount", "/p"}, {ENOTDIR, "mount point '/m'"}),
            "ingot: cannot mount '/p': mount point '/m': Not a directory (ENOTDIR)");
}

TEST(FormatError, DoesNotRepeatThePath) {
  EXPECT_EQ(FormatError({"read", "/p"}, {EISDIR, "/p"}),
            "ingot: cannot read '/p': Is a directory (EISDIR)");
  EXPECT_EQ(FormatError({"read", "/p"}, {EISDIR, "/p: what it is"}),
            "ingot: cannot read '/p': what it is (EISDIR)");
  EXPECT_EQ(FormatError({"read", "/p"}, {EISDIR, ""}),
            "ingot: cannot read '/p': Is a directory (EISDIR)");
}

TEST(FormatError, LeavesReasonsAloneThatEndWithAName) {
  EXPECT_EQ(FormatError({"read", "/p"}, {EEXIST, "it holds the ext4 filesystem 'x'"}),
            "ingot: cannot read '/p': it holds the ext4 filesystem 'x' (EEXIST)");
}

TEST(FormatError, KnowsTheWholeCommandForLostSuperblocks) {
  EXPECT_EQ(FormatError({"mount", "/p"},
                        {EUCLEAN,
                         "all three superblocks are damaged. Hint: fsck.ingot re-creates "
                         "them"}),
            "ingot: cannot mount '/p': all three superblocks are damaged (EUCLEAN). Hint: ingot "
            "fsck --superblock /p");
}

TEST(FormatError, KnowsAHintForDamage) {
  const std::string text = FormatError({"mount", "/p"}, {EUCLEAN, "inode 1: checksum"});
  EXPECT_EQ(text, "ingot: cannot mount '/p': inode 1: checksum (EUCLEAN). Hint: ingot fsck -y /p");
}

TEST(FormatError, ADescriptorsNameIsTheDevices) {
  const Error error{EIO,
                    "'/proc/self/fd/17/backing' is missing. Hint: ingot fsck -y /proc/self/fd/17"};
  EXPECT_EQ(FormatError({"mount", "/dev/pmem0"}, error),
            "ingot: cannot mount '/dev/pmem0': '/dev/pmem0/backing' is missing (EIO). Hint: ingot "
            "fsck -y /dev/pmem0");
}

}  // namespace
}  // namespace ingot::cli
