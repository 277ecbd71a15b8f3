// SPDX-License-Identifier: BSD-3-Clause
// Making and filling of pools that are measured.
#include "tests/bench/bench_pool.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "fs/admin/make_pool.h"

namespace ingot::bench {
namespace {

InodeNumber Make(Volume& volume, InodeNumber parent, const std::string& name, uint32_t mode) {
  NewNode node;
  node.mode = mode;
  const InodeNumber inode = Require(volume.names().Create(parent, name, node, Caller{})).inode;
  volume.names().Forget(inode, 1);
  return inode;
}

std::unique_ptr<Volume> MakeAndOpen(const std::string& path, uint64_t size_bytes,
                                    const MappingOptions& options, PageArrayChoice page_array) {
  admin::MakePoolOptions pool;
  pool.path = path;
  pool.size_bytes = size_bytes;
  (void)Require(admin::MakePool(pool));
  DeviceOptions device;
  device.page_array = page_array;
  auto mapping = Require(Mapping::Open(path, options));
  return Require(Volume::Open(Require(Device::Open(std::move(mapping), device)), {}));
}

}  // namespace

void Fail(const std::string& message) {
  (void)std::fprintf(stderr, "bench: %s\n", message.c_str());
  std::exit(1);
}

std::unique_ptr<Volume> MakeVolume(const std::string& path, uint64_t size_bytes) {
  return MakeAndOpen(path, size_bytes, {}, PageArrayChoice::kAuto);
}

std::unique_ptr<Volume> MakePrivateVolume(const std::string& path, uint64_t size_bytes) {
  MappingOptions mapping;
  mapping.private_copy = true;
  // (On the device it would take 2 MiB of each group that is used.)
  return MakeAndOpen(path, size_bytes, mapping, PageArrayChoice::kDram);
}

InodeNumber MakeFile(Volume& volume, InodeNumber parent, const std::string& name) {
  return Make(volume, parent, name, S_IFREG | 0644);
}

InodeNumber MakeDirectory(Volume& volume, InodeNumber parent, const std::string& name) {
  return Make(volume, parent, name, S_IFDIR | 0755);
}

std::string FileName(uint64_t number) {
  return fmt::format("file-{:08}", number);
}

void Fill(Volume& volume, InodeNumber directory, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) MakeFile(volume, directory, FileName(i));
}

}  // namespace ingot::bench
