// SPDX-License-Identifier: BSD-3-Clause
// The facade: format, open, reopen, guarded reads and what faults become.
#include "pmemdev/device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fmt/format.h>

#include "tests/paths.h"
#include "tests/support/test_region.h"

namespace ingot {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(Device, FormatOpenReopen) {
  auto device = tests::FormattedDevice(300 * kMiB);
  EXPECT_TRUE(device->writable());
  EXPECT_EQ(device->read_only_reason(), "");
  EXPECT_EQ(device->geometry().group_count(), 3u);
  EXPECT_EQ(device->page_array().placement(), PageArrayPlacement::kDevice);
  EXPECT_EQ(device->replay_report().valid_lanes, 0u);
  {
    PersistStream stream = device->persist().NewStream();
    const std::array<std::byte, 3> bytes = {std::byte{1}, std::byte{2}, std::byte{3}};
    const MediaOffset at = Geometry::ToMedia(LogicalOffset(130 * kMiB + 5));
    ASSERT_TRUE(stream.CopyUnfenced(at, bytes).has_value());
    ASSERT_TRUE(stream.Fence().has_value());
  }
  auto again = tests::Reopen(std::move(device));
  ASSERT_TRUE(again.has_value()) << Describe(again.error());
  std::array<std::byte, 3> bytes{};
  ASSERT_TRUE((*again)->Read(LogicalOffset(130 * kMiB + 5), bytes).has_value());
  EXPECT_EQ(bytes[2], std::byte{3});
  EXPECT_EQ((*again)->Pointer(LogicalOffset(130 * kMiB + 5))[1], std::byte{2});
}

TEST(Device, ReadIsBounded) {
  const auto device = tests::FormattedDevice(300 * kMiB);
  std::array<std::byte, 2> bytes{};
  EXPECT_EQ(device->Read(LogicalOffset(kGroupDataSize - 1), bytes).error_code(), EUCLEAN);
  EXPECT_EQ(device->Read(LogicalOffset(~uint64_t{0}), bytes).error_code(), EUCLEAN);
}

TEST(Device, OpenRestoresLostSuperblocks) {
  auto device = tests::FormattedDevice(64 * kMiB);
  for (const uint32_t copy : {0u, 2u}) {
    PersistStream stream = device->persist().NewStream();
    ASSERT_TRUE(stream.ZeroUnfenced(Geometry::SuperblockCopy(copy, 64 * kMiB), 4096).has_value());
  }
  auto again = tests::Reopen(std::move(device));
  ASSERT_TRUE(again.has_value()) << Describe(again.error());
  const auto scan = ReadSuperblocks((*again)->mapping());
  ASSERT_TRUE(scan.has_value());
  EXPECT_TRUE(scan->same[0] && scan->same[1] && scan->same[2]);
}

TEST(Device, UnknownReadOnlyFeature) {
  auto device = tests::FormattedDevice(64 * kMiB);
  media::Superblock superblock = device->superblock();
  superblock.features_read_only_compatible = 0x4;
  ASSERT_TRUE(WriteSuperblocks(device->persist(), superblock).has_value());
  auto again = tests::Reopen(std::move(device));
  ASSERT_TRUE(again.has_value()) << Describe(again.error());
  EXPECT_FALSE((*again)->writable());
  EXPECT_NE((*again)->read_only_reason().find("0x4"), std::string::npos);
  EXPECT_EQ((*again)->persist().NewStream().ZeroUnfenced(MediaOffset(0), 8).error_code(), EROFS);
}

TEST(Device, ReadOnlyOpenStoresNothing) {
  auto device = tests::FormattedDevice(64 * kMiB);
  MappingOptions options = tests::TestMappingOptions();
  options.read_only = true;
  auto again = tests::Reopen(std::move(device), options);
  ASSERT_TRUE(again.has_value()) << Describe(again.error());
  EXPECT_FALSE((*again)->writable());
  EXPECT_EQ((*again)->page_array().placement(), PageArrayPlacement::kDram);
}

TEST(Device, MediaErrorIsMarkedRememberedAndOne) {
  const auto device = tests::FormattedDevice(64 * kMiB);
  const LogicalPage page(1000);
  (void)device->page_array().Get(page);
  const MediaOffset at = Geometry::ToMedia(page);
  if (!tests::PoisonPage(device->mapping(), at)) GTEST_SKIP() << "UFFDIO_POISON";
  std::array<std::byte, 16> bytes{};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(device->Read(OffsetOf(page) + 8, bytes).error_code(), EIO);
  const volatile std::byte* in_place = device->Pointer(OffsetOf(page));
  EXPECT_EQ(device->ReadInPlace([in_place] { (void)*in_place; }).error_code(), EIO);
  EXPECT_TRUE(device->writable());
  ASSERT_EQ(device->poisoned_pages().size(), 1u);
  EXPECT_EQ(device->poisoned_pages()[0].at, Geometry::ToMedia(page));
  EXPECT_EQ(device->poisoned_pages()[0].kind, FaultKind::kMediaError);
  EXPECT_NE(device->page_array().Get(page).flags.load() & kPagePoisoned, 0);
  // A store that faults is reported by itself.
  const std::array<uint64_t, 1> words = {1};
  if (!tests::PoisonPage(device->mapping(), Geometry::ToMedia(page + 5))) GTEST_SKIP();
  PersistStream stream = device->persist().NewStream();
  EXPECT_EQ(stream.StoreUnflushed(Geometry::ToMedia(page + 5), words).error_code(), EIO);
  EXPECT_EQ(device->poisoned_pages().size(), 2u);
}

TEST(Device, LostHostSpaceTurnsReadOnly) {
  const auto device = tests::FormattedDevice(64 * kMiB);
  ASSERT_EQ(ftruncate(device->mapping().fd(), static_cast<off_t>(32 * kMiB)), 0);
  std::array<std::byte, 16> bytes{};
  EXPECT_EQ(device->Read(LogicalOffset(40 * kMiB), bytes).error_code(), ENOSPC);
  EXPECT_FALSE(device->writable());
  EXPECT_NE(device->read_only_reason(), "");
  EXPECT_EQ(device->persist().NewStream().ZeroUnfenced(MediaOffset(0), 8).error_code(), EROFS);
}

TEST(Device, LabelTooLong) {
  const auto mapping = tests::MemoryMapping(16 * kMiB);
  DeviceFormatOptions options;
  options.label = std::string(32, 'x');
  EXPECT_EQ(Device::Format(*mapping, options).error_code(), EINVAL);
}

TEST(Device, FormatFillsInWhatIsNotGiven) {
  const auto mapping = tests::MemoryMapping(16 * kMiB);
  ASSERT_TRUE(Device::Format(*mapping, {}).has_value());
  const auto first = ReadSuperblocks(*mapping);
  ASSERT_TRUE(Device::Format(*mapping, {}).has_value());
  const auto second = ReadSuperblocks(*mapping);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_NE(first->best.uuid, second->best.uuid);
  EXPECT_NE(first->best.hash_seed, second->best.hash_seed);
  EXPECT_NE(first->best.created_seconds, 0);
  EXPECT_EQ(first->best.uuid[6] >> 4, 4) << "version 4";
}

// Formatting costs O(group table): a sparse terabyte takes a few megabytes of the host.
TEST(Device, SparseTerabyteOnAFile) {
  const std::string path = tests::BuildDir() / fmt::format("ingot-device-{}", getpid());
  std::ofstream(path).close();
  std::filesystem::resize_file(path, uint64_t{1} << 40);
  MappingOptions options = tests::TestMappingOptions();
  options.reserve_bytes = 0;
#if defined(__SANITIZE_THREAD__)
  std::filesystem::remove(path);
  GTEST_SKIP() << "the thread sanitizer has no room for a terabyte";
#endif
  auto mapping = Mapping::Open(path, options);
  ASSERT_TRUE(mapping.has_value()) << Describe(mapping.error());
  std::filesystem::remove(path);
  const Result<void> formatted = Device::Format(**mapping, tests::TestFormatOptions());
  ASSERT_TRUE(formatted.has_value()) << Describe(formatted.error());
  struct stat status;
  ASSERT_EQ(fstat((*mapping)->fd(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, static_cast<int64_t>(12 * kMiB));
  auto device = Device::Open(std::move(*mapping), {});
  ASSERT_TRUE(device.has_value()) << Describe(device.error());
  EXPECT_EQ((*device)->geometry().group_count(), 8066u);
}

// What a crash at each fence of a reformat leaves: until the last steps no pool at all, above all
// not the old one over new tables.
class PoolAtEachFence : public PersistObserver {
 public:
  void OnStore(MediaOffset, std::span<const std::byte>, StoreKind) override {}
  void OnFlush(MediaOffset, uint64_t, PersistSite) override {}
  void OnFence(PersistSite) override {
    const auto scan = ReadSuperblocks(*mapping);
    seen.push_back(scan.has_value() ? scan->best.created_seconds : -1);
  }
  const Mapping* mapping = nullptr;
  std::vector<int64_t> seen;
};

TEST(Device, CrashDuringReformatLeavesNoOldPool) {
  PoolAtEachFence observer;
  MappingOptions mapping_options = tests::TestMappingOptions();
  mapping_options.observer = &observer;
  const auto mapping = tests::MemoryMapping(300 * kMiB, mapping_options);
  observer.mapping = mapping.get();
  DeviceFormatOptions options;
  options.created_seconds = 1;
  ASSERT_TRUE(Device::Format(*mapping, options).has_value());
  observer.seen.clear();
  options.created_seconds = 2;
  ASSERT_TRUE(Device::Format(*mapping, options).has_value());
  ASSERT_GE(observer.seen.size(), 6u);
  const auto first_new = std::ranges::find(observer.seen, 2);
  EXPECT_EQ(observer.seen.end() - first_new, 3) << "one fence a copy, at the very end";
  for (auto at = observer.seen.begin(); at != first_new; ++at) EXPECT_EQ(*at, -1);
}

}  // namespace
}  // namespace ingot
