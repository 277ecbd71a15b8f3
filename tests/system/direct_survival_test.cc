// SPDX-License-Identifier: BSD-3-Clause
// What a mapping of a backed file outlives: its descriptor, its name, its mode, and the daemon;
// what was stored through it is what the next mount has.
#include <liburing.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <gtest/gtest.h>

#include "tests/paths.h"
#include "tests/support/eventually.h"
#include "tests/system/mounted_pool.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kSize = 8 * kMiB;

class DirectSurvival : public OnHostAndMount {
 protected:
  // Made and closed; its mapping is all that is left.
  std::unique_ptr<Map> MapOf(const std::string& name) {
    const Descriptor file(Create(name, kSize));
    auto map = std::make_unique<Map>(file.get(), kSize);
    EXPECT_NE(map->data(), nullptr) << strerror(map->code());
    return map;
  }
  bool Holds(const std::string& name, const std::string& contents) {
    const Descriptor file(Path(name), O_RDONLY);
    std::string got(contents.size(), '\0');
    return pread(file.get(), got.data(), got.size(), 0) == static_cast<ssize_t>(got.size()) &&
           got == contents;
  }
  void CrashAndRemount() {
    ASSERT_TRUE(pool().KillDaemon());
    pool().DropMount();
    ASSERT_TRUE(pool().IsClean()) << "right after the kill";
    ASSERT_TRUE(pool().Mount());
  }
};
INSTANTIATE_TEST_SUITE_P(Places, DirectSurvival,
                         testing::Values(Place::kHost, Place::kAuto, Place::kAlways), NameOf);

TEST_P(DirectSurvival, CloseChmodAndRename) {
  const auto map = MapOf("file");
  const std::string contents = Pattern(kSize, 1);
  memcpy(map->data(), contents.data(), kSize);
  ASSERT_EQ(chmod(Path("file").c_str(), 0), 0);
  map->at()[1] = 'c';
  ASSERT_EQ(rename(Path("file").c_str(), Path("renamed").c_str()), 0);
  map->at()[2] = 'r';
  std::string expected = contents;
  expected[1] = 'c', expected[2] = 'r';
  EXPECT_TRUE(Holds("renamed", expected));
  EXPECT_TRUE(std::string_view(map->data(), kSize) == expected);
}

TEST_P(DirectSurvival, UnlinkAndRenameOver) {
  const auto unlinked = MapOf("unlinked"), replaced = MapOf("replaced"), other = MapOf("other");
  const std::string one = Pattern(kSize, 1), two = Pattern(kSize, 2), three = Pattern(kSize, 3);
  memcpy(unlinked->data(), one.data(), kSize);
  memcpy(replaced->data(), two.data(), kSize);
  memcpy(other->data(), three.data(), kSize);
  ASSERT_EQ(unlink(Path("unlinked").c_str()), 0);
  ASSERT_EQ(rename(Path("other").c_str(), Path("replaced").c_str()), 0);
  // New files take what has become free: nothing of these has.
  for (int i = 0; i < 8; ++i) {
    const auto filler = MapOf("filler" + std::to_string(i));
    Fill(filler->bytes(), 100 + static_cast<uint64_t>(i));
  }
  EXPECT_TRUE(std::string_view(unlinked->data(), kSize) == one);
  EXPECT_TRUE(std::string_view(replaced->data(), kSize) == two);
  EXPECT_TRUE(std::string_view(other->data(), kSize) == three);
  for (const auto* map : {&unlinked, &replaced, &other}) (*map)->at()[0] = 'o';
  std::string expected = three;
  expected[0] = 'o';
  EXPECT_TRUE(Holds("replaced", expected));
  EXPECT_EQ(unlinked->at()[0], 'o');
  EXPECT_EQ(replaced->at()[0], 'o');
}

// Once the last mapping is gone, so is the space.
TEST_P(DirectSurvival, UnmappingAnUnlinkedFileGivesItsSpaceBack) {
  // A device's host filesystem has no path; the pool says what it says.
  const std::string& host = is_mount() && !TestHost::IsDax() ? pool().host_path() : Path("");
  const auto free_bytes = [&host] {
    struct statfs status {};
    EXPECT_EQ(statfs(host.c_str(), &status), 0);
    return status.f_bfree * static_cast<uint64_t>(status.f_bsize);
  };
  auto map = MapOf("file");
  Fill(map->bytes(), 1);
  const uint64_t before = free_bytes();
  ASSERT_EQ(unlink(Path("file").c_str()), 0);
  usleep(200'000);  // nothing to wait for: it must not come
  EXPECT_LT(free_bytes(), before + kSize);
  EXPECT_EQ(map->data()[5], Pattern(6, 1)[5]);
  map.reset();
  // The daemon deletes in the background.
  EXPECT_TRUE(Eventually([&] { return free_bytes() >= before + kSize; }))
      << free_bytes() << " bytes are free, before there were " << before;
}

TEST_P(DirectSurvival, AMappingOutlivesTheDaemon) {
  if (!is_mount()) GTEST_SKIP() << "the host has no daemon";
  const auto map = MapOf("file"), unlinked = MapOf("unlinked");
  std::string contents = Pattern(kSize, 1);
  memcpy(map->data(), contents.data(), kSize / 2);
  Fill(unlinked->bytes(), 2);
  ASSERT_EQ(unlink(Path("unlinked").c_str()), 0);
  ASSERT_TRUE(pool().KillDaemon());
  // Stores go on, also to pages that nobody has touched before.
  memcpy(map->data() + kSize / 2, contents.data() + kSize / 2, kSize / 2);
  EXPECT_EQ(msync(map->data(), kSize, MS_SYNC), 0) << strerror(errno);
  pool().DropMount();
  ASSERT_TRUE(pool().IsClean());
  ASSERT_TRUE(pool().Mount());
  EXPECT_TRUE(Holds("file", contents));
  EXPECT_TRUE(std::string_view(map->data(), kSize) == contents);
  EXPECT_TRUE(std::string_view(unlinked->data(), kSize) == Pattern(kSize, 2));
  // The new mount's mappings and the old one's are the same pages.
  const Descriptor file(Path("file"), O_RDWR);
  const Map again(file.get(), kSize);
  again.at()[77] = 'n';
  EXPECT_EQ(map->at()[77], 'n');
  map->at()[78] = 'o';
  EXPECT_EQ(again.at()[78], 'o');
  contents[77] = 'n', contents[78] = 'o';
  EXPECT_TRUE(Holds("file", contents));
}

// An open handle, not only its mapping, goes on past a dead daemon.
TEST_P(DirectSurvival, AHandleOutlivesTheDaemon) {
  if (!is_mount()) GTEST_SKIP() << "the host has no daemon";
  const Descriptor file(Create("file", 0));
  const std::string contents = Pattern(kSize, 1);
  ASSERT_EQ(pwrite(file.get(), contents.data(), kMiB, 0), static_cast<ssize_t>(kMiB));
  ASSERT_TRUE(pool().KillDaemon());
  for (uint64_t at = kMiB; at < kSize; at += kMiB) {
    ASSERT_EQ(pwrite(file.get(), contents.data() + at, kMiB, static_cast<off_t>(at)),
              static_cast<ssize_t>(kMiB))
        << strerror(errno);
  }
  pool().DropMount();
  ASSERT_TRUE(pool().Mount());
  EXPECT_TRUE(Holds("file", contents));
  // Longer still, by the dead mount's handle: whoever opens it then sees that.
  ASSERT_EQ(pwrite(file.get(), "end", 3, kSize), 3);
  EXPECT_TRUE(Holds("file", contents + "end"));
  struct stat status {};
  ASSERT_EQ(stat(Path("file").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(kSize + 3));
}

// Pages that io_uring pins, over a part of an ordinary file on disk.
class FixedBuffer {
 public:
  FixedBuffer(char* at, size_t size_bytes) : at_(at), size_bytes_(size_bytes) {
    code_ = -io_uring_queue_init(8, &ring_, 0);
    if (code_ != 0) return;
    const iovec buffer{at, size_bytes};
    code_ = -io_uring_register_buffers(&ring_, &buffer, 1);
    if (code_ != 0) io_uring_queue_exit(&ring_);
    if (code_ != 0) return;
    for (const uint64_t seed : {0u, 1u}) {
      const std::string part = Pattern(size_bytes, seed);
      const auto offset = static_cast<off_t>(seed * size_bytes);
      EXPECT_EQ(pwrite(disk_.get(), part.data(), size_bytes, offset),
                static_cast<ssize_t>(size_bytes));
    }
  }
  ~FixedBuffer() {
    if (code_ == 0) io_uring_queue_exit(&ring_);
  }
  FixedBuffer(const FixedBuffer&) = delete;
  [[nodiscard]] int code() const { return code_; }
  // Fills it with Pattern(size, seed), of seed 0 or 1, from the file on disk.
  [[nodiscard]] bool Store(uint64_t seed) {
    const auto size = static_cast<unsigned>(size_bytes_);
    io_uring_sqe* request = io_uring_get_sqe(&ring_);
    io_uring_prep_read_fixed(request, disk_.get(), at_, size, seed * size_bytes_, 0);
    io_uring_cqe* answer = nullptr;
    if (io_uring_submit(&ring_) != 1 || io_uring_wait_cqe(&ring_, &answer) != 0) return false;
    const bool done = answer->res == static_cast<int>(size);
    io_uring_cqe_seen(&ring_, answer);
    return done;
  }

 private:
  char* const at_;
  const size_t size_bytes_;
  const Descriptor disk_{BuildDir().string(), O_TMPFILE | O_RDWR, 0600};
  io_uring ring_{};
  int code_ = 0;
};

// Nobody may pin a DAX file's pages for long (FOLL_LONGTERM, check_vma_flags in mm/gup.c).
bool IsDaxsRefusal(const FixedBuffer& buffer) {
  if (!TestHost::IsDax()) return false;
  EXPECT_EQ(buffer.code(), EOPNOTSUPP);
  return true;
}

// Pinned pages show neither in a lease nor in the count of opens (rule B9): this file is of a size
// that no mount takes back into extents.
TEST_P(DirectSurvival, AFixedBufferWithoutMappingOutlivesTheDaemonAndRemounts) {
  auto map = MapOf("file");
  ASSERT_EQ(truncate(Path("file").c_str(), 2 * kMiB), 0);
  FixedBuffer buffer(map->data(), 2 * kMiB);
  if (IsDaxsRefusal(buffer)) return;
  if (buffer.code() != 0) GTEST_SKIP() << "io_uring: " << strerror(buffer.code());
  map.reset();
  ASSERT_TRUE(buffer.Store(0));
  EXPECT_TRUE(Holds("file", Pattern(2 * kMiB, 0)));
  if (is_mount()) {
    CrashAndRemount();
    EXPECT_TRUE(Holds("file", Pattern(2 * kMiB, 0)));
    ASSERT_TRUE(pool().Unmount());
    ASSERT_TRUE(pool().Mount());
  }
  // The buffer still is that file's memory.
  ASSERT_TRUE(buffer.Store(1));
  EXPECT_TRUE(Holds("file", Pattern(2 * kMiB, 1)));
}

// A file that a mount would take back, were there not the mapping of a dead daemon's mount.
TEST_P(DirectSurvival, AMappedSmallFileIsLeftWhereItIs) {
  const auto map = MapOf("file");
  ASSERT_EQ(truncate(Path("file").c_str(), 64 << 10), 0);
  FixedBuffer buffer(map->data(), 64 << 10);
  if (IsDaxsRefusal(buffer)) return;
  if (buffer.code() != 0) GTEST_SKIP() << "io_uring: " << strerror(buffer.code());
  ASSERT_TRUE(buffer.Store(0));
  for (int round = 0; is_mount() && round < 2; ++round) {
    CrashAndRemount();
    EXPECT_TRUE(Holds("file", Pattern(64 << 10, 0)));
    usleep(300'000);  // in which a mount does what it does in the background
  }
  ASSERT_TRUE(buffer.Store(1));
  EXPECT_TRUE(Holds("file", Pattern(64 << 10, 1)));
  map->at()[5] = 'm';
  std::string expected = Pattern(64 << 10, 1);
  expected[5] = 'm';
  EXPECT_TRUE(Holds("file", expected));
}

// A mapping keeps the mount busy, so that an orderly end never takes the pool from under it.
TEST_P(DirectSurvival, UnmountingIsRefusedWhileSomebodyMaps) {
  if (!is_mount()) GTEST_SKIP() << "the host has no daemon";
  auto map = MapOf("file");
  EXPECT_FALSE(pool().Unmount());
  map->at()[0] = 'x';
  map.reset();
  const Descriptor file(Path("file"), O_RDONLY);
  char byte = 0;
  EXPECT_EQ(pread(file.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'x');
}

}  // namespace
}  // namespace ingot::tests
