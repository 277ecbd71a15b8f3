// SPDX-License-Identifier: BSD-3-Clause
// A pool of 1 GiB, 95 % full with files of 1.1 MiB, and a thousand appenders that share the rest:
// statfs is exact all the way, huge-page masks equal the bitmaps, and ENOSPC comes when there is no
// page left but the reserve.
#include <random>

#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{1} << 30;
constexpr uint64_t kFileBytes = 1153434;  // 1.1 MiB
constexpr size_t kAppenders = 1000;

class FullPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto volume = OpenPool(NewPool(kPoolBytes));
    ASSERT_OK(volume);
    volume_ = std::move(*volume);
  }

  InodeNumber Make(InodeNumber parent, const std::string& name, uint32_t mode = S_IFREG | 0600) {
    NewNode node;
    node.mode = mode;
    const auto made = volume_->names().Create(parent, name, node, Caller{});
    EXPECT_TRUE(made) << name << ": " << Describe(made.error());
    if (made) volume_->names().Forget(made->inode, 1);
    return made ? made->inode : InodeNumber(0);
  }
  Result<uint64_t> Append(InodeNumber inode, uint64_t size) {
    const auto bytes = std::span<const std::byte>(payload_).first(size);
    return volume_->data().Write(inode, 0, bytes, {.append = true});
  }
  [[nodiscard]] uint64_t FreePages() const {
    return volume_->Statistics().free_bytes / kPageSize;
  }

  // What is free by the bitmaps, whose huge-page masks and counts are checked on the way.
  uint64_t FreeOnMedia() {
    const Device& device = volume_->device();
    uint64_t free = 0;
    for (uint64_t i = 0; i < device.geometry().group_count(); ++i) {
      const GroupIndex group(i);
      const uint32_t pages = device.geometry().PagesIn(group);
      const auto entry = device.group_table().Read(group);
      EXPECT_TRUE(entry.has_value());
      if ((entry->flags & media::kGroupUninitialised) != 0) {
        free += pages - media::kReservedPagesPerGroup;
        continue;
      }
      PageBitmap bitmap;
      EXPECT_TRUE(device.Read(OffsetOf(FirstPageOf(group) + media::kAllocatedBitmapPage),
                              std::as_writable_bytes(std::span(bitmap))));
      EXPECT_EQ(CountClear(bitmap), entry->free_pages);
      for (uint32_t huge = 0; huge < kHugePagesPerGroup; ++huge) {
        EXPECT_EQ((entry->free_huge_mask >> huge & 1) != 0, AllClear(bitmap, {huge * 512, 512}))
            << "group " << i << " huge page " << huge;
      }
      free += entry->free_pages;
    }
    return free;
  }

  std::vector<std::byte> payload_ = std::vector<std::byte>(kFileBytes, std::byte{0x5A});
  std::unique_ptr<Volume> volume_;
};

TEST_F(FullPoolTest, AThousandAppendersUseThePoolUp) {
  const uint64_t total = volume_->Statistics().total_bytes / kPageSize;
  const uint64_t free_at_start = FreePages();
  const InodeNumber large = Make(Volume::kRoot, "large", S_IFDIR | 0700);
  const InodeNumber small = Make(Volume::kRoot, "small", S_IFDIR | 0700);
  std::vector<InodeNumber> fillers;
  while (FreePages() > total / 20) {
    fillers.push_back(Make(large, std::to_string(fillers.size())));
    const auto written = Append(fillers.back(), kFileBytes);
    ASSERT_OK(written);
    ASSERT_EQ(*written, kFileBytes);
    volume_->data().Closed(fillers.back());
  }
  EXPECT_GT(fillers.size(), 800u);
  EXPECT_EQ(FreePages(), FreeOnMedia());

  // Appenders keep claims while they grow; each page written is one page less in statfs, but for
  // what the trees take.
  std::vector<InodeNumber> appenders;
  for (size_t i = 0; i < kAppenders; ++i) appenders.push_back(Make(small, std::to_string(i)));
  EXPECT_EQ(FreePages(), FreeOnMedia());
  std::mt19937_64 random(3);
  std::vector<uint64_t> sizes(kAppenders);
  size_t rounds = 0;
  bool is_full = false;
  for (; !is_full; ++rounds) {
    for (size_t i = 0; i < kAppenders; ++i) {
      const uint64_t size = 1 + random() % 6000;
      const uint64_t free_before = FreePages();
      const uint64_t used_before = volume_->attributes().Get(appenders[i])->page_count;
      const Result<uint64_t> written = Append(appenders[i], size);
      const uint64_t used = volume_->attributes().Get(appenders[i])->page_count - used_before;
      ASSERT_EQ(free_before - FreePages(), used) << "statfs is exact";
      if (!written) {
        ASSERT_EQ(written.error().code, ENOSPC) << Describe(written.error());
        is_full = true;
        break;
      }
      sizes[i] += *written;
      if (*written < size) {
        is_full = true;
        break;
      }
    }
    ASSERT_EQ(FreePages(), FreeOnMedia()) << "claims are free space";
  }
  EXPECT_GT(rounds, 3u);
  // The last append wanted two pages of data at most, and a node or two for its tree.
  EXPECT_LE(volume_->Statistics().available_bytes, 4 * kPageSize);
  EXPECT_EQ(FreePages(), FreeOnMedia());
  for (size_t i = 0; i < kAppenders; ++i) {
    ASSERT_EQ(volume_->attributes().Get(appenders[i])->size_bytes, sizes[i]);
  }
  EXPECT_FSCK_CLEAN(volume_->device());

  // A full pool lets go; then everything is as it was.
  for (size_t i = 0; i < kAppenders; ++i) {
    ASSERT_OK(volume_->names().Unlink(small, std::to_string(i)));
  }
  EXPECT_EQ(FreePages(), FreeOnMedia());
  for (size_t i = 0; i < fillers.size(); ++i) {
    ASSERT_OK(volume_->names().Unlink(large, std::to_string(i)));
  }
  ASSERT_OK(volume_->names().Rmdir(Volume::kRoot, "large"));
  ASSERT_OK(volume_->names().Rmdir(Volume::kRoot, "small"));
  EXPECT_EQ(FreePages(), free_at_start);
  EXPECT_EQ(FreePages(), FreeOnMedia());
  EXPECT_FSCK_CLEAN(volume_->device());
}

}  // namespace
}  // namespace ingot::tests
