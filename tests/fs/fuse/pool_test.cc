// SPDX-License-Identifier: BSD-3-Clause
// Opening a pool for a mount, as a kill left it.
#include "fs/fuse/pool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "fs/admin/make_pool.h"
#include "tests/support/fsck_assert.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kSize = uint64_t{16} << 20;

// The pool's bytes before each store, flush and fence: what a kill there leaves, for the page cache
// loses nothing.
class Snapshots : public PersistObserver {
 public:
  explicit Snapshots(Device& device) : device_(device) { device.persist().set_observer(this); }
  ~Snapshots() override { device_.persist().set_observer(nullptr); }
  void OnStore(MediaOffset, std::span<const std::byte>, StoreKind) override { Take(); }
  void OnFlush(MediaOffset, uint64_t, PersistSite) override { Take(); }
  void OnFence(PersistSite) override { Take(); }
  [[nodiscard]] const auto& images() const { return images_; }

 private:
  void Take() {
    const std::byte* base = device_.mapping().base();
    images_.emplace_back(base, base + device_.mapping().size_bytes());
  }
  Device& device_;
  std::vector<std::vector<std::byte>> images_;
};

class PoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/dev/shm/ingot-pool-test-XXXXXX";
    const int fd = mkstemp(name);
    ASSERT_GE(fd, 0);
    close(fd);
    path_ = name;
  }
  void TearDown() override { unlink(path_.c_str()); }

  void Store(const std::vector<std::byte>& image) {
    const int fd = open(path_.c_str(), O_WRONLY);
    ASSERT_EQ(pwrite(fd, image.data(), image.size(), 0), static_cast<ssize_t>(image.size()));
    close(fd);
  }
  std::vector<std::byte> Load() {
    std::vector<std::byte> image(kSize);
    const int fd = open(path_.c_str(), O_RDONLY);
    EXPECT_EQ(pread(fd, image.data(), image.size(), 0), static_cast<ssize_t>(image.size()));
    close(fd);
    return image;
  }

  std::string path_;
};

TEST_F(PoolTest, ReadOnlyMountShowsAnInterruptedTransactionWholeOrNotAtAll) {
  auto device = FormattedDevice(kSize);
  ASSERT_TRUE(Volume::Format(*device, Caller{}));
  auto volume = Volume::Open(std::move(device), {});
  ASSERT_TRUE(volume) << Describe(volume.error());
  NewNode node;
  node.mode = S_IFREG | 0644;
  ASSERT_TRUE((*volume)->names().Create(Volume::kRoot, "before", node, Caller{}));
  const Snapshots snapshots((*volume)->device());
  ASSERT_TRUE((*volume)->names().Create(Volume::kRoot, "new", node, Caller{}));
  ASSERT_GT(snapshots.images().size(), 10u);

  MountOptions options;
  options.pool_path = path_;
  options.volume.read_only = true;
  bool seen = false;
  for (const auto& image : snapshots.images()) {
    Store(image);
    {
      const auto pool = OpenPool(options);
      ASSERT_TRUE(pool) << Describe(pool.error());
      EXPECT_TRUE((*pool)->names().Lookup(Volume::kRoot, "before"));
      const auto found = (*pool)->names().Lookup(Volume::kRoot, "new");
      EXPECT_TRUE(found || found.error_code() == ENOENT) << Describe(found.error());
      EXPECT_FALSE(seen && !found) << "it was there already";
      seen = found.has_value();
      EXPECT_EQ((*pool)->names().Unlink(Volume::kRoot, "before").error_code(), EROFS);
    }
    EXPECT_TRUE(Load() == image) << "a read-only mount changed the pool";
  }
  EXPECT_TRUE(seen);
}

class DirectoryPoolTest : public ::testing::Test {
 protected:
  DirectoryPoolTest() {
    std::string pattern = "/dev/shm/ingot-pool-test-XXXXXX";
    options_.pool_path = mkdtemp(pattern.data());
    admin::MakePoolOptions make;
    make.path = options_.pool_path;
    make.size_bytes = kSize;
    const auto made = admin::MakePool(make);
    EXPECT_TRUE(made) << Describe(made.error());
  }
  ~DirectoryPoolTest() override { std::filesystem::remove_all(options_.pool_path); }

  MountOptions options_;
};

TEST_F(DirectoryPoolTest, OpensByItsDirectoryAlone) {
  {
    const auto pool = OpenPool(options_);
    ASSERT_TRUE(pool) << Describe(pool.error());
    NewNode node;
    node.mode = S_IFREG | 0644;
    node.likely_mapped = true;
    const auto file = (*pool)->names().Create(Volume::kRoot, "file", node, Caller{});
    ASSERT_TRUE(file && file->is_backed);
    const std::string text = "contents";
    ASSERT_TRUE((*pool)->data().Write(file->inode, 0, std::as_bytes(std::span(text)), {}));
    MappingOptions mapping;
    const auto locked = OpenMappingWhenFree(options_.pool_path, mapping, {});
    EXPECT_EQ(locked.error_code(), EBUSY) << "the region has the lock";
  }
  options_.volume.read_only = true;
  {
    const auto pool = OpenPool(options_);
    ASSERT_TRUE(pool) << Describe(pool.error());
    const auto file = (*pool)->names().Lookup(Volume::kRoot, "file");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->size_bytes, 8u) << "of the host's file";
    EXPECT_EQ((*pool)->names().Unlink(Volume::kRoot, "file").error_code(), EROFS);
  }
  options_.pool_path += "/region";
  const auto by_region = OpenPool(options_);
  options_.pool_path.resize(options_.pool_path.size() - std::string("/region").size());
  ASSERT_EQ(by_region.error_code(), EINVAL);
  EXPECT_NE(by_region.error().context.find("name the directory"), std::string::npos);
}

TEST_F(DirectoryPoolTest, FilesOfAnotherPoolAreRefused) {
  std::ofstream(options_.pool_path + "/backing/uuid") << "00000000-0000-4000-8000-000000000001\n";
  EXPECT_EQ(OpenPool(options_).error_code(), EUCLEAN);
}

TEST_F(DirectoryPoolTest, OnlyDirectoriesCanAlwaysBeDirect) {
  options_.mountpoint = options_.pool_path + "/mnt";
  std::filesystem::create_directory(options_.mountpoint);
  options_.volume.direct = DirectMode::kAlways;
  EXPECT_TRUE(ValidateMountOptions(options_));
  options_.pool_path += "/region";
  EXPECT_EQ(ValidateMountOptions(options_).error_code(), EOPNOTSUPP);
  options_.pool_path.resize(options_.pool_path.size() - std::string("/region").size());
}

}  // namespace
}  // namespace ingot::tests
