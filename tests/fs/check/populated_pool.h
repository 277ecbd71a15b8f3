// SPDX-License-Identifier: BSD-3-Clause
// A pool with something of everything, made once a process, and private copies of it to be damaged.
//
// A copy is a copy-on-write mapping of the pool's file: a patch, a repair and what a volume does on
// it are gone with it, and the next copy begins with the pool as it was made. Directory pools are
// the same and have three backed files more: "db", "db2", and "leftovers", whose old extents are
// still to be freed; each copy has its own host directory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/check/check.h"
#include "fs/core/volume.h"

namespace ingot::tests {

// What a file is to its users: type, mode, size, contents and attributes, as one string.
using Manifest = std::map<std::string, std::string>;
[[nodiscard]] Manifest ReadManifest(Volume& volume);

enum class PoolKind : uint8_t { kDevice, kDirectory };

// A directory of tmpfs that goes with the object.
class HostDirectory {
 public:
  HostDirectory();
  explicit HostDirectory(const std::string& copied);
  ~HostDirectory();
  HostDirectory(const HostDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string File(const std::string& name) const {
    return path_ + "/backing/" + name;
  }
  [[nodiscard]] std::string File(uint64_t number) const { return File(std::to_string(number)); }

 private:
  std::string path_;
};

class PopulatedPool {
 public:
  static const PopulatedPool& Get(PoolKind kind = PoolKind::kDevice);

  // By path, without the leading slash: "" is the root.
  [[nodiscard]] InodeNumber Inode(const std::string& path) const { return inodes_.at(path); }
  [[nodiscard]] const std::map<std::string, InodeNumber>& inodes() const { return inodes_; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] InodeNumber orphan() const { return orphan_; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const std::string& host() const { return host_->path(); }

 private:
  explicit PopulatedPool(PoolKind kind);
  std::unique_ptr<Volume> Format(PoolKind kind);

  int fd_ = -1;
  std::unique_ptr<HostDirectory> host_;  // of a directory pool
  std::map<std::string, InodeNumber> inodes_;
  Manifest manifest_;
  InodeNumber orphan_;
};

class PoolCopy {
 public:
  explicit PoolCopy(PoolKind kind = PoolKind::kDevice);
  // With another host directory than the pool's.
  PoolCopy(PoolKind kind, const std::string& host);

  // --- patching; before Open
  [[nodiscard]] std::byte* At(MediaOffset at);
  [[nodiscard]] uint64_t size_bytes() const { return mapping_->size_bytes(); }
  [[nodiscard]] std::byte* At(LogicalPage page) { return At(Geometry::ToMedia(page)); }
  [[nodiscard]] media::Inode& Inode(InodeNumber inode);
  void Seal(InodeNumber inode);
  void Seal(LogicalPage page);
  [[nodiscard]] media::GroupEntry& Group(GroupIndex group);
  void Seal(GroupIndex group);
  // The records at the front of an inode's tail.
  [[nodiscard]] media::Record* Records(InodeNumber inode);
  [[nodiscard]] const HostDirectory& host() const { return *host_; }
  template <typename T>
  [[nodiscard]] T& Block(LogicalPage page) {
    return *reinterpret_cast<T*>(At(page));
  }

  // --- checking
  // Opens (once) and checks.
  check::CheckReport Report();
  check::CheckReport Repair();
  // On the image as it was patched, without fsck: opens, mounts, walks all names and attributes,
  // and changes something. Each may fail; none may crash, hang or read outside of the pool.
  void UseAsItIs();
  // The same of fsck: a report, and a repair, either of which may refuse the image.
  void CheckAsItIs();
  // UseAsItIs, Report, Repair, Report again; fails the test unless the last is clean, and the
  // volume opens, does what a mount does by itself, and says of all files what the manifest says,
  // but for those below one of `sacrificed` (paths). Returns the first report. `compare` false:
  // leaves the manifest out, which takes most of the time.
  check::CheckReport ExpectRepairable(const std::vector<std::string>& sacrificed,
                                      bool compare = true);

  [[nodiscard]] Device& device() { return *device_; }
  // Instead of all else.
  [[nodiscard]] std::unique_ptr<Mapping> TakeMapping() { return std::move(mapping_); }
  // Gives the device away.
  std::unique_ptr<Volume> OpenVolume();

 private:
  void Open();
  [[nodiscard]] std::unique_ptr<PoolCopy> Copied() const;
  void UseDamaged() const;
  [[nodiscard]] std::unique_ptr<BackingDirectory> OpenHost(const Device& device) const;

  const PoolKind kind_;
  std::unique_ptr<HostDirectory> host_;
  std::unique_ptr<Mapping> mapping_;
  std::set<uint64_t> patched_;  // pages, by their place
  std::unique_ptr<Device> device_;
  std::unique_ptr<BackingDirectory> directory_;
  check::OpenedPool opened_;
};

// "kind kind: first text", for messages and expectations.
[[nodiscard]] std::string Summary(const check::CheckReport& report);
[[nodiscard]] bool Has(const check::CheckReport& report, check::FindingKind kind);

}  // namespace ingot::tests
