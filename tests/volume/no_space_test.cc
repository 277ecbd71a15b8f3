// SPDX-License-Identifier: BSD-3-Clause
// Space runs out at the n-th claim of an operation, for every n until it passes. It fails with
// ENOSPC, or finds another way, or writes less; it leaks nothing, loses nothing, and done again it
// passes.
#include "fs/core/test_hooks.h"
#include "tests/volume/pools.h"

#include <linux/falloc.h>

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 32 << 20;
constexpr uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

// Inode pages and leaves are full, so that the next entry needs new ones; a file's tree has nodes,
// and another fills the tail's records to the last.
std::vector<Operation> History() {
  std::vector<Operation> made;
  made.push_back({.kind = Kind::kMkdir, .path = "/d", .mode = 0700});
  made.push_back({.kind = Kind::kMkdir, .path = "/empty", .mode = 0700});
  for (const char* path : {"/d/many", "/d/whole", "/d/inline", "/d/full"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0600});
  }
  for (uint64_t i = 0; i < 100; ++i) {
    made.push_back({.kind = Kind::kWrite, .path = "/d/many", .offset = i * 12'288, .size = 4096,
              .seed = i});
  }
  for (uint64_t i = 0; i < 21; ++i) {
    made.push_back({.kind = Kind::kWrite, .path = "/d/full", .offset = i * 12'288, .size = 4096,
              .seed = i});
  }
  made.push_back({.kind = Kind::kWrite, .path = "/d/whole", .size = 900'000, .seed = 1});
  made.push_back({.kind = Kind::kWrite, .path = "/d/inline", .size = 300, .seed = 2});
  // Names so long that a leaf holds few: the next one splits it.
  for (int i = 0; i < 14; ++i) {
    made.push_back({.kind = Kind::kCreate, .path = fmt::format("/d/{:0>250}", i), .mode = 0600});
  }
  return made;
}

struct Prepared {
  Prepared() : history(History()) {
    ModelledPool pool(kPoolBytes);
    for (const Operation& operation : history) pool.Run(operation);
    image = CopyOfPool(pool.fd());
  }
  std::vector<Operation> history;
  int image;
};

const std::vector<Operation>& Operations() {
  static const std::vector<Operation> operations = {
      {.kind = Kind::kCreate, .path = "/empty/first", .mode = 0600},
      {.kind = Kind::kCreate, .path = "/d/" + std::string(250, 'n'), .mode = 0600},
      {.kind = Kind::kMkdir, .path = "/d/" + std::string(251, 'n'), .mode = 0700},
      {.kind = Kind::kSymlink, .path = "/d/s", .name = std::string(3000, 't')},
      {.kind = Kind::kLink, .path = "/d/inline", .path2 = "/d/" + std::string(252, 'n')},
      {.kind = Kind::kWrite, .path = "/d/inline", .size = 9000, .seed = 3},
      {.kind = Kind::kWrite, .path = "/d/full", .offset = 1 << 20, .size = 4096, .seed = 4},
      {.kind = Kind::kWrite, .path = "/d/many", .offset = 4096, .size = 400'000, .seed = 5},
      {.kind = Kind::kAppend, .path = "/d/whole", .size = 500'000, .seed = 6},  // crosses 1 MiB
      {.kind = Kind::kRename, .path = "/d/inline", .path2 = "/empty/" + std::string(253, 'm')},
      {.kind = Kind::kRename, .path = "/d/inline", .path2 = "/d/" + std::string(253, 'm')},
      {.kind = Kind::kSetXattr, .path = "/d/inline", .name = "user.x", .size = 2000, .seed = 7},
      {.kind = Kind::kSetXattr, .path = "/d/full", .name = "user.x", .size = 100, .seed = 7},
      {.kind = Kind::kSetXattr, .path = "/d/whole", .name = "user.x", .size = 60'000, .seed = 8},
      {.kind = Kind::kTruncate, .path = "/d/inline", .size = 10'000},
      {.kind = Kind::kTruncate, .path = "/d/many", .size = 12'289},
      {.kind = Kind::kFallocate, .path = "/d/whole", .offset = 200'000, .size = 4096,
       .flags = kPunch},
      {.kind = Kind::kFallocate, .path = "/d/full", .offset = 12'288, .size = 100,
       .flags = kPunch},
      {.kind = Kind::kFallocate, .path = "/d/many", .offset = 0, .size = 3 << 20},
  };
  return operations;
}

class NoSpaceTest : public ::testing::TestWithParam<size_t> {
 protected:
  ~NoSpaceTest() override { test_hooks::takes_until_failure = 0; }
};

TEST_P(NoSpaceTest, AtEachClaim) {
  static const Prepared prepared;
  const Operation& operation = Operations()[GetParam()];
  SCOPED_TRACE(Describe(operation));
  uint64_t n = 1;
  for (;; ++n) {
    SCOPED_TRACE(n);
    ModelledPool pool(prepared.image, prepared.history);
    const std::string old_tree = TreeOf(pool.volume());
    const uint64_t free_before = pool.volume().Statistics().free_bytes;
    test_hooks::takes_until_failure = n;
    const std::string answer = pool.RunOnVolume(operation);
    const bool has_failed = test_hooks::takes_until_failure.exchange(0) == 0;
    const std::string new_tree = TreeOf(pool.volume());
    if (answer == "E:ENOSPC") {
      ASSERT_TRUE(has_failed);
      EXPECT_EQ(TreeDifference(old_tree, new_tree), "") << "a failed operation changes nothing";
      EXPECT_EQ(pool.volume().Statistics().free_bytes, free_before) << "and keeps nothing";
    }
    EXPECT_FSCK_CLEAN(pool.device());
    // Again, with space: a write that was short is done whole.
    if (answer == "E:ENOSPC" || operation.kind == Kind::kWrite) {
      pool.Run(operation);
    } else {
      ASSERT_TRUE(answer.starts_with("ok")) << answer;
      Operation same = operation;
      if (operation.kind == Kind::kAppend) same.size = std::stoull(answer.substr(3));
      EXPECT_TRUE(pool.model().Run(same).starts_with("ok"));
    }
    pool.Reopen();
    pool.ExpectWhole();
    if (HasFailure() || !has_failed) break;
  }
  RecordProperty("claims", static_cast<int>(n - 1));
}

INSTANTIATE_TEST_SUITE_P(Operations, NoSpaceTest,
                         ::testing::Range<size_t>(0, Operations().size()));

}  // namespace
}  // namespace ingot::tests
