// SPDX-License-Identifier: BSD-3-Clause
// Replies of READDIR and READDIRPLUS, parsed as the kernel does: names of all lengths, the entry
// that has no room, a damaged name.
#include "fs/fuse/directory_buffer.h"

#include <dirent.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

struct Parsed {
  uint64_t node = 0;
  uint64_t cookie = 0;
  std::string name;
};

// The entries of a READDIRPLUS reply; a failure of the test if they don't fit it exactly.
std::vector<Parsed> Parse(std::span<const std::byte> reply) {
  std::vector<Parsed> entries;
  while (!reply.empty()) {
    fuse_direntplus entry{};
    if (reply.size() < FUSE_NAME_OFFSET_DIRENTPLUS) break;
    std::memcpy(&entry, reply.data(), FUSE_NAME_OFFSET_DIRENTPLUS);
    const size_t size_bytes = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + entry.dirent.namelen);
    if (size_bytes > reply.size()) break;
    const auto* name = reinterpret_cast<const char*>(reply.data()) + FUSE_NAME_OFFSET_DIRENTPLUS;
    entries.push_back({entry.entry_out.nodeid, entry.dirent.off, {name, entry.dirent.namelen}});
    reply = reply.subspan(size_bytes);
  }
  EXPECT_TRUE(reply.empty());
  return entries;
}

class DirectoryBufferTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Volume>> volume = OpenPool(NewPool(kPoolBytes));
    ASSERT_TRUE(volume.has_value());
    volume_ = std::move(*volume);
  }
  InodeNumber Make(const std::string& name) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    const auto made = volume_->names().Create(Volume::kRoot, name, node, Caller{});
    EXPECT_TRUE(made.has_value());
    volume_->names().Forget(made->inode, 1);
    return made->inode;
  }

  static constexpr uint64_t kPoolBytes = uint64_t{16} << 20;
  std::unique_ptr<Volume> volume_;
};

TEST_F(DirectoryBufferTest, NamesOfAllLengthsComeWhole) {
  std::map<std::string, InodeNumber> made;
  for (size_t length = 1; length <= 255; ++length) {
    const std::string name(length, static_cast<char>('a' + length % 26));
    made.emplace(name, Make(name));
  }
  std::map<std::string, InodeNumber> listed;
  uint64_t cookie = 0;
  for (size_t size_bytes = 500;; size_bytes = 300 + (size_bytes * 7) % 3000) {
    DirectoryBuffer buffer(volume_->names(), size_bytes, /*plus=*/true);
    ASSERT_TRUE(volume_->names().VisitDirectory(
        Volume::kRoot, cookie, [&](const auto& entry) { return buffer.Add(entry); }));
    buffer.Describe();
    EXPECT_LE(buffer.bytes().size(), size_bytes);
    const std::vector<Parsed> entries = Parse(buffer.bytes());
    for (const Parsed& entry : entries) {
      EXPECT_GT(entry.cookie, cookie);
      cookie = entry.cookie;
      if (entry.name == "." || entry.name == "..") continue;
      EXPECT_TRUE(listed.emplace(entry.name, InodeNumber(entry.node)).second) << entry.name;
      EXPECT_TRUE(volume_->core().inodes.IsReferenced(InodeNumber(entry.node)));
    }
    if (entries.empty() && size_bytes >= 500) break;
  }
  EXPECT_EQ(listed.size(), made.size());
  for (const auto& [name, inode] : made) {
    EXPECT_EQ(listed[name], inode) << name;
    EXPECT_FALSE(volume_->core().inodes.IsReferenced(inode)) << "a reply that nobody took";
  }
}

// Checksums are no signatures: a zero byte in a name is the image's maker's. libfuse ends there.
TEST_F(DirectoryBufferTest, ANameWithAZeroByteEndsThere) {
  const InodeNumber inode = Make("file");
  std::string name(255, 'x');
  name[8] = '\0';
  DirectoryBuffer buffer(volume_->names(), FUSE_NAME_OFFSET_DIRENTPLUS + 8, /*plus=*/true);
  ASSERT_TRUE(buffer.Add({7, inode, DT_REG, name}));
  EXPECT_FALSE(buffer.Add({8, inode, DT_REG, "more"}));
  buffer.Describe();
  const std::vector<Parsed> entries = Parse(buffer.bytes());
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].name, "xxxxxxxx");
  EXPECT_EQ(entries[0].node, inode.value);
}

TEST_F(DirectoryBufferTest, AnInodeOfAnotherTypeIsNotDescribed) {
  const InodeNumber inode = Make("file");
  DirectoryBuffer buffer(volume_->names(), 4096, /*plus=*/true);
  ASSERT_TRUE(buffer.Add({7, inode, DT_DIR, "file"}));
  buffer.Describe();
  const std::vector<Parsed> entries = Parse(buffer.bytes());
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].node, 0U);
  EXPECT_FALSE(volume_->core().inodes.IsReferenced(inode));
}

}  // namespace
}  // namespace ingot::tests
