// SPDX-License-Identifier: BSD-3-Clause
// Which file a pool's path stands for.
#include "fs/core/pool_path.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace ingot::tests {
namespace {

class PoolPathTest : public ::testing::Test {
 protected:
  PoolPathTest() {
    std::string pattern = "/dev/shm/ingot-pool-path-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    std::filesystem::create_directory(folder_ + "/pool");
  }
  ~PoolPathTest() override { std::filesystem::remove_all(folder_); }
  void Touch(const std::string& name) const { std::ofstream(folder_ + name) << "x"; }

  std::string folder_;
};

TEST_F(PoolPathTest, ADirectoryStandsForTheRegionInIt) {
  Touch("/pool/region");
  for (const std::string& path : {folder_ + "/pool", folder_ + "/pool/"}) {
    const auto pool = ResolvePool(path);
    ASSERT_TRUE(pool) << Describe(pool.error());
    EXPECT_EQ(pool->region, folder_ + "/pool/region");
    EXPECT_EQ(pool->directory, path);
  }
}

TEST_F(PoolPathTest, WhateverElseIsItself) {
  Touch("/file");
  for (const std::string& path :
       {folder_ + "/file", folder_ + "/nothing", std::string("/dev/zero")}) {
    const auto pool = ResolvePool(path);
    ASSERT_TRUE(pool) << path;
    EXPECT_EQ(pool->region, path);
    EXPECT_EQ(pool->directory, "");
  }
}

TEST_F(PoolPathTest, AMountMustNotHideItsPool) {
  Touch("/pool/region");
  std::filesystem::create_directories(folder_ + "/pool/backing");
  std::filesystem::create_directories(folder_ + "/pool/inside");
  std::filesystem::create_directory(folder_ + "/beside");
  std::filesystem::create_directory_symlink(folder_ + "/pool", folder_ + "/link");
  for (const char* name : {"/pool", "/link"}) {
    const auto pool = ResolvePool(folder_ + name);
    ASSERT_TRUE(pool) << Describe(pool.error());
    for (const char* point : {"/pool", "/link", "/link/", "/pool/backing", "/link/backing", "",
                              "/beside/..", "/beside/../pool/."}) {
      const auto checked = CheckMountpointOf(*pool, folder_ + point);
      EXPECT_EQ(checked.error_code(), EINVAL) << name << " on " << point;
    }
    EXPECT_EQ(CheckMountpointOf(*pool, "/dev/shm").error_code(), EINVAL);
    EXPECT_EQ(CheckMountpointOf(*pool, "/").error_code(), EINVAL);
    for (const char* point : {"/beside", "/pool/inside", "/nothing"}) {
      EXPECT_TRUE(CheckMountpointOf(*pool, folder_ + point)) << name << " on " << point;
    }
  }
  Touch("/file");
  EXPECT_TRUE(CheckMountpointOf(PoolPath{folder_ + "/file", ""}, folder_));
}

TEST_F(PoolPathTest, ADirectoryWithoutAPoolIsRefused) {
  const auto none = ResolvePool(folder_ + "/pool");
  EXPECT_EQ(none.error_code(), ENOENT);
  EXPECT_NE(none.error().context.find("ingot mkfs " + folder_ + "/pool"), std::string::npos);
  // A link would take the region to another host than the files beside it.
  Touch("/file");
  std::filesystem::create_symlink(folder_ + "/file", folder_ + "/pool/region");
  EXPECT_EQ(ResolvePool(folder_ + "/pool").error_code(), EINVAL);
}

TEST_F(PoolPathTest, NamesOfOnePoolAreTheSame) {
  Touch("/pool/region");
  Touch("/file");
  std::filesystem::create_symlink(folder_ + "/pool", folder_ + "/link");
  std::filesystem::create_directory(folder_ + "/other");
  Touch("/other/region");
  EXPECT_TRUE(IsSamePool("gone", "gone"));
  EXPECT_TRUE(IsSamePool(folder_ + "/link", folder_ + "/pool"));
  EXPECT_TRUE(IsSamePool(folder_ + "/pool", folder_ + "/pool/region"));
  EXPECT_TRUE(IsSamePool(folder_ + "/pool/region", folder_ + "/link/"));
  EXPECT_FALSE(IsSamePool(folder_ + "/pool", folder_ + "/other"));
  EXPECT_FALSE(IsSamePool(folder_ + "/pool/region", folder_ + "/other"));
  EXPECT_FALSE(IsSamePool(folder_ + "/pool", folder_ + "/file"));
  EXPECT_FALSE(IsSamePool(folder_ + "/pool", folder_));
  EXPECT_FALSE(IsSamePool(folder_ + "/gone", folder_ + "/gone2"));
}

TEST_F(PoolPathTest, EachKindIsNamedItsOwnWay) {
  media::Superblock device{};
  media::Superblock directory{};
  directory.features_incompatible = media::kFeatureDirectoryPool;
  EXPECT_TRUE(CheckPoolKind({"r", ""}, device));
  EXPECT_TRUE(CheckPoolKind({"d/region", "d"}, directory));
  const auto by_region = CheckPoolKind({"d/region", ""}, directory);
  EXPECT_EQ(by_region.error_code(), EINVAL);
  EXPECT_NE(by_region.error().context.find("name the directory"), std::string::npos);
  EXPECT_EQ(CheckPoolKind({"d/region", "d"}, device).error_code(), EINVAL);
}

}  // namespace
}  // namespace ingot::tests
