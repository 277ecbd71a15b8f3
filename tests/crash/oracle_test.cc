// SPDX-License-Identifier: BSD-3-Clause
// The oracle condemns what no crash may leave.
#include "tests/crash/oracle.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <span>

#include "fs/core/xattrs.h"
#include "tests/volume/fixed_chance.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

// A file that runs with its owner's rights and a capability, and the oracle of a write that takes
// both; the volume is then made to be an image of its middle.
class PrivilegeOracle : public ::testing::Test {
 protected:
  PrivilegeOracle() {
    pool_.Run({.kind = Kind::kCreate, .path = "/file", .mode = 0755});
    pool_.Run({.kind = Kind::kWrite, .path = "/file", .size = 5000, .seed = 1});
    inode_ = InodeAt(pool_.volume(), "/file");
    SetMode(06755);
    SetCapability();
    oracle_.before = Snapshot();
    oracle_.torn.inode = inode_;
    oracle_.torn.begin = 100;
    oracle_.torn.end = 200;
    oracle_.torn.takes_set_ids = oracle_.torn.takes_capability = true;
    oracle_.torn.before = Contents();
  }

  void SetMode(uint32_t mode) {
    AttributeChange change;
    change.mode = mode;
    ASSERT_TRUE(pool_.volume().attributes().Set(inode_, change));
  }
  void SetCapability() {
    const std::string value = MakeBytes(2, 20);
    ASSERT_TRUE(pool_.volume().xattrs().Set(inode_, kCapabilityName,
                                            std::as_bytes(std::span(value)), XattrSetMode::kAny,
                                            false));
  }
  void Clear() {
    AttributeChange change;
    change.kill_privileges = true;
    ASSERT_TRUE(pool_.volume().attributes().Set(inode_, change));
  }
  void Write(uint64_t offset, uint64_t size_bytes) {
    pool_.Run({.kind = Kind::kWrite, .path = "/file", .offset = offset, .size = size_bytes,
               .seed = 3});
  }
  // The operation is over: the tree is what it leaves, and what its images are judged by.
  void Finish() {
    oracle_.after = Snapshot();
    oracle_.torn.after = Contents();
  }
  std::shared_ptr<const TreeSnapshot> Snapshot() {
    Result<TreeSnapshot> tree = SnapshotOf(pool_.volume());
    EXPECT_TRUE(tree);
    return std::make_shared<const TreeSnapshot>(std::move(*tree));
  }
  std::string Contents() { return ContentsOf(pool_.volume(), inode_).value_or("?"); }
  std::string Judge() { return oracle_.Judge(pool_.volume()); }

  const FixedChance fixed_;
  ModelledPool pool_{uint64_t{32} << 20};
  InodeNumber inode_{0};
  Oracle oracle_;
};

TEST_F(PrivilegeOracle, AcceptsThatThePrivilegesGoFirst) {
  Clear();
  const int image = CopyOfPool(pool_.fd());
  Write(100, 100);
  Finish();
  EXPECT_EQ(Judge(), "") << "all done";
  pool_.Use(image);
  EXPECT_EQ(Judge(), "") << "the bytes are still the old ones";
}

TEST_F(PrivilegeOracle, CondemnsNewBytesWithSetIds) {
  Write(100, 100);  // drops the capability by itself
  Finish();
  EXPECT_EQ(Judge(), "new contents with mode 106755");
  oracle_.torn.takes_set_ids = false;
  EXPECT_EQ(Judge(), "") << "root's write";
}

TEST_F(PrivilegeOracle, CondemnsNewBytesWithACapability) {
  SetMode(0755);
  Write(100, 100);
  SetCapability();
  Finish();
  EXPECT_EQ(Judge(), "new contents with a capability");
  oracle_.torn.takes_capability = false;
  EXPECT_EQ(Judge(), "");
}

TEST_F(PrivilegeOracle, CondemnsANewSizeWithSetIds) {
  pool_.Run({.kind = Kind::kTruncate, .path = "/file", .size = 6000});
  Finish();
  EXPECT_EQ(Judge(), "new contents with mode 106755");
}

TEST_F(PrivilegeOracle, SetGidAloneCountsWithGroupExecution) {
  SetMode(02745);
  Write(100, 100);
  Finish();
  EXPECT_EQ(Judge(), "") << "mandatory locking, not a privilege";
  SetMode(02755);
  Finish();
  EXPECT_EQ(Judge(), "new contents with mode 102755");
}

}  // namespace
}  // namespace ingot::tests
