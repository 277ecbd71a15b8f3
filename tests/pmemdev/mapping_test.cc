// SPDX-License-Identifier: BSD-3-Clause
// What can be mapped and what is refused, on memfd, tmpfs and the build directory's filesystem.
#include "pmemdev/mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "pmemdev/poison.h"
#include "tests/paths.h"
#include "tests/support/test_region.h"

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A sparse file of its own, gone afterwards.
class TestFile {
 public:
  TestFile(const std::filesystem::path& folder, uint64_t size_bytes)
      : path_(folder / fmt::format("ingot-mapping-{}-{}", getpid(), ++count_)) {
    std::ofstream(path_).close();
    std::filesystem::resize_file(path_, size_bytes);
  }
  ~TestFile() { std::filesystem::remove(path_); }
  [[nodiscard]] std::string path() const { return path_; }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

MappingOptions Options() { return tests::TestMappingOptions(); }

std::byte ByteAt(const Mapping& mapping, uint64_t at) { return mapping.base()[at]; }

TEST(Mapping, MemoryIsCacheLineGranular) {
  const auto mapping = tests::MemoryMapping(16 * kMiB);
  EXPECT_EQ(mapping->medium(), Medium::kMemory);
  EXPECT_EQ(mapping->granularity(), Granularity::kCacheLine);
  EXPECT_EQ(mapping->size_bytes(), 16 * kMiB);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(mapping->base()) % kHugePageSize, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(mapping->writable_base()) % kHugePageSize, 0u);
  EXPECT_NE(mapping->base(), mapping->writable_base());
  mapping->writable_base()[5 * kMiB] = std::byte{7};
  EXPECT_EQ(ByteAt(*mapping, 5 * kMiB), std::byte{7});
}

TEST(Mapping, TmpfsFileIsMemory) {
  const TestFile file("/dev/shm", 8 * kMiB);
  const auto mapping = Mapping::Open(file.path(), Options());
  ASSERT_TRUE(mapping.has_value()) << Describe(mapping.error());
  EXPECT_EQ((*mapping)->medium(), Medium::kMemory);
  EXPECT_EQ((*mapping)->granularity(), Granularity::kCacheLine);
}

TEST(Mapping, PlainFileIsPageGranular) {
  const TestFile file(tests::BuildDir(), 8 * kMiB + 4097);
  const auto mapping = Mapping::Open(file.path(), Options());
  ASSERT_TRUE(mapping.has_value()) << Describe(mapping.error());
  if ((*mapping)->medium() == Medium::kMemory) GTEST_SKIP() << "the build directory is on tmpfs";
  EXPECT_EQ((*mapping)->medium(), Medium::kFile);
  EXPECT_EQ((*mapping)->granularity(), Granularity::kPage);
  EXPECT_EQ((*mapping)->size_bytes(), 8 * kMiB);
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*mapping)->base()) % kHugePageSize, 0u);
  (*mapping)->writable_base()[8 * kMiB - 1] = std::byte{9};
  EXPECT_EQ(ByteAt(**mapping, 8 * kMiB - 1), std::byte{9});
}

TEST(Mapping, ForcedPageGranularity) {
  MappingOptions options = Options();
  options.force_page_granularity = true;
  const auto mapping = tests::MemoryMapping(8 * kMiB, options);
  EXPECT_EQ(mapping->granularity(), Granularity::kPage);
  EXPECT_EQ(mapping->medium(), Medium::kMemory);
}

TEST(Mapping, ReadOnlyHasNoWritableBase) {
  const TestFile file("/dev/shm", 8 * kMiB);
  MappingOptions options = Options();
  options.read_only = true;
  const auto first = Mapping::Open(file.path(), options);
  ASSERT_TRUE(first.has_value()) << Describe(first.error());
  EXPECT_EQ((*first)->writable_base(), nullptr);
  const auto second = Mapping::Open(file.path(), options);
  EXPECT_TRUE(second.has_value()) << "readers share the lock";
  EXPECT_EQ(Mapping::Open(file.path(), Options()).error_code(), EBUSY);
}

TEST(Mapping, RefusedByName) {
  const auto refused = [](const std::string& path, int code, const std::string& text) {
    const auto mapping = Mapping::Open(path, Options());
    ASSERT_FALSE(mapping.has_value()) << path;
    EXPECT_EQ(mapping.error().code, code) << path;
    EXPECT_NE(mapping.error().context.find(text), std::string::npos) << mapping.error().context;
  };
  refused("/nonexistent/pool", ENOENT, "/nonexistent/pool");
  refused("/dev/shm", EINVAL, "a directory");
  refused("/dev/null", EINVAL, "no devdax");
  const std::string fifo = fmt::format("/dev/shm/ingot-fifo-{}", getpid());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  refused(fifo, EINVAL, "a FIFO");
  std::filesystem::remove(fifo);
  const TestFile tiny("/dev/shm", 2 * kMiB - 1);
  refused(tiny.path(), EINVAL, "2 MiB");
  const TestFile empty("/dev/shm", 0);
  refused(empty.path(), EINVAL, "2 MiB");
  const int huge = memfd_create("ingot-huge", MFD_CLOEXEC | MFD_HUGETLB);
  if (huge >= 0) {
    const auto mapping = Mapping::FromDescriptor(huge, Options());
    ASSERT_FALSE(mapping.has_value());
    EXPECT_EQ(mapping.error().code, EINVAL);
    EXPECT_NE(mapping.error().context.find("hugetlbfs"), std::string::npos);
  }
  if (std::filesystem::is_block_file("/dev/vda")) refused("/dev/vda", EINVAL, "a block device");
}

TEST(Mapping, AnotherProcessHoldsTheLock) {
  const TestFile file("/dev/shm", 8 * kMiB);
  int ready[2];
  int done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t holder = fork();
  if (holder == 0) {
    const int fd = open(file.path().c_str(), O_RDWR);
    char byte = flock(fd, LOCK_EX) == 0 ? 'y' : 'n';
    (void)!write(ready[1], &byte, 1);
    (void)!read(done[0], &byte, 1);
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  const auto refused = Mapping::Open(file.path(), Options());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_NE(refused.error().context.find(std::to_string(holder)), std::string::npos)
      << refused.error().context;
  MappingOptions unlocked = Options();
  unlocked.take_lock = false;
  EXPECT_TRUE(Mapping::Open(file.path(), unlocked).has_value());

  ASSERT_EQ(write(done[1], "x", 1), 1);
  ASSERT_EQ(waitpid(holder, nullptr, 0), holder);
  for (const int fd : {ready[0], ready[1], done[0], done[1]}) close(fd);
  EXPECT_TRUE(Mapping::Open(file.path(), Options()).has_value()) << "the holder is gone";
}

void GrowsInPlace(const std::filesystem::path& folder) {
  const TestFile file(folder, 8 * kMiB);
  const auto mapping = Mapping::Open(file.path(), Options());
  ASSERT_TRUE(mapping.has_value()) << Describe(mapping.error());
  const std::byte* base = (*mapping)->base();
  (*mapping)->writable_base()[100] = std::byte{1};
  ASSERT_TRUE((*mapping)->Grow().has_value());
  EXPECT_EQ((*mapping)->size_bytes(), 8 * kMiB);
  std::filesystem::resize_file(file.path(), 21 * kMiB);
  ASSERT_TRUE((*mapping)->Grow().has_value());
  EXPECT_EQ((*mapping)->size_bytes(), 20 * kMiB);
  EXPECT_EQ((*mapping)->base(), base);
  (*mapping)->writable_base()[20 * kMiB - 1] = std::byte{2};
  EXPECT_EQ(ByteAt(**mapping, 100), std::byte{1});
  EXPECT_EQ(ByteAt(**mapping, 20 * kMiB - 1), std::byte{2});
}

TEST(Mapping, GrowsInPlaceOnMemory) { GrowsInPlace("/dev/shm"); }
TEST(Mapping, GrowsInPlaceOnAFile) { GrowsInPlace(tests::BuildDir()); }

// A process that opens pools by the thousand must not run out of addresses.
TEST(Mapping, LeavesNoAddressesBehind) {
  const auto ranges = [] {
    std::ifstream maps("/proc/self/maps");
    return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  };
  MappingOptions copy = Options();
  copy.separate_write_alias = false;
  copy.private_copy = true;
  const TestFile file(tests::BuildDir(), 16 * kMiB);
  const auto open_and_close = [&] {
    (void)tests::MemoryMapping(16 * kMiB);
    ASSERT_TRUE(Mapping::Open(file.path(), copy).has_value());
  };
  open_and_close();
  const auto before = ranges();
  for (int i = 0; i < 50; ++i) open_and_close();
  EXPECT_LT(ranges(), before + 10);
}

TEST(Mapping, GrowthEndsWithTheReservation) {
  MappingOptions options = Options();
  options.reserve_bytes = 10 * kMiB;
  const auto mapping = tests::MemoryMapping(8 * kMiB, options);
  ASSERT_EQ(ftruncate(mapping->fd(), static_cast<off_t>(12 * kMiB)), 0);
  EXPECT_EQ(mapping->Grow().error_code(), ENOMEM);
  EXPECT_EQ(mapping->size_bytes(), 8 * kMiB);
}

TEST(Mapping, ReservationTooLargeForTheMachineIsMadeSmaller) {
  MappingOptions options = Options();
  options.reserve_bytes = uint64_t{1} << 50;  // more than 47 bits
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer dies of such reservations";
#endif
  const auto mapping = tests::MemoryMapping(8 * kMiB, options);
  EXPECT_EQ(mapping->size_bytes(), 8 * kMiB);
}

void HolesAndSpace(const std::filesystem::path& folder) {
  const TestFile file(folder, 8 * kMiB);
  const auto mapping = Mapping::Open(file.path(), Options());
  ASSERT_TRUE(mapping.has_value());
  EXPECT_TRUE((*mapping)->IsHostHole(MediaOffset(0)));
  (*mapping)->writable_base()[4 * kMiB + 5] = std::byte{1};
  EXPECT_FALSE((*mapping)->IsHostHole(MediaOffset(4 * kMiB)));
  EXPECT_FALSE((*mapping)->IsHostHole(MediaOffset(4 * kMiB + 4095)));
  EXPECT_TRUE((*mapping)->IsHostHole(MediaOffset(6 * kMiB)));
  EXPECT_TRUE((*mapping)->IsHostHole(MediaOffset(64 * kMiB))) << "beyond the end";

  struct stat before;
  struct stat after;
  ASSERT_EQ(fstat((*mapping)->fd(), &before), 0);
  ASSERT_TRUE((*mapping)->AllocateHostSpace(MediaOffset(2 * kMiB), 2 * kMiB).has_value());
  ASSERT_EQ(fstat((*mapping)->fd(), &after), 0);
  EXPECT_GE(after.st_blocks - before.st_blocks, static_cast<blkcnt_t>(2 * kMiB / 512));
  ASSERT_TRUE((*mapping)->ReleaseHostSpace(MediaOffset(4 * kMiB), 2 * kMiB).has_value());
  EXPECT_EQ(ByteAt(**mapping, 4 * kMiB + 5), std::byte{0});
}

TEST(Mapping, HolesAndSpaceOnMemory) { HolesAndSpace("/dev/shm"); }
TEST(Mapping, HolesAndSpaceOnAFile) { HolesAndSpace(tests::BuildDir()); }

TEST(Mapping, ReadIsBounded) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  mapping->writable_base()[8 * kMiB - 1] = std::byte{3};
  std::array<std::byte, 8> bytes{};
  EXPECT_TRUE(mapping->Read(MediaOffset(8 * kMiB - 8), bytes).has_value());
  EXPECT_EQ(bytes[7], std::byte{3});
  EXPECT_EQ(mapping->Read(MediaOffset(8 * kMiB - 7), bytes).error_code(), EUCLEAN);
  EXPECT_EQ(mapping->Read(MediaOffset(~uint64_t{0}), bytes).error_code(), EUCLEAN);
}

TEST(Mapping, LocatesBothAliases) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  EXPECT_EQ(mapping->Locate(mapping->base() + 77), MediaOffset(77));
  EXPECT_EQ(mapping->Locate(mapping->writable_base() + 78), MediaOffset(78));
  EXPECT_EQ(mapping->Locate(mapping->base() + 8 * kMiB), std::nullopt);
  EXPECT_EQ(mapping->Locate(nullptr), std::nullopt);
}

TEST(MappingDeathTest, StoresPastPersistAreCaught) {
  const auto mapping = tests::MemoryMapping(8 * kMiB);
  auto* stray = const_cast<std::byte*>(mapping->base());
  EXPECT_DEATH(*reinterpret_cast<volatile std::byte*>(stray) = std::byte{1}, "");
}

}  // namespace
}  // namespace ingot
