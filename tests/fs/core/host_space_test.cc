// SPDX-License-Identifier: BSD-3-Clause
// Directory pools share the host's space: what they give back, what they keep, what they say of it.
#include "fs/core/shared_space.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <atomic>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/fs/core/directory_pool_fixture.h"

namespace ingot::tests {
namespace {

constexpr uint32_t kFiles = 40;
constexpr size_t kFileBytes = 700'000;  // in extents: below what is backed

class HostSpace : public DirectoryPoolFixture {
 protected:
  static std::string Name(uint32_t file) { return "file" + std::to_string(file); }
  static std::string Text(uint32_t file) {
    std::string text(kFileBytes, static_cast<char>('a' + file % 26));
    text += Name(file);
    return text;
  }
  void Fill() {
    for (uint32_t file = 0; file < kFiles; ++file) {
      const InodeNumber inode = MakeFile(kRoot, Name(file));
      WriteAll(inode, Text(file));
      ASSERT_FALSE(IsBacked(inode));
      names().Forget(inode, 1);
    }
  }
  void Delete(uint32_t from, uint32_t to) {
    for (uint32_t file = from; file < to; ++file) ASSERT_OK(names().Unlink(kRoot, Name(file)));
  }
  void ExpectFiles(uint32_t from, uint32_t to) {
    for (uint32_t file = from; file < to; ++file) {
      EXPECT_TRUE(ReadAll(Find(kRoot, Name(file))) == Text(file)) << file;
    }
  }
  void Release(uint32_t keep = 0) {
    for (;;) {
      const Result<bool> more = core().allocator->ReleaseFreeHugePages(keep);
      ASSERT_OK(more);
      if (!*more) return;
    }
  }
  uint64_t HostBytes() {
    struct stat status {};
    EXPECT_EQ(fstat(volume().device().mapping().fd(), &status), 0);
    return static_cast<uint64_t>(status.st_blocks) * 512;
  }
  SpaceCounts Count() { return core().allocator->Count(); }
};

TEST_F(HostSpace, WhatBecameFreeGoesBackAndNothingElse) {
  Release();
  Fill();
  const uint64_t full = HostBytes();
  Release();
  EXPECT_EQ(HostBytes(), full) << "nothing was free";
  Delete(0, kFiles / 2);
  EXPECT_EQ(HostBytes(), full);
  const uint64_t free_before = Count().free_pages;
  Release();
  // Half of the files, but for a few huge pages that others lie in as well.
  EXPECT_LE(HostBytes() + kFiles / 2 * kFileBytes, full + 3 * kHugePageSize);
  EXPECT_EQ(Count().free_pages, free_before) << "free it is all the same";
  ExpectFiles(kFiles / 2, kFiles);
}

TEST_F(HostSpace, HolesAreUsedAgain) {
  Fill();
  Delete(0, kFiles);
  Release();
  Fill();
  ExpectFiles(0, kFiles);
  ReopenPool();
  ExpectFiles(0, kFiles);
}

TEST_F(HostSpace, AfterAMountAllThatIsFreeGoesBack) {
  const uint64_t empty = HostBytes();
  Fill();
  Delete(2, kFiles);
  const uint64_t full = HostBytes();
  ReopenPool();
  EXPECT_EQ(HostBytes(), full);
  Release();
  EXPECT_LE(HostBytes(), empty + 4 * kHugePageSize);
  ExpectFiles(0, 2);
  const uint64_t after = HostBytes();
  ReopenPool();
  Release();
  EXPECT_EQ(HostBytes(), after);
}

TEST_F(HostSpace, WhatAnEarlierMountWroteGoesBackWhenItIsDeleted) {
  const uint64_t empty = HostBytes();
  Fill();
  ReopenPool();
  Release();
  EXPECT_GE(HostBytes(), kFiles * kFileBytes);
  Delete(1, kFiles);
  Release();
  EXPECT_LE(HostBytes(), empty + 4 * kHugePageSize);
  ExpectFiles(0, 1);
}

TEST_F(HostSpace, AReserveStaysAllocatedAndIsForThoseWhoNeedIt) {
  const uint64_t free_before = Count().free_pages;
  Release(/*keep=*/4);
  const uint64_t kept = Count().host_reserve_pages;
  ASSERT_GE(kept, kPagesPerHugePage);
  EXPECT_GE(Count().free_pages_on_host, kept);
  EXPECT_EQ(Count().free_pages, free_before) << "free it is all the same";
  Release(/*keep=*/4);
  EXPECT_EQ(Count().host_reserve_pages, kept) << "not more each time";

  std::vector<Claim> claims;
  uint64_t ordinary = 0;
  for (;;) {
    Result<Claim> claim = core().allocator->Take({.pages = kPagesPerHugePage});
    if (!claim) break;
    ordinary += claim->count();
    claims.push_back(std::move(*claim));
  }
  EXPECT_EQ(Count().host_reserve_pages, kept) << "not for everybody";
  uint64_t needed = 0;
  for (;;) {
    Result<Claim> claim = core().allocator->Take({.pages = 100, .from_reserve = true});
    if (!claim) {
      EXPECT_EQ(claim.error_code(), ENOSPC);
      break;
    }
    needed += claim->count();
    claims.push_back(std::move(*claim));
  }
  EXPECT_GE(needed, kept);
  EXPECT_EQ(Count().host_reserve_pages, 0u);
  EXPECT_EQ(ordinary + needed, Count().free_pages);
  claims.clear();
  Release(/*keep=*/4);
  EXPECT_EQ(Count().host_reserve_pages, kept);
}

TEST_F(HostSpace, NobodysBytesGoWhileOthersWriteAndDelete) {
  constexpr uint32_t kWriters = 3;
  std::atomic<uint32_t> at_work{kWriters};
  std::vector<std::thread> writers;
  for (uint32_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([this, writer, &at_work] {
      for (uint32_t round = 0; round < 60; ++round) {
        const std::string name = fmt::format("{}-{}", writer, round % 3);
        const std::string text(kFileBytes, static_cast<char>('a' + (writer * 7 + round) % 26));
        const InodeNumber inode = MakeFile(kRoot, name);
        WriteAll(inode, text);
        std::this_thread::yield();
        EXPECT_TRUE(ReadAll(inode) == text) << name << " round " << round;
        EXPECT_TRUE(names().Unlink(kRoot, name));
        names().Forget(inode, 1);
      }
      --at_work;
    });
  }
  uint64_t calls = 0;
  while (at_work != 0) {
    EXPECT_TRUE(core().allocator->ReleaseFreeHugePages(2));
    (void)Count();
    ++calls;
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(calls, 0u);
  Release();
  Fill();
  ExpectFiles(0, kFiles);
}

TEST_F(HostSpace, AReadOnlyDeviceGivesNothingBack) {
  Fill();
  Delete(0, kFiles);
  const uint64_t full = HostBytes();
  volume().device().TurnReadOnly("test");
  EXPECT_ERROR(EROFS, core().allocator->ReleaseFreeHugePages(0));
  EXPECT_EQ(HostBytes(), full);
}

TEST_F(HostSpace, WhatIsFreeOnTheHostIsWhatLiesBesideUsedPages) {
  const uint64_t before = Count().free_pages_on_host;
  EXPECT_LE(before, kPagesPerHugePage) << "the huge page of the metadata alone";
  const InodeNumber inode = MakeFile(kRoot, "one");
  WriteAll(inode, std::string(100 * kPageSize, 'x'));
  const uint64_t with_one = Count().free_pages_on_host;
  EXPECT_GE(with_one, before + kPagesPerHugePage - 110);
  EXPECT_LE(with_one, before + kPagesPerHugePage - 100);
}

TEST_F(HostSpace, StatisticsAreTheHosts) {
  Fill();
  const VolumeStatistics statistics = volume().Statistics();
  struct statvfs host {};
  ASSERT_EQ(fstatvfs(volume().device().mapping().fd(), &host), 0);
  const uint64_t total =
      host.f_blocks != 0 ? host.f_blocks * host.f_frsize : MachineMemoryBytes(false);
  EXPECT_EQ(statistics.total_bytes, total);
  EXPECT_GT(statistics.free_bytes, 0u);
  EXPECT_LE(statistics.free_bytes, total);
  EXPECT_LE(statistics.available_bytes, statistics.free_bytes);
}

// With a region that is smaller than its host, nothing but the region can be filled.
TEST_F(HostSpace, WithoutBackingFilesStatisticsAreTheRegions) {
  EXPECT_GT(volume().Statistics().total_bytes, Count().total_pages * kPageSize) << "the host's";
  volume().core().direct = DirectMode::kNever;
  const VolumeStatistics empty = volume().Statistics();
  EXPECT_EQ(empty.total_bytes, Count().total_pages * kPageSize);
  EXPECT_EQ(empty.free_bytes, Count().free_pages * kPageSize);
  EXPECT_EQ(empty.available_bytes, (Count().free_pages - Count().reserve_pages) * kPageSize);
  uint64_t written = 0;
  const InodeNumber inode = MakeFile(kRoot, "all");
  const std::vector<std::byte> piece(uint64_t{1} << 20, std::byte{1});
  for (;;) {
    const auto count = data().Write(inode, written, piece, {});
    if (!count) {
      EXPECT_EQ(count.error_code(), ENOSPC);
      break;
    }
    written += *count;
  }
  EXPECT_FALSE(IsBacked(inode));
  EXPECT_LE(written, empty.available_bytes);
  EXPECT_GE(written, empty.available_bytes - empty.available_bytes / 20) << "but for the tree";
  EXPECT_LT(volume().Statistics().available_bytes, uint64_t{1} << 20);
}

}  // namespace
}  // namespace ingot::tests
