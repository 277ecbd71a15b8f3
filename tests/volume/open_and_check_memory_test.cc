// SPDX-License-Identifier: BSD-3-Clause
// Memory runs out while a pool is opened, recovered, checked and repaired: an error, and no harm to
// the pool; with memory it is done. Tables of a check must bear it, too (fs/check/make_room.h).
#include <unistd.h>

#include "fs/check/check.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/base/log.h"
#include "tests/support/failing_memory.h"
#include "tests/volume/fault_cases.h"
#include "tests/volume/pools.h"
#include "tests/volume/volume_state.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 16 << 20;

uint64_t NextOf(uint64_t n) { return NextFailure(n, 100); }

uint64_t HashOf(int fd) {
  std::vector<std::byte> bytes(kPoolBytes);
  EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(kPoolBytes));
  return Hash64(bytes, 0);
}

class NoMemoryFor : public ::testing::TestWithParam<FailingMemory::Failures> {
 protected:
  void SetUp() override {
    log::ToStderr(log::Level::kOff);
    ModelledPool pool(kPoolBytes);
    pool.Run({.kind = Kind::kMkdir, .path = "/d", .mode = 0700});
    for (int i = 0; i < 60; ++i) {
      const std::string path = fmt::format("/d/{:0>100}", i);
      pool.Run({.kind = Kind::kCreate, .path = path, .mode = 0600});
      pool.Run({.kind = Kind::kWrite, .path = path, .size = 1000, .seed = 1});
    }
    file_ = InodeAt(pool.volume(), fmt::format("/d/{:0>100}", 7));
    directory_ = InodeAt(pool.volume(), "/d");
    tree_ = StateOf(pool.volume()).tree;
    image_ = CopyOfPool(pool.fd());
  }
  void TearDown() override {
    log::ToStderr(log::Level::kWarning);
    close(image_);
  }

  // Wrong link counts, one of which costs the directory its entry's file.
  void Damage(InodeNumber number) const {
    const auto place = static_cast<off_t>(Geometry::ToMedia(AddressOf(number)).value);
    media::Inode inode;
    ASSERT_EQ(pread(image_, &inode, sizeof(inode), place), ssize_t{sizeof(inode)});
    inode.links += 3;
    SealInode(inode);
    ASSERT_EQ(pwrite(image_, &inode, sizeof(inode), place), ssize_t{sizeof(inode)});
  }
  static Result<check::CheckReport> Check(int fd, check::CheckMode mode) {
    auto mapping = Mapping::FromDescriptor(DuplicateOf(fd), TestMappingOptions());
    if (!mapping) return tl::unexpected<Error>(mapping.error());
    check::CheckOptions options;
    options.mode = mode;
    return check::CheckPool(std::move(*mapping), options);
  }

  InodeNumber file_, directory_;
  std::string tree_;
  int image_ = -1;
};

TEST_P(NoMemoryFor, Opening) {
  for (uint64_t n = 1;; n = NextOf(n)) {
    SCOPED_TRACE(n);
    const int fd = DuplicateOf(image_);
    const PoolOptions options;
    auto opened = [&] {
      const FailingMemory memory(n, GetParam());
      return NoThrow([&] { return OpenPool(fd, options); });
    }();
    if (!opened) {
      ASSERT_TRUE(FailingMemory::HasFailed());
      EXPECT_EQ(opened.error().code, ENOMEM) << opened.error().context;
      continue;
    }
    if (!FailingMemory::HasFailed()) break;
  }
  auto opened = OpenPool(DuplicateOf(image_));
  ASSERT_OK(opened);
  EXPECT_EQ(TreeDifference(tree_, StateOf(**opened).tree), "");
  EXPECT_FSCK_CLEAN((*opened)->device());
}

TEST_P(NoMemoryFor, AReport) {
  ASSERT_NO_FATAL_FAILURE(Damage(file_));
  const uint64_t before = HashOf(image_);
  const auto whole = Check(image_, check::CheckMode::kReport);
  ASSERT_OK(whole);
  ASSERT_GT(whole->found, 0u);
  for (uint64_t n = 1;; n = NextOf(n)) {
    SCOPED_TRACE(n);
    const auto report = [&] {
      const FailingMemory memory(n, GetParam());
      return NoThrow([&] { return Check(image_, check::CheckMode::kReport); });
    }();
    if (report) {
      EXPECT_EQ(report->found, whole->found);
    } else {
      ASSERT_TRUE(FailingMemory::HasFailed());
      EXPECT_EQ(report.error().code, ENOMEM) << report.error().context;
    }
    if (HasFailure() || !FailingMemory::HasFailed()) break;
  }
  EXPECT_EQ(HashOf(image_), before) << "a report stores nothing";
}

TEST_P(NoMemoryFor, ARepair) {
  ASSERT_NO_FATAL_FAILURE(Damage(file_));
  ASSERT_NO_FATAL_FAILURE(Damage(directory_));
  for (uint64_t n = 1;; n = NextOf(n)) {
    SCOPED_TRACE(n);
    const int copy = CopyOfPool(image_);
    const auto report = [&] {
      const FailingMemory memory(n, GetParam());
      return NoThrow([&] { return Check(copy, check::CheckMode::kRepair); });
    }();
    const bool has_failed = FailingMemory::HasFailed();
    if (!report) {
      ASSERT_TRUE(has_failed);
      EXPECT_EQ(report.error().code, ENOMEM) << report.error().context;
    }
    const auto again = Check(copy, check::CheckMode::kRepair);
    ASSERT_OK(again);
    EXPECT_TRUE(again->clean_now());
    auto opened = OpenPool(copy);
    ASSERT_OK(opened);
    EXPECT_EQ(TreeDifference(tree_, StateOf(**opened).tree), "");
    EXPECT_FSCK_CLEAN((*opened)->device());
    if (HasFailure() || !has_failed) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Allocations, NoMemoryFor,
                         ::testing::Values(FailingMemory::Failures::kOne,
                                           FailingMemory::Failures::kAllFromThere));

}  // namespace
}  // namespace ingot::tests
