// SPDX-License-Identifier: BSD-3-Clause
// The walk, and the comparison in words.
#include "tests/crash/tree_snapshot.h"

#include <sys/stat.h>

#include <cerrno>
#include <span>
#include <tuple>

#include <fmt/format.h>

#include "fs/core/xattrs.h"
#include "pmemdev/base/checksum.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMaxContentsBytes = uint64_t{64} << 20;

uint64_t HashOf(const std::string& text, uint64_t seed) {
  return Hash64(std::as_bytes(std::span(text)), seed);
}

Result<void> AddXattrs(Volume& volume, InodeNumber inode, NodeState& state) {
  const std::string names = TRY(volume.xattrs().List(inode));
  for (size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    const std::vector<std::byte> value = TRY(volume.xattrs().Get(inode, name));
    state.xattrs_hash += Hash64(value, HashOf(name, 1));
    state.has_capability = state.has_capability || name == kCapabilityName;
  }
  return {};
}

Result<NodeState> StateOf(Volume& volume, const Attributes& attributes) {
  NodeState state{.attributes = attributes};
  if (S_ISREG(attributes.mode)) {
    state.contents_hash = HashOf(TRY(ContentsOf(volume, attributes.inode)), 0);
  } else if (S_ISLNK(attributes.mode)) {
    state.contents_hash = HashOf(TRY(volume.names().ReadLink(attributes.inode)), 0);
  }
  TRY(AddXattrs(volume, attributes.inode, state));
  return state;
}

Result<void> WalkDirectory(Volume& volume, InodeNumber directory, const std::string& path,
                           TreeSnapshot& snapshot) {
  constexpr size_t kBatch = 64;
  uint64_t cookie = 0;
  for (;;) {
    const auto batch = TRY(volume.names().ReadDirectory(directory, cookie, kBatch));
    if (batch.empty()) return {};
    cookie = batch.back().key;
    for (const DirectoryEntry& entry : batch) {
      if (entry.name == "." || entry.name == "..") continue;
      const Attributes found = TRY(volume.names().Lookup(directory, entry.name));
      volume.names().Forget(found.inode, 1);
      const std::string below = path + "/" + entry.name;
      if (!snapshot.emplace(below, TRY(StateOf(volume, found))).second) {
        return Failure(EEXIST, below + " is listed twice");
      }
      if (S_ISDIR(found.mode)) TRY(WalkDirectory(volume, found.inode, below, snapshot));
    }
  }
}

// Everything but the name, comparable.
auto KeyOf(const NodeState& state) {
  const Attributes& a = state.attributes;
  return std::tuple(a.inode.value, a.generation, a.mode, a.links, a.uid, a.gid, a.device,
                    a.size_bytes, a.page_count, a.atime, a.mtime, a.ctime, a.birth, a.flags,
                    a.project, state.contents_hash, state.xattrs_hash);
}

std::string Words(const Attributes& a) {
  return fmt::format(
      "inode {}.{} mode {:o} links {} owner {}:{} device {} size {} pages {} atime {}.{} mtime "
      "{}.{} ctime {}.{} birth {} flags {:#x} project {}",
      a.inode.value, a.generation, a.mode, a.links, a.uid, a.gid, a.device, a.size_bytes,
      a.page_count, a.atime.seconds, a.atime.nanoseconds, a.mtime.seconds, a.mtime.nanoseconds,
      a.ctime.seconds, a.ctime.nanoseconds, a.birth.seconds, a.flags, a.project);
}

std::string Words(const NodeState& state) {
  return fmt::format("{} contents {:x} xattrs {:x}", Words(state.attributes), state.contents_hash,
                     state.xattrs_hash);
}

// What a half-done change of contents may have changed by now.
NodeState WithoutContents(NodeState state) {
  Attributes& a = state.attributes;
  a.size_bytes = a.page_count = 0;
  a.atime = a.mtime = a.ctime = Time{};
  state.contents_hash = 0;
  return state;
}

}  // namespace

Result<std::string> ContentsOf(Volume& volume, InodeNumber inode) {
  const Attributes attributes = TRY(volume.attributes().Get(inode));
  if (attributes.size_bytes > kMaxContentsBytes) return Failure(EMSGSIZE);
  std::string contents(attributes.size_bytes, '\0');
  const uint64_t got =
      TRY(volume.data().ReadInto(inode, 0, std::as_writable_bytes(std::span(contents))));
  if (got != contents.size()) {
    return Failure(EBADMSG, fmt::format("{} of {} bytes read", got, contents.size()));
  }
  return contents;
}

Result<TreeSnapshot> SnapshotOf(Volume& volume) {
  TreeSnapshot snapshot;
  const Attributes root = TRY(volume.attributes().Get(Volume::kRoot));
  snapshot.emplace("/", TRY(StateOf(volume, root)));
  TRY(WalkDirectory(volume, Volume::kRoot, "", snapshot));
  return snapshot;
}

uint64_t DigestOf(const TreeSnapshot& tree) {
  uint64_t digest = 0;
  for (const auto& [path, state] : tree) digest = HashOf(path + Words(state), digest);
  return digest;
}

std::string DifferenceOf(const TreeSnapshot& expected, const TreeSnapshot& got,
                         InodeNumber except) {
  for (const auto& [path, state] : expected) {
    const auto found = got.find(path);
    if (found == got.end()) return path + " is missing";
    const bool loose = state.attributes.inode == except;
    const NodeState left = loose ? WithoutContents(state) : state;
    const NodeState right = loose ? WithoutContents(found->second) : found->second;
    if (KeyOf(left) != KeyOf(right)) {
      return fmt::format("{}\n  wants {}\n  is    {}", path, Words(left), Words(right));
    }
  }
  for (const auto& [path, unused] : got) {
    if (!expected.contains(path)) return path + " is there";
  }
  return "";
}

}  // namespace ingot::tests
