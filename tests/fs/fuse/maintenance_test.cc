// SPDX-License-Identifier: BSD-3-Clause
// What the thread beside the requests does for a directory pool, and when it holds still.
#include "fs/fuse/maintenance.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "fs/admin/make_pool.h"
#include "fs/fuse/pool.h"

namespace ingot::tests {
namespace {

constexpr size_t kFileBytes = 1'000'000;  // in extents

class MaintenanceTest : public ::testing::Test {
 protected:
  MaintenanceTest() {
    std::string pattern = "/dev/shm/ingot-maintenance-XXXXXX";
    pool_ = mkdtemp(pattern.data());
    admin::MakePoolOptions make;
    make.path = pool_;
    make.size_bytes = uint64_t{64} << 20;
    const auto made = admin::MakePool(make);
    EXPECT_TRUE(made) << Describe(made.error());
    MountOptions options;
    options.pool_path = pool_;
    auto volume = OpenPool(options);
    EXPECT_TRUE(volume) << Describe(volume.error());
    volume_ = std::move(*volume);
  }
  ~MaintenanceTest() override {
    maintenance_.reset();
    volume_.reset();
    std::filesystem::remove_all(pool_);
  }

  void Start() {
    auto maintenance = Maintenance::Start(*volume_, activity_, [this] {
      ++asked_;
      return may_write_.load();
    });
    ASSERT_TRUE(maintenance) << Describe(maintenance.error());
    maintenance_ = std::move(*maintenance);
  }
  void Make(const std::string& name, bool backed) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    node.likely_mapped = backed;
    const auto made = volume_->names().Create(Volume::kRoot, name, node, Caller{});
    ASSERT_TRUE(made) << Describe(made.error());
    ASSERT_EQ(made->is_backed, backed);
    const std::string text(kFileBytes, 'x');
    ASSERT_TRUE(volume_->data().Write(made->inode, 0, std::as_bytes(std::span(text)), {}));
    volume_->names().Forget(made->inode, 1);
  }
  void Delete(const std::string& name) {
    ASSERT_TRUE(volume_->names().Unlink(Volume::kRoot, name));
  }
  size_t LargeHostFiles() {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(pool_ + "/backing")) {
      std::error_code gone;
      const auto size = entry.file_size(gone);
      count += !gone && size >= kFileBytes ? 1 : 0;
    }
    return count;
  }
  uint64_t RegionBytes() {
    struct stat status {};
    EXPECT_EQ(stat((pool_ + "/region").c_str(), &status), 0);
    return static_cast<uint64_t>(status.st_blocks) * 512;
  }
  template <typename Condition>
  static void WaitUntil(Condition&& condition) {
    while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  std::string pool_;
  std::unique_ptr<Volume> volume_;
  Activity activity_{4};
  std::atomic<bool> may_write_{true};
  std::atomic<int> asked_{0};
  std::unique_ptr<Maintenance> maintenance_;
};

TEST_F(MaintenanceTest, HostFilesThatNobodyHasAreDeleted) {
  Make("early", true);
  Delete("early");
  EXPECT_EQ(LargeHostFiles(), 1u);
  Start();
  WaitUntil([&] { return LargeHostFiles() == 0; });
  Make("kept", true);
  Make("late", true);
  Delete("late");
  WaitUntil([&] { return LargeHostFiles() == 1; });
  maintenance_.reset();
  Make("last", true);
  Delete("last");  // wakes nobody any more
  EXPECT_EQ(LargeHostFiles(), 2u);
}

TEST_F(MaintenanceTest, FreeHugePagesGoBackAndAReserveIsKept) {
  for (int i = 0; i < 20; ++i) Make("file" + std::to_string(i), false);
  const uint64_t full = RegionBytes();
  for (int i = 0; i < 20; ++i) Delete("file" + std::to_string(i));
  EXPECT_EQ(RegionBytes(), full);
  Start();
  WaitUntil([&] { return RegionBytes() + 14 * kFileBytes < full; });
  WaitUntil([&] { return volume_->core().allocator->Count().host_reserve_pages != 0; });
}

// A remount, read-only and back.
TEST_F(MaintenanceTest, OrphansWaitUntilTheMountMayWrite) {
  const auto orphans = [this] { return volume_->core().allocator->Count().orphans; };
  for (int i = 0; i < 9; ++i) {
    const std::string name = "open" + std::to_string(i);
    Make(name, false);
    ASSERT_TRUE(volume_->names().Lookup(Volume::kRoot, name));  // keeps it
    Delete(name);
  }
  volume_.reset();
  MountOptions options;
  options.pool_path = pool_;
  auto volume = OpenPool(options);
  ASSERT_TRUE(volume) << Describe(volume.error());
  volume_ = std::move(*volume);
  ASSERT_EQ(orphans(), 9u);
  may_write_ = false;
  Start();
  WaitUntil([&] { return asked_ >= 4; });
  EXPECT_EQ(orphans(), 9u);
  may_write_ = true;
  WaitUntil([&] { return orphans() == 0; });
}

TEST_F(MaintenanceTest, AMountThatMayNotWriteChangesNothing) {
  may_write_ = false;
  Make("backed", true);
  for (int i = 0; i < 20; ++i) Make("file" + std::to_string(i), false);
  for (int i = 0; i < 20; ++i) Delete("file" + std::to_string(i));
  Delete("backed");
  const uint64_t full = RegionBytes();
  Start();
  WaitUntil([&] { return asked_ >= 4; });
  EXPECT_EQ(LargeHostFiles(), 1u);
  EXPECT_EQ(RegionBytes(), full);
  may_write_ = true;
  WaitUntil([&] { return LargeHostFiles() == 0 && RegionBytes() < full; });
}

}  // namespace
}  // namespace ingot::tests
