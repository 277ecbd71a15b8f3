// SPDX-License-Identifier: BSD-3-Clause
// The walk over a clean volume, by its own operations.
#include "tests/fuzz/volume_oracle.h"

#include <dirent.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "pmemdev/base/check.h"

namespace ingot::tests {
namespace {

constexpr size_t kBatch = 64;
constexpr uint64_t kReadBytes = 256 << 10;

template <typename T>
T Value(Result<T> result, std::string_view what, uint64_t inode) {
  CHECK(result.has_value(), "a clean pool: {} of inode {}: {}", what, inode,
        Describe(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::vector<DirectoryEntry> EntriesOf(Volume& volume, InodeNumber directory) {
  std::vector<DirectoryEntry> entries;
  uint64_t cookie = 2;
  for (;;) {
    const auto some =
        Value(volume.names().ReadDirectory(directory, cookie, kBatch), "readdir", directory.value);
    if (some.empty()) return entries;
    CHECK(some.front().key > cookie, "inode {}: cookie {}", directory.value, some.front().key);
    cookie = some.back().key;
    entries.insert(entries.end(), some.begin(), some.end());
  }
}

class Walker {
 public:
  explicit Walker(Volume& volume) : volume_(volume) {}

  void Walk() {
    ReadInode(Volume::kRoot);
    WalkDirectory(Volume::kRoot);
    for (const auto& [inode, names] : names_) {
      const auto attributes = Value(volume_.attributes().Get(InodeNumber(inode)), "getattr", inode);
      CHECK(attributes.links == names, "inode {}: {} links, {} names", inode, attributes.links,
            names);
    }
  }

 private:
  void WalkDirectory(InodeNumber directory) {
    const auto entries = EntriesOf(volume_, directory);
    uint32_t subdirectories = 0;
    for (const DirectoryEntry& entry : entries) {
      const auto found =
          Value(volume_.names().Lookup(directory, entry.name), "lookup", entry.inode.value);
      volume_.names().Forget(found.inode, 1);
      CHECK(found.inode == entry.inode && found.mode >> 12 == entry.type,
            "'{}' is inode {} type {}, its entry says {} type {}", entry.name, found.inode.value,
            found.mode >> 12, entry.inode.value, entry.type);
      const bool is_directory = S_ISDIR(found.mode);
      const bool first = is_directory || names_[entry.inode.value]++ == 0;
      if (first) ReadInode(entry.inode);
      if (!is_directory) continue;
      ++subdirectories;
      CHECK(directories_.emplace(entry.inode.value, true).second, "directory {} has two names",
            entry.inode.value);
      const auto parent =
          Value(volume_.names().Lookup(entry.inode, ".."), "lookup ..", entry.inode.value);
      volume_.names().Forget(parent.inode, 1);
      CHECK(parent.inode == directory, "directory {}: parent", entry.inode.value);
      WalkDirectory(entry.inode);
    }
    const auto attributes = Value(volume_.attributes().Get(directory), "getattr", directory.value);
    CHECK(attributes.links == 2 + subdirectories, "directory {}: {} links, {} subdirectories",
          directory.value, attributes.links, subdirectories);
  }

  void ReadInode(InodeNumber inode) {
    const auto attributes = Value(volume_.attributes().Get(inode), "getattr", inode.value);
    if (S_ISREG(attributes.mode)) ReadData(inode, attributes.size_bytes);
    if (S_ISLNK(attributes.mode)) Value(volume_.names().ReadLink(inode), "readlink", inode.value);
    const std::string list = Value(volume_.xattrs().List(inode), "listxattr", inode.value);
    for (size_t at = 0; at < list.size(); at += std::strlen(list.data() + at) + 1) {
      Value(volume_.xattrs().Get(inode, list.data() + at), "getxattr", inode.value);
    }
  }

  void ReadData(InodeNumber inode, uint64_t size_bytes) {
    uint64_t at = 0;
    while (at < size_bytes) {
      const auto data = volume_.data().SeekData(inode, at);
      if (!data.has_value() && data.error_code() == ENXIO) break;
      const uint64_t begin = Value(data, "lseek data", inode.value);
      const uint64_t end = Value(volume_.data().SeekHole(inode, begin), "lseek hole", inode.value);
      CHECK(begin >= at && end > begin && end <= size_bytes, "inode {}: data at {} to {} of {}",
            inode.value, begin, end, size_bytes);
      for (at = begin; at < end; at += kReadBytes) Read(inode, at, std::min(kReadBytes, end - at));
      at = end;
    }
    if (size_bytes > 0) Read(inode, size_bytes - 1, 1);
  }

  // Through the view, as the daemon does, and each byte is looked at.
  void Read(InodeNumber inode, uint64_t offset, uint64_t size_bytes) {
    ReadView view;
    Value(volume_.data().Read(inode, offset, size_bytes, view), "read", inode.value);
    CHECK(view.size_bytes == size_bytes, "inode {}: {} bytes at {}, wanted {}", inode.value,
          view.size_bytes, offset, size_bytes);
    uint64_t sum = 0;
    for (const iovec& piece : view.pieces) {
      const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
      for (size_t i = 0; i < piece.iov_len; i += kCacheLineSize) sum += bytes[i];
      sum += bytes[piece.iov_len - 1];
    }
    sum_.store(sum, std::memory_order_relaxed);
  }

  Volume& volume_;
  std::map<uint64_t, uint32_t> names_;
  std::map<uint64_t, bool> directories_;
  std::atomic<uint64_t> sum_{0};  // keeps the loads
};

// Visits what it finds, each inode once and not too many.
class Wanderer {
 public:
  explicit Wanderer(Volume& volume) : volume_(volume) {}

  void Visit(InodeNumber inode) {
    if (seen_.size() > kMaxInodes || !seen_.emplace(inode.value, true).second) return;
    const auto attributes = volume_.attributes().Get(inode);
    ReadXattrs(inode);
    (void)volume_.names().ReadLink(inode);
    ReadData(inode);
    uint64_t cookie = 0;
    for (size_t batch = 0; batch < kMaxBatches; ++batch) {
      const auto some = volume_.names().ReadDirectory(inode, cookie, kBatch);
      if (!some.has_value() || some->empty()) return;
      cookie = some->back().key;
      for (const DirectoryEntry& entry : *some) {
        const auto found = volume_.names().Lookup(inode, entry.name);
        if (found.has_value()) volume_.names().Forget(found->inode, 1);
        Visit(entry.inode);
      }
    }
  }

 private:
  static constexpr size_t kMaxInodes = 400, kMaxBatches = 64, kMaxPieces = 64;

  void ReadXattrs(InodeNumber inode) {
    const auto list = volume_.xattrs().List(inode);
    if (!list.has_value()) return;
    for (size_t at = 0; at < list->size(); at += std::strlen(list->data() + at) + 1) {
      (void)volume_.xattrs().Get(inode, list->data() + at);
    }
  }
  void ReadData(InodeNumber inode) {
    uint64_t at = 0;
    std::vector<std::byte> bytes(kPageSize);
    for (size_t piece = 0; piece < kMaxPieces; ++piece) {
      ReadView view;
      (void)volume_.data().Read(inode, at, kReadBytes, view);
      view.lock.Release();
      (void)volume_.data().ReadInto(inode, at, bytes);
      const auto data = volume_.data().SeekData(inode, at);
      if (!data.has_value()) return;
      const auto hole = volume_.data().SeekHole(inode, *data);
      if (!hole.has_value() || *hole <= at) return;
      at = *hole;
    }
  }

  Volume& volume_;
  std::map<uint64_t, bool> seen_;
};

bool MayForbid(int code) {
  return code == EPERM || code == ENOTEMPTY;
}

void RemoveBelow(Volume& volume, InodeNumber directory) {
  for (const DirectoryEntry& entry : EntriesOf(volume, directory)) {
    if (entry.type == DT_DIR) RemoveBelow(volume, entry.inode);
    const auto removed = entry.type == DT_DIR ? volume.names().Rmdir(directory, entry.name)
                                              : volume.names().Unlink(directory, entry.name);
    CHECK(removed.has_value() || MayForbid(removed.error_code()), "a clean pool: removing '{}': {}",
          entry.name, Describe(removed.error()));
  }
}

}  // namespace

std::string Summary(const check::CheckReport& report) {
  constexpr size_t kShown = 12;
  std::string text =
      fmt::format("{} findings, {} left, {} rounds", report.found, report.remaining, report.rounds);
  for (size_t i = 0; i < std::min(report.findings.size(), kShown); ++i) {
    const check::Finding& finding = report.findings[i];
    text += fmt::format("\n  [{}] {}", check::NameOf(finding.kind), finding.text);
  }
  return text;
}

void RequireClean(Device& device, std::string_view when) {
  const auto report = check::Check(device, {});
  CHECK(report.has_value(), "fsck {}: {}", when, Describe(report.error()));
  CHECK(report->clean(), "fsck {}: {}", when, Summary(*report));
}

void RequireReadable(Volume& volume) {
  Walker(volume).Walk();
}

void Wander(Volume& volume) {
  Wanderer(volume).Visit(Volume::kRoot);
}

void RemoveAll(Volume& volume) {
  RemoveBelow(volume, Volume::kRoot);
  const std::atomic<bool> never{false};
  const auto recovered = volume.orphans().Recover(never);
  CHECK(recovered.has_value(), "a clean pool: orphans: {}", Describe(recovered.error()));
}

}  // namespace ingot::tests
