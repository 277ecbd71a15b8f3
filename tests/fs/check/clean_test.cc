// SPDX-License-Identifier: BSD-3-Clause
// What is in order is called so: empty and populated pools, live volumes, pending transactions; and
// a report stores nothing.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include <nlohmann/json.hpp>

#include "fs/check/report_json.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/journal_record.h"
#include "tests/fs/check/populated_pool.h"
#include "tests/fs/core/core_fixture.h"
#include "tests/support/fsck_assert.h"

namespace ingot::tests {
namespace {

using check::FindingKind;

uint32_t ChecksumOfFile(int fd) {
  struct stat status;
  CHECK(fstat(fd, &status) == 0);
  std::vector<std::byte> bytes(1 << 20);
  uint32_t crc = 0;
  for (off_t at = 0; at < status.st_size; at += static_cast<off_t>(bytes.size())) {
    const ssize_t got = pread(fd, bytes.data(), bytes.size(), at);
    CHECK(got >= 0);
    crc = Crc32c(std::span(bytes).first(static_cast<size_t>(got)), crc);
  }
  return crc;
}

TEST(CheckClean, EmptyVolume) {
  const std::unique_ptr<Device> device = FormattedDevice(uint64_t{300} << 20);
  ASSERT_OK(Volume::Format(*device, Caller{}));
  EXPECT_FSCK_CLEAN(*device);
}

TEST(CheckClean, PopulatedPool) {
  PoolCopy copy;
  const check::CheckReport report = copy.Report();
  EXPECT_TRUE(report.clean()) << Summary(report);
  EXPECT_FALSE(report.needs_recovery);
  EXPECT_EQ(report.rounds, 1u);
  EXPECT_EQ(report.counts.inodes,
            PopulatedPool::Get().inodes().size() - 1 + 1);  // hard link, orphan
  EXPECT_EQ(report.counts.orphans, 1u);
  EXPECT_EQ(report.counts.symlinks, 2u);
  EXPECT_EQ(report.counts.special_files, 4u);
  EXPECT_EQ(report.counts.directories, 6u);
}

TEST(CheckClean, RepairOfACleanPoolStoresNothing) {
  PoolCopy copy;
  const check::CheckReport before = copy.Report();
  const uint64_t stores = copy.device().persist().counts().stores;
  const check::CheckReport report = copy.Repair();
  EXPECT_TRUE(report.clean()) << Summary(report);
  EXPECT_EQ(report.rounds, 1u);
  EXPECT_EQ(copy.device().persist().counts().stores, stores);
}

TEST(CheckClean, PrivateCopyLeavesTheFileAlone) {
  const uint32_t before = ChecksumOfFile(PopulatedPool::Get().fd());
  {
    PoolCopy copy;
    copy.Inode(PopulatedPool::Get().Inode("small")).links = 77;
    copy.Seal(PopulatedPool::Get().Inode("small"));
    EXPECT_TRUE(copy.Repair().clean_now());
    const auto volume = copy.OpenVolume();
    ASSERT_NE(volume, nullptr);
    ASSERT_OK(volume->names().Unlink(Volume::kRoot, "small"));
  }
  EXPECT_EQ(ChecksumOfFile(PopulatedPool::Get().fd()), before);
}

// Puts a valid record into lane 3 that stores `inode` to its place.
void WritePendingInode(std::byte* base, const media::Inode& inode, const media::Uuid& uuid) {
  auto image = std::make_unique<LaneImage>();
  std::memset(static_cast<void*>(image.get()), 0, sizeof(*image));
  constexpr uint32_t kWords = media::kInodeSize / kWordSize;
  image->payload[0] = PackRun(Geometry::ToMedia(AddressOf(InodeNumber(inode.number))), kWords);
  std::memcpy(&image->payload[1], &inode, sizeof(inode));
  image->header.sequence = 1000;
  image->header.length_bytes = (kWords + 1) * kWordSize;
  image->header.lane_index = 3;
  image->header.checksum = RecordChecksum(*image, RecordSeed(uuid));
  std::memcpy(base + RecordPlace(3).value, image.get(),
              sizeof(media::LaneRecord) + image->header.length_bytes);
}

TEST(CheckClean, PendingTransactionIsNoFault) {
  const std::unique_ptr<Device> made = FormattedDevice(uint64_t{32} << 20);
  ASSERT_OK(Volume::Format(*made, Caller{}));
  const int fd = fcntl(made->mapping().fd(), F_DUPFD_CLOEXEC, 0);
  MappingOptions options;
  options.take_lock = false;
  options.reserve_bytes = uint64_t{32} << 20;
  auto writable = Mapping::FromDescriptor(fd, options);
  ASSERT_OK(writable);
  media::Inode root;
  ASSERT_OK((*writable)->Read(Geometry::ToMedia(AddressOf(Volume::kRoot)), WritableBytesOf(root)));
  // Half of the change is stored: the checksum is wrong until the lane is replayed.
  std::byte* base = (*writable)->writable_base();
  root.uid = 4242;
  std::memcpy(base + Geometry::ToMedia(AddressOf(Volume::kRoot)).value, &root, sizeof(root));
  SealInode(root);
  WritePendingInode(base, root, made->superblock().uuid);

  MappingOptions read_only = options;
  read_only.read_only = true;
  auto mapping = Mapping::FromDescriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0), read_only);
  ASSERT_OK(mapping);
  auto device = Device::Open(std::move(*mapping), {});
  ASSERT_OK(device);
  const auto report = check::Check(**device, {});
  ASSERT_OK(report);
  EXPECT_TRUE(report->needs_recovery);
  EXPECT_TRUE(report->clean()) << Summary(*report);
  EXPECT_EQ((*device)->journal().Inspect()->valid_lanes, 1u);
}

TEST(CheckClean, ProgressCoversAllPasses) {
  PoolCopy copy;
  (void)copy.Report();
  std::map<std::string, uint64_t> done;
  check::CheckOptions options;
  options.read_data = true;
  options.progress = [&done](const check::Progress& progress) {
    EXPECT_LE(progress.done, progress.total);
    done[std::string(progress.pass)] = progress.done;
  };
  const auto report = check::Check(copy.device(), options);
  ASSERT_OK(report);
  EXPECT_TRUE(report->clean()) << Summary(*report);
  for (const char* pass : {"groups", "inodes", "directories", "links", "bitmaps"}) {
    EXPECT_GT(done[pass], 0u) << pass;
  }
}

TEST(CheckClean, ReportAsJson) {
  PoolCopy copy;
  copy.Inode(PopulatedPool::Get().Inode("small")).links = 7;
  copy.Seal(PopulatedPool::Get().Inode("small"));
  const nlohmann::json json = check::ToJson(copy.Report());
  EXPECT_FALSE(json["clean"].get<bool>());
  EXPECT_EQ(json["found_by_kind"]["inode-links"], 1);
  EXPECT_EQ(json["findings"][0]["inode"], PopulatedPool::Get().Inode("small").value);
}

TEST(CheckClean, MemoryBudgetIsKept) {
  PoolCopy copy;
  (void)copy.Report();
  check::CheckOptions options;
  options.memory_budget_bytes = 100;
  EXPECT_ERROR(ENOMEM, check::Check(copy.device(), options));
}

}  // namespace
}  // namespace ingot::tests
