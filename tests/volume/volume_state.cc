// SPDX-License-Identifier: BSD-3-Clause
// The walk, by the operations that a mount uses; contents by their hash.
#include "tests/volume/volume_state.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "pmemdev/base/checksum.h"

namespace ingot::tests {
namespace {

std::string TextOf(Time time) { return fmt::format("{}.{}", time.seconds, time.nanoseconds); }

std::string ContentsOf(Volume& volume, const Attributes& attributes) {
  std::vector<std::byte> buffer(1 << 20);
  uint64_t hash = 0;
  uint64_t at = 0;
  for (;;) {
    const Result<uint64_t> got = volume.data().ReadInto(attributes.inode, at, buffer);
    if (!got) return ErrnoName(got.error().code);
    if (*got == 0) return fmt::format("{} bytes {:016x}", at, hash);
    hash = Hash64(std::span(buffer).first(*got), hash);
    at += *got;
  }
}

std::string XattrsOf(Volume& volume, InodeNumber inode) {
  const Result<std::string> names = volume.xattrs().List(inode);
  if (!names) return ErrnoName(names.error().code);
  std::vector<std::string> lines;
  for (size_t at = 0; at < names->size(); at += std::strlen(names->c_str() + at) + 1) {
    const std::string name = names->c_str() + at;
    const auto value = volume.xattrs().Get(inode, name);
    lines.push_back(value ? fmt::format(" {}={:016x}", name, Hash64(*value, value->size()))
                          : fmt::format(" {}={}", name, ErrnoName(value.error().code)));
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, ""));
}

uint64_t ReferencesIn(Device& device) {
  uint64_t sum = 0;
  const uint64_t pages = device.geometry().page_count();
  for (LogicalPage page(0); page.value < pages; ++page) {
    const PageDescriptor* descriptor = device.page_array().Peek(page);
    if (descriptor == nullptr || descriptor->state != PageState::kInodePage) continue;
    for (const auto& lookups : descriptor->references.lookups) sum += lookups;
    for (const auto& opens : descriptor->references.opens) sum += opens;
  }
  return sum;
}

class Walk {
 public:
  explicit Walk(Volume& volume) : volume_(volume) {}

  void Visit(const std::string& path, const Attributes& attributes) {
    const bool is_directory = S_ISDIR(attributes.mode);
    // A directory's size is its leaves', which depend on what was there once.
    state.tree += fmt::format(
        "{} mode={:o} links={} owner={}:{} device={} size={} flags={:x} project={} atime={} "
        "mtime={} ctime={} xattrs:{}",
        path, attributes.mode, attributes.links, attributes.uid, attributes.gid, attributes.device,
        is_directory ? 0 : attributes.size_bytes, attributes.flags, attributes.project,
        TextOf(attributes.atime), TextOf(attributes.mtime), TextOf(attributes.ctime),
        XattrsOf(volume_, attributes.inode));
    if (S_ISREG(attributes.mode)) state.tree += " " + ContentsOf(volume_, attributes);
    if (S_ISLNK(attributes.mode)) {
      state.tree += " -> " + volume_.names().ReadLink(attributes.inode).value_or("unreadable");
    }
    state.tree += "\n";
    if (attributes.links == 1 || is_directory || linked_.insert(attributes.inode.value).second) {
      state.file_pages += attributes.page_count;
    }
    if (is_directory) VisitEntries(path == "/" ? path : path + "/", attributes.inode);
  }

  VolumeState state;

 private:
  void VisitEntries(const std::string& path, InodeNumber directory) {
    std::vector<std::string> names;
    for (uint64_t cookie = 2;;) {
      const auto some = volume_.names().ReadDirectory(directory, cookie, 100);
      if (!some) state.tree += path + " " + ErrnoName(some.error().code) + "\n";
      if (!some || some->empty()) break;
      cookie = some->back().key;
      for (const DirectoryEntry& entry : *some) names.push_back(entry.name);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const Result<Attributes> found = volume_.names().Lookup(directory, name);
      if (!found) {
        state.tree += path + name + " " + ErrnoName(found.error().code) + "\n";
        continue;
      }
      Visit(path + name, *found);
      volume_.names().Forget(found->inode, 1);
    }
  }

  Volume& volume_;
  std::set<uint64_t> linked_;
};

}  // namespace

VolumeState StateOf(Volume& volume) {
  Walk walk(volume);
  walk.Visit("/", volume.attributes().Get(Volume::kRoot).value());
  walk.state.free_pages = volume.Statistics().free_bytes / kPageSize;
  walk.state.references = ReferencesIn(volume.device());
  return std::move(walk.state);
}

}  // namespace ingot::tests
