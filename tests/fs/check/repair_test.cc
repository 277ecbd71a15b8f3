// SPDX-License-Identifier: BSD-3-Clause
// Repairs that are interrupted, and media that can't be read.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "fs/core/extent_map.h"
#include "tests/fs/check/populated_pool.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

using check::FindingKind;

// Damages that need every kind of repair: in place, bitmaps, punched ranges, lost+found.
void DamageMuch(PoolCopy& copy) {
  const PopulatedPool& pool = PopulatedPool::Get();
  const auto number = [&pool](const char* path) { return pool.Inode(path); };
  copy.Inode(number("outer")).magic ^= 1;  // its contents are lost and saved
  copy.Inode(number("linked")).links = 5;
  copy.Seal(number("linked"));
  media::Record* record = copy.Records(number("small"));
  Extent extent = Extent::Decode(*record);
  extent.start = Extent::Decode(*copy.Records(number("huge"))).start;
  *record = extent.Encode();
  copy.Seal(number("small"));
  copy.At(LogicalPage(media::kAllocatedBitmapPage))[100] ^= std::byte{0x10};
  copy.At(LogicalPage(copy.Records(number("fragmented"))[0].value))[77] ^= std::byte{1};
}

// Keeps the pool's bytes as they are at one fence: what a crash there leaves at best.
class SnapshotAtFence : public PersistObserver {
 public:
  SnapshotAtFence(Device& device, uint64_t fence) : device_(device), fence_(fence) {
    device_.persist().set_observer(this);
  }
  ~SnapshotAtFence() override { device_.persist().set_observer(nullptr); }
  void OnStore(MediaOffset, std::span<const std::byte>, StoreKind) override {}
  void OnFlush(MediaOffset, uint64_t, PersistSite) override {}
  void OnFence(PersistSite) override {
    if (++seen_ != fence_) return;
    const std::byte* base = device_.mapping().base();
    bytes_.assign(base, base + device_.mapping().size_bytes());
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  [[nodiscard]] uint64_t seen() const { return seen_; }

 private:
  Device& device_;
  const uint64_t fence_;
  uint64_t seen_ = 0;
  std::vector<std::byte> bytes_;
};

void Overwrite(PoolCopy& copy, const std::vector<std::byte>& bytes) {
  for (size_t at = 0; at < bytes.size(); at += kPageSize) {
    std::byte* to = copy.At(MediaOffset(at));
    if (std::memcmp(to, bytes.data() + at, kPageSize) != 0) {
      std::memcpy(to, bytes.data() + at, kPageSize);
    }
  }
}

TEST(CheckRepair, AnotherRunGoesOnAfterACrash) {
  for (uint64_t fence = 1;; fence += fence < 12 ? 1 : 7) {
    SCOPED_TRACE(fmt::format("crash at fence {}", fence));
    PoolCopy first;
    DamageMuch(first);
    EXPECT_FALSE(first.Report().clean());
    SnapshotAtFence snapshot(first.device(), fence);
    EXPECT_TRUE(first.Repair().clean_now());
    if (snapshot.bytes().empty()) {
      EXPECT_GT(fence, 20u);
      break;
    }
    PoolCopy second;
    Overwrite(second, snapshot.bytes());
    second.ExpectRepairable({"outer", "small", "huge", "fragmented"});
    if (HasFailure()) break;
  }
}

TEST(CheckRepair, OneRoundAtATime) {
  PoolCopy copy;
  DamageMuch(copy);
  (void)copy.Report();
  check::CheckOptions options;
  options.mode = check::CheckMode::kRepair;
  options.max_rounds = 1;
  int runs = 0;
  for (; runs < 30; ++runs) {
    const auto report = check::Check(copy.device(), options);
    ASSERT_TRUE(report) << Describe(report.error());
    if (report->clean()) break;
  }
  EXPECT_LT(runs, 30);
  EXPECT_TRUE(copy.Report().clean());
}

// Flags are for users: what is lost is saved all the same.
TEST(CheckRepair, AnImmutableRootGetsLostAndFound) {
  const PopulatedPool& pool = PopulatedPool::Get();
  PoolCopy copy;
  copy.Inode(Volume::kRoot).flags |= media::kInodeImmutable | media::kInodeAppendOnly;
  copy.Seal(Volume::kRoot);
  copy.Inode(pool.Inode("outer")).magic ^= 1;
  EXPECT_FALSE(copy.Report().clean());
  const check::CheckReport report = copy.Repair();
  EXPECT_TRUE(report.clean_now()) << Summary(report);
  const std::unique_ptr<Volume> volume = copy.OpenVolume();
  ASSERT_NE(volume, nullptr);
  const auto root = volume->core().reader.ReadInode(Volume::kRoot);
  ASSERT_TRUE(root);
  EXPECT_NE(root->flags & media::kInodeImmutable, 0u);
  EXPECT_TRUE(volume->names().Lookup(Volume::kRoot, "lost+found").has_value());
}

TEST(CheckRepair, ReadOnlyDeviceIsRefused) {
  MappingOptions options;
  options.read_only = true;
  options.take_lock = false;
  options.reserve_bytes = uint64_t{64} << 20;
  auto mapping =
      Mapping::FromDescriptor(fcntl(PopulatedPool::Get().fd(), F_DUPFD_CLOEXEC, 0), options);
  ASSERT_TRUE(mapping) << Describe(mapping.error());
  auto device = Device::Open(std::move(*mapping), {});
  ASSERT_TRUE(device) << Describe(device.error());
  EXPECT_TRUE(check::Check(**device, {})->clean());
  check::CheckOptions repair;
  repair.mode = check::CheckMode::kRepair;
  EXPECT_EQ(check::Check(**device, repair).error_code(), EROFS);
}

TEST(CheckRepair, UnreadablePagesAreNamed) {
  const PopulatedPool& pool = PopulatedPool::Get();
  MappingOptions options;
  options.read_only = true;
  options.take_lock = false;
  options.reserve_bytes = uint64_t{64} << 20;
  auto mapping = Mapping::FromDescriptor(fcntl(pool.fd(), F_DUPFD_CLOEXEC, 0), options);
  ASSERT_TRUE(mapping) << Describe(mapping.error());
  PoolCopy reader;
  const LogicalPage data = Extent::Decode(*reader.Records(pool.Inode("huge"))).start + 3;
  const LogicalPage inodes = PageOf(pool.Inode("big"));
  if (!PoisonPage(**mapping, Geometry::ToMedia(data)) ||
      !PoisonPage(**mapping, Geometry::ToMedia(inodes))) {
    GTEST_SKIP() << "userfaultfd with UFFDIO_POISON is not to be had";
  }
  auto device = Device::Open(std::move(*mapping), {});
  ASSERT_TRUE(device) << Describe(device.error());
  check::CheckOptions check;
  check.read_data = true;
  const auto report = check::Check(**device, check);
  ASSERT_TRUE(report) << Describe(report.error());
  EXPECT_TRUE(Has(*report, FindingKind::kDataUnreadable)) << Summary(*report);
  EXPECT_TRUE(Has(*report, FindingKind::kInodeUnreadable)) << Summary(*report);
}

}  // namespace
}  // namespace ingot::tests
