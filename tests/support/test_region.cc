// SPDX-License-Identifier: BSD-3-Clause
// Regions in memory for tests. No state of its own.
#include "tests/support/test_region.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "pmemdev/base/check.h"

namespace ingot::tests {
namespace {

// From Linux 6.6's userfaultfd.h; Debian 12's headers are older than its kernels may be.
struct UffdPoison {
  uffdio_range range;
  uint64_t mode;
  int64_t updated;
};
constexpr unsigned long kUffdPoison = _IOWR(UFFDIO, 0x08, UffdPoison);
constexpr uint64_t kUffdFeaturePoison = 1 << 14;

bool PoisonAddress(std::byte* page) {
  const int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
  if (fd < 0) return false;
  uffdio_api api = {};
  api.api = UFFD_API;
  api.features = kUffdFeaturePoison;
  uffdio_register range = {};
  range.range = {reinterpret_cast<uintptr_t>(page), kPageSize};
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  UffdPoison poison = {};
  poison.range = range.range;
  // Poison goes where no page is mapped; the file keeps its bytes.
  const bool done = madvise(page, kPageSize, MADV_DONTNEED) == 0 &&
                    ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &range) == 0 &&
                    ioctl(fd, kUffdPoison, &poison) == 0;
  close(fd);  // unregisters; the poison stays
  return done;
}

std::byte* PageOfBase(const std::byte* base, MediaOffset at) {
  return const_cast<std::byte*>(base) + RoundDown(at.value, kPageSize);
}

bool HasTwoAliases(const Mapping& mapping) {
  return mapping.writable_base() != nullptr && mapping.writable_base() != mapping.base();
}

}  // namespace

MappingOptions TestMappingOptions() {
  MappingOptions options;
  options.separate_write_alias = true;
  options.reserve_bytes = uint64_t{16} << 30;
  return options;
}

int MemoryFile(uint64_t size_bytes) {
  const int fd = memfd_create("ingot-test", MFD_CLOEXEC);
  CHECK(fd >= 0 && ftruncate(fd, static_cast<off_t>(size_bytes)) == 0, "errno {}", errno);
  return fd;
}

std::unique_ptr<Mapping> MemoryMapping(uint64_t size_bytes, const MappingOptions& options) {
  auto mapping = Mapping::FromDescriptor(MemoryFile(size_bytes), options);
  CHECK(mapping.has_value(), "{}", Describe(mapping.error()));
  return std::move(*mapping);
}

DeviceFormatOptions TestFormatOptions() {
  DeviceFormatOptions options;
  options.label = "test";
  for (size_t i = 0; i < options.uuid.size(); ++i) options.uuid[i] = static_cast<uint8_t>(i + 1);
  options.hash_seed = 0x1234567890ABCDEF;
  options.created_seconds = 1'700'000'000;
  return options;
}

std::unique_ptr<Device> FormattedDevice(uint64_t size_bytes, const MappingOptions& mapping_options,
                                        const DeviceOptions& options) {
  std::unique_ptr<Mapping> mapping = MemoryMapping(size_bytes, mapping_options);
  const Result<void> formatted = Device::Format(*mapping, TestFormatOptions());
  CHECK(formatted.has_value(), "{}", Describe(formatted.error()));
  auto device = Device::Open(std::move(mapping), options);
  CHECK(device.has_value(), "{}", Describe(device.error()));
  return std::move(*device);
}

Result<std::unique_ptr<Device>> Reopen(std::unique_ptr<Device> device,
                                       const MappingOptions& mapping_options,
                                       const DeviceOptions& options) {
  const int fd = fcntl(device->mapping().fd(), F_DUPFD_CLOEXEC, 0);
  CHECK(fd >= 0, "errno {}", errno);
  device.reset();
  return Device::Open(TRY(Mapping::FromDescriptor(fd, mapping_options)), options);
}

bool PoisonPage(const Mapping& mapping, MediaOffset at) {
  // Not a hole from now on: kernels without CONFIG_MEMORY_FAILURE tell poison from a hole in
  // nothing but what the file holds.
  const auto place = static_cast<off_t>(RoundDown(at.value, kPageSize));
  char byte = 0;
  CHECK(pread(mapping.fd(), &byte, 1, place) == 1 && pwrite(mapping.fd(), &byte, 1, place) == 1,
        "errno {}", errno);
  if (!PoisonAddress(PageOfBase(mapping.base(), at))) return false;
  return !HasTwoAliases(mapping) || PoisonAddress(PageOfBase(mapping.writable_base(), at));
}

void HealPage(const Mapping& mapping, MediaOffset at) {
  CHECK(madvise(PageOfBase(mapping.base(), at), kPageSize, MADV_DONTNEED) == 0, "{}", errno);
  if (!HasTwoAliases(mapping)) return;
  CHECK(madvise(PageOfBase(mapping.writable_base(), at), kPageSize, MADV_DONTNEED) == 0, "{}",
        errno);
}

}  // namespace ingot::tests
