// SPDX-License-Identifier: BSD-3-Clause
// The pool's contents.
#include "tests/fuzz/sample_pool.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <string_view>

#include "fs/core/volume.h"
#include "pmemdev/base/check.h"
#include "tests/support/test_region.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kSamplePoolBytes = 24 * kMebibyte;
// Of long names.
constexpr uint32_t kNarrowEntries = 34;  // a few leaves
constexpr uint32_t kWideEntries = 260;   // more leaves than a root holds
constexpr uint32_t kFragments = 24;      // more extents than a root holds
constexpr Caller kOwner{.uid = 1000, .gid = 100};

// A failure is our own bug: there is room enough.
template <typename T>
T Must(Result<T> result, std::string_view what) {
  CHECK(result.has_value(), "{}: {}", what, Describe(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Builder {
 public:
  explicit Builder(Volume& volume) : volume_(volume) {}

  InodeNumber Node(InodeNumber parent, std::string_view name, uint32_t mode,
                   std::string_view target = {}) {
    NewNode node;
    node.mode = mode;
    node.symlink_target = target;
    if (S_ISBLK(mode) || S_ISCHR(mode)) node.device = 0x801;
    const Attributes made = Must(volume_.names().Create(parent, name, node, kOwner), name);
    volume_.names().Forget(made.inode, 1);
    return made.inode;
  }
  InodeNumber File(InodeNumber parent, std::string_view name, uint64_t size_bytes = 0) {
    const InodeNumber inode = Node(parent, name, S_IFREG | 0644);
    if (size_bytes != 0) Write(inode, 0, size_bytes);
    return inode;
  }
  void Write(InodeNumber inode, uint64_t offset, uint64_t size_bytes) {
    std::vector<std::byte> bytes(size_bytes);
    for (uint64_t i = 0; i < size_bytes; ++i) {
      bytes[i] = static_cast<std::byte>((inode.value * 31 + offset + i) * 2654435761U >> 24);
    }
    Must(volume_.data().Write(inode, offset, bytes, {}), "write");
  }
  void SetXattr(InodeNumber inode, std::string_view name, size_t size_bytes) {
    const std::vector<std::byte> value(size_bytes, std::byte{0x5A});
    Must(volume_.xattrs().Set(inode, name, value, XattrSetMode::kAny, false), name);
  }
  void Link(InodeNumber inode, InodeNumber parent, std::string_view name) {
    Must(volume_.names().Link(inode, parent, name), name);
    volume_.names().Forget(inode, 1);
  }

  void Files(InodeNumber root) {
    File(root, "f0", 100);
    File(root, "f1", 9000);
    File(root, "f2", kMebibyte + 5000);  // crosses 1 MiB: a whole huge page
    Write(File(root, "f3"), uint64_t{1} << 40, 5000);
    const InodeNumber fragmented = File(root, "f4");
    for (uint32_t i = 0; i < kFragments; ++i) Write(fragmented, i * 3 * kPageSize, kPageSize);
    const InodeNumber unwritten = File(root, "f5");
    Must(volume_.data().Fallocate(unwritten, kFallocateKeepSize, 0, 64 * kPageSize), "fallocate");
    Write(unwritten, 40000, 100);
    SetXattr(File(root, "f6"), "trusted.x0", 20);
    const InodeNumber large = File(root, "f7", 20);
    SetXattr(large, "trusted.x1", 9000);
    SetXattr(large, "trusted.x2", 3000);
    SetXattr(File(root, "head"), "trusted.x3", 2000);
    Node(root, "short", S_IFLNK | 0777, "f1");
    Node(root, "long", S_IFLNK | 0777, std::string(1000, 'x'));
    for (const uint32_t type : {0x1u, 0x2u, 0x6u, 0xCu}) {  // fifo, char, block, socket
      Node(root, fmt::format("special{:x}", type), type << 12 | 0600);
    }
  }

  void Directories(InodeNumber root, uint32_t big_entries) {
    const InodeNumber outer = Node(root, "d0", S_IFDIR | 0755);
    const InodeNumber inner = Node(outer, "d1", S_IFDIR | 0700);
    Node(inner, "d2", S_IFDIR | 02755);
    const InodeNumber file = File(inner, "f0", 5000);
    Link(file, outer, "f1");
    Node(root, "d1", S_IFDIR | 0755);
    const InodeNumber big = Node(root, "d2", S_IFDIR | 0755);
    SetXattr(big, "user.x", 100);
    const InodeNumber linked = File(root, "linked", 10);
    for (uint32_t i = 0; i < big_entries; ++i) {
      Link(linked, big, fmt::format("{:0>{}}", i, 180 + i % 76));
    }
  }

  // One without a name, open when the pool was last used; and one whose truncation was cut short.
  void Orphans(InodeNumber root) {
    NewNode unnamed;
    unnamed.mode = S_IFREG | 0600;
    unnamed.open = true;
    const Attributes made =
        Must(volume_.names().CreateUnnamed(Volume::kRoot, unnamed, kOwner), "orphan");
    Write(made.inode, 0, 20000);

    const InodeNumber truncated = File(root, "truncated", 30000);
    const ExclusiveInodeLocks lock(volume_.core().locks, truncated);
    Transaction transaction(*volume_.core().allocator, volume_.core().reader);
    media::Inode* inode = Must(transaction.EditInode(truncated), "edit");
    Must(volume_.orphans().Mark(transaction, *inode), "mark");
    inode->size_bytes = 100;
    Must(transaction.Commit(), "commit");
  }

 private:
  Volume& volume_;
};

std::unique_ptr<Device> FormattedVolume(uint64_t size_bytes) {
  std::unique_ptr<Device> device = FormattedDevice(size_bytes);
  Must(Volume::Format(*device, Caller{}), "format");
  return device;
}

}  // namespace

int MakeEmptyPool(uint64_t size_bytes) {
  const FixedChance chance;
  return fcntl(FormattedVolume(size_bytes)->mapping().fd(), F_DUPFD_CLOEXEC, 0);
}

int MakeSamplePool(SampleWidth width) {
  const FixedChance chance;
  std::unique_ptr<Device> device = FormattedVolume(kSamplePoolBytes);
  const int fd = fcntl(device->mapping().fd(), F_DUPFD_CLOEXEC, 0);
  const std::unique_ptr<Volume> volume = Must(Volume::Open(std::move(device), {}), "open");
  Builder builder(*volume);
  builder.Files(Volume::kRoot);
  builder.Directories(Volume::kRoot, width == SampleWidth::kWide ? kWideEntries : kNarrowEntries);
  builder.Orphans(Volume::kRoot);
  return fd;
}

}  // namespace ingot::tests
