// SPDX-License-Identifier: BSD-3-Clause
// Copies of pools by their data ranges, and the walk to a name.
#include "tests/volume/pools.h"

#include <unistd.h>

#include <vector>

#include "pmemdev/base/check.h"

namespace ingot::tests {

int DuplicateOf(int fd) {
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  CHECK(duplicate >= 0, "errno {}", errno);
  return duplicate;
}

int CopyOfPool(int fd) {
  struct stat status;
  CHECK(fstat(fd, &status) == 0, "errno {}", errno);
  const int copy = MemoryFile(static_cast<uint64_t>(status.st_size));
  std::vector<char> buffer(1 << 20);
  for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0;) {
    const off_t end = lseek(fd, at, SEEK_HOLE);
    while (at < end) {
      const size_t size = std::min(buffer.size(), static_cast<size_t>(end - at));
      const ssize_t done = pread(fd, buffer.data(), size, at);
      CHECK(done > 0, "errno {}", errno);
      CHECK(pwrite(copy, buffer.data(), static_cast<size_t>(done), at) == done, "errno {}", errno);
      at += done;
    }
  }
  return copy;
}

Result<std::unique_ptr<Volume>> OpenPool(int fd, const PoolOptions& options) {
  std::unique_ptr<Mapping> mapping = TRY(Mapping::FromDescriptor(fd, options.mapping));
  std::unique_ptr<Device> device = TRY(Device::Open(std::move(mapping), options.device));
  return Volume::Open(std::move(device), options.volume);
}

int NewPool(uint64_t size_bytes) {
  const std::unique_ptr<Device> device = FormattedDevice(size_bytes);
  const Result<void> formatted = Volume::Format(*device, Caller{});
  CHECK(formatted.has_value(), "{}", Describe(formatted.error()));
  return DuplicateOf(device->mapping().fd());
}

std::string TreeOf(Volume& volume) {
  VolumeSubject subject(volume);
  return DumpTree(subject);
}

InodeNumber InodeAt(Volume& volume, const std::string& path) {
  InodeNumber inode = Volume::kRoot;
  for (size_t at = 1; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const Result<Attributes> found = volume.names().Lookup(inode, path.substr(at, end - at));
    EXPECT_TRUE(found) << path << ": " << Describe(found.error());
    if (!found) return InodeNumber(0);
    inode = found->inode;
    volume.names().Forget(inode, 1);
    at = end + 1;
  }
  return inode;
}

ModelledPool::ModelledPool(uint64_t size_bytes, PoolOptions options)
    : options_(std::move(options)) {
  Use(NewPool(size_bytes));
}

ModelledPool::ModelledPool(int image, const std::vector<Operation>& history, PoolOptions options)
    : options_(std::move(options)) {
  for (const Operation& operation : history) (void)model_.Run(operation);
  Use(CopyOfPool(image));
}

void ModelledPool::Use(int fd) {
  volume_.reset();
  Result<std::unique_ptr<Volume>> volume = OpenPool(fd, options_);
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  volume_ = std::move(*volume);
}

void ModelledPool::Reopen() {
  const int fd = DuplicateOf(this->fd());
  Use(fd);
}

void ModelledPool::Run(const Operation& operation) {
  const std::string expected = model_.Run(operation);
  const std::string got = RunOnVolume(operation);
  EXPECT_TRUE(Fits(expected, got)) << Describe(operation) << "\nmodel:  " << expected
                                   << "\nvolume: " << got;
}

std::string ModelledPool::RunOnVolume(const Operation& operation) {
  return VolumeSubject(*volume_).Run(operation);
}

void ModelledPool::ExpectWhole() {
  VolumeSubject subject(*volume_);
  EXPECT_EQ(TreeDifference(model_, subject), "");
  EXPECT_FSCK_CLEAN(device());
}

}  // namespace ingot::tests
