// SPDX-License-Identifier: BSD-3-Clause
// Backed files on a host that is full: ENOSPC for calls, SIGBUS for stores into holes, as on the
// bare host; nothing that was there is lost, and deleting gives space back.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/eventually.h"
#include "tests/system/mounted_pool.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kHostBytes = 96 * kMiB;

class DirectFull : public OnHostAndMount {
 protected:
  DirectFull() : OnHostAndMount(kHostBytes) {}
  void SetUp() override {
    if (TestHost::IsDax()) GTEST_SKIP() << "a device of some GiB takes too long to be filled";
    OnHostAndMount::SetUp();
  }

  // Writes Pattern(seed) from `at` on until not one more small page finds space, and no other error
  // comes. The file's size then.
  uint64_t FillHost(int fd, uint64_t seed, uint64_t at = 0) {
    for (uint64_t part = kMiB; part >= kSmallPage;) {
      const std::string bytes = Pattern(part, seed, at);
      const ssize_t done = pwrite(fd, bytes.data(), part, static_cast<off_t>(at));
      if (done > 0) {
        at += static_cast<uint64_t>(done);
        continue;
      }
      EXPECT_EQ(done, -1) << "a write of nothing";
      EXPECT_EQ(errno, ENOSPC) << strerror(errno);
      part /= 2;
    }
    return at;
  }
  void ExpectPattern(int fd, uint64_t seed, uint64_t size_bytes) {
    struct stat status {};
    ASSERT_EQ(fstat(fd, &status), 0);
    ASSERT_EQ(status.st_size, static_cast<off_t>(size_bytes));
    const Map map(fd, size_bytes, PROT_READ);
    ASSERT_NE(map.data(), nullptr) << strerror(map.code());
    std::string got(kMiB, '\0');
    for (uint64_t at = 0; at < size_bytes; at += kMiB) {
      const size_t size = std::min(kMiB, size_bytes - at);
      const std::string expected = Pattern(size, seed, at);
      ASSERT_EQ(pread(fd, got.data(), size, static_cast<off_t>(at)), static_cast<ssize_t>(size));
      ASSERT_TRUE(std::string_view(got.data(), size) == expected) << at;
      ASSERT_TRUE(std::string_view(map.data() + at, size) == expected) << at;
    }
  }
  // Stores to each small page of the mapping; in a process of its own, which may die of it.
  static int StoreEverywhere(const Map& map) {
    return InChild([&map] {
      for (uint64_t at = 0; at < map.bytes().size(); at += kSmallPage) map.at()[at] = 's';
      return 0;
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Places, DirectFull,
                         testing::Values(Place::kHost, Place::kAuto, Place::kAlways), NameOf);

TEST_P(DirectFull, WritesEndWithEnospcAndLoseNothing) {
  { const Descriptor file(Create("file", 0)); }
  uint64_t size = 0;
  {
    const Descriptor file(Path("file"), O_RDWR);
    size = FillHost(file.get(), 1);
    EXPECT_GT(size, kHostBytes / 2);
    // Reading, overwriting and cutting need no space.
    ExpectPattern(file.get(), 1, size);
    const std::string again = Pattern(kMiB, 1, kMiB);
    EXPECT_EQ(pwrite(file.get(), again.data(), kMiB, kMiB), static_cast<ssize_t>(kMiB));
  }
  if (is_mount()) {
    ASSERT_TRUE(pool().Unmount());
    ASSERT_TRUE(pool().IsClean());
    ASSERT_TRUE(pool().Mount());
  }
  {
    const Descriptor file(Path("file"), O_RDWR);
    ExpectPattern(file.get(), 1, size);
    // No write and no preallocation of more than there is; the size stays.
    EXPECT_EQ(posix_fallocate(file.get(), 0, kHostBytes * 2), ENOSPC);
    ExpectPattern(file.get(), 1, size);
    EXPECT_EQ(ftruncate(file.get(), static_cast<off_t>(size - 8 * kMiB)), 0);
    EXPECT_GE(FillHost(file.get(), 2, size - 8 * kMiB), size - kHugePage);
  }
  ASSERT_EQ(unlink(Path("file").c_str()), 0);
  const Descriptor next(Create("next", 0));
  // It goes once the daemon has heard that nobody has it open.
  uint64_t end = 0;
  EXPECT_TRUE(Eventually([&] { return (end = FillHost(next.get(), 3, end)) >= size - kHugePage; }))
      << "a deleted file's space is missing, but for " << end;
  ExpectPattern(next.get(), 3, end);
}

TEST_P(DirectFull, StoresIntoHolesOfAFullHostAreSigbus) {
  const Descriptor sparse(Create("sparse", 64 * kMiB));
  const Map map(sparse.get(), 64 * kMiB);
  Fill({map.data(), 4 * kMiB}, 1);
  uint64_t size = 0;
  {
    const Descriptor file(Create("file", 0));
    size = FillHost(file.get(), 2);
  }
  EXPECT_EQ(StoreEverywhere(map), 128 + SIGBUS);
  // What was stored is there, and can be stored to.
  EXPECT_EQ(InChild([&map] {
              for (uint64_t at = 0; at < 4 * kMiB; at += kSmallPage) map.at()[at + 1] = 'd';
              return 0;
            }),
            0);
  std::string expected = Pattern(4 * kMiB, 1), got(4 * kMiB, '\0');
  for (uint64_t at = 0; at < 4 * kMiB; at += kSmallPage) expected[at] = 's', expected[at + 1] = 'd';
  ASSERT_EQ(pread(sparse.get(), got.data(), got.size(), 0), static_cast<ssize_t>(got.size()));
  EXPECT_TRUE(got == expected);
  {
    const Descriptor file(Path("file"), O_RDONLY);
    ExpectPattern(file.get(), 2, size);
  }
  ASSERT_EQ(unlink(Path("file").c_str()), 0);
  // The daemon deletes in the background.
  EXPECT_TRUE(Eventually([&] { return StoreEverywhere(map) == 0; }))
      << "a deleted file's space is missing";
}

}  // namespace
}  // namespace ingot::tests
