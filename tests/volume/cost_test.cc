// SPDX-License-Identifier: BSD-3-Clause
// I10: flushes, fences and msyncs of each operation, to the line. With the clock and generations
// set, an operation touches the same words in each run; a change of these figures is a change of
// what operations cost, and wants a reason. And each of those msyncs fails once.
#include <unistd.h>

#include <array>

#include "tests/volume/fixed_chance.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 16 << 20;

struct Cost {
  uint64_t flushes;
  uint64_t fences;
  uint64_t msyncs;
  friend bool operator==(const Cost&, const Cost&) = default;
};
void PrintTo(const Cost& cost, std::ostream* out) {
  *out << cost.flushes << " flushes, " << cost.fences << " fences, " << cost.msyncs << " msyncs";
}

struct Case {
  const char* name;
  Operation operation;
  Cost cache_lines;
  Cost pages;
};

// What every operation finds: directories with an entry, files of each kind.
void Prepare(ModelledPool& pool) {
  pool.Run({.kind = Kind::kMkdir, .path = "/d", .mode = 0700});
  pool.Run({.kind = Kind::kMkdir, .path = "/e", .mode = 0700});
  for (const char* path : {"/d/a", "/d/b", "/e/c", "/d/file"}) {
    pool.Run({.kind = Kind::kCreate, .path = path, .mode = 0600});
  }
  pool.Run({.kind = Kind::kWrite, .path = "/d/file", .size = 40'960, .seed = 1});
  pool.Run({.kind = Kind::kSetXattr, .path = "/d/a", .name = "user.x", .size = 10, .seed = 2});
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"create",
       {.kind = Kind::kCreate, .path = "/d/n", .mode = 0600},
       {13, 4, 0},
       {0, 4, 7}},
      {"unlink",
       {.kind = Kind::kUnlink, .path = "/d/b"},
       {9, 3, 0},
       {0, 3, 5}},
      {"rename",
       {.kind = Kind::kRename, .path = "/d/a", .path2 = "/d/z"},
       {9, 3, 0},
       {0, 3, 4}},
      {"rename elsewhere",
       {.kind = Kind::kRename, .path = "/d/a", .path2 = "/e/a"},
       {15, 3, 0},
       {0, 3, 4}},
      {"append 4 KiB",
       {.kind = Kind::kAppend, .path = "/d/file", .size = 4096, .seed = 3},
       {7, 4, 0},
       {0, 4, 5}},
      {"overwrite 4 KiB",
       {.kind = Kind::kWrite, .path = "/d/file", .offset = 8192, .size = 4096, .seed = 4},
       {4, 4, 0},
       {0, 4, 4}},
      {"truncate",
       {.kind = Kind::kTruncate, .path = "/d/file", .size = 5000},
       {7, 3, 0},
       {0, 3, 4}},
      {"mkdir",
       {.kind = Kind::kMkdir, .path = "/d/sub", .mode = 0700},
       {13, 4, 0},
       {0, 4, 7}},
      {"setxattr",
       {.kind = Kind::kSetXattr, .path = "/d/a", .name = "user.x", .size = 10, .seed = 5},
       {5, 3, 0},
       {0, 3, 3}},
      {"link",
       {.kind = Kind::kLink, .path = "/e/c", .path2 = "/d/l"},
       {10, 3, 0},
       {0, 3, 4}},
  };
  return cases;
}

PoolOptions OfGranularity(bool pages) {
  PoolOptions options;
  options.mapping.force_page_granularity = pages;
  return options;
}

Cost Since(const PersistCounts& before, const PersistCounts& after) {
  return {after.flushes - before.flushes, after.fences - before.fences,
          after.msyncs - before.msyncs};
}

class CostTest : public ::testing::TestWithParam<size_t> {
 protected:
  const Case& case_ = Cases()[GetParam()];
  FixedChance chance_;
};

TEST_P(CostTest, IsExact) {
  for (const bool pages : {false, true}) {
    SCOPED_TRACE(pages ? "page granularity" : "cache lines");
    ModelledPool pool(kPoolBytes, OfGranularity(pages));
    Prepare(pool);
    const PersistCounts before = pool.device().persist().counts();
    pool.Run(case_.operation);
    const Cost cost = Since(before, pool.device().persist().counts());
    EXPECT_EQ(cost, pages ? case_.pages : case_.cache_lines);
    pool.ExpectWhole();
  }
}

// Keeps what was durable for certain when the last fence began: the bytes at the fence before.
class DurableCopy : public PersistObserver {
 public:
  explicit DurableCopy(Device& device)
      : device_(device), image_(CopyOfPool(device.mapping().fd())), next_(image_) {
    device.persist().set_observer(this);
  }
  ~DurableCopy() override {
    device_.persist().set_observer(nullptr);
    if (next_ != image_) close(next_);
    close(image_);
  }
  void OnStore(MediaOffset, std::span<const std::byte>, StoreKind) override {}
  void OnFlush(MediaOffset, uint64_t, PersistSite) override {}
  void OnFence(PersistSite) override {
    if (next_ != image_) close(image_);
    image_ = next_;
    next_ = CopyOfPool(device_.mapping().fd());
  }
  [[nodiscard]] int image() const { return image_; }

 private:
  Device& device_;
  int image_;
  int next_;
};

// Nothing acknowledged is lost, the failed operation is there whole or not at all, and no msync is
// tried after the one that failed. What it was to make durable is there, or it isn't.
TEST_P(CostTest, EachMsyncFailsOnce) {
  const uint64_t msyncs = case_.pages.msyncs;
  std::array<size_t, 2> outcomes{};  // not done, done
  for (uint64_t n = 1; n <= 2 * msyncs; ++n) {
    const bool is_lost = n > msyncs;
    const uint64_t failing = is_lost ? n - msyncs : n;
    SCOPED_TRACE(fmt::format("msync {}, {}", failing, is_lost ? "lost" : "kept"));
    ModelledPool pool(kPoolBytes, OfGranularity(true));
    Prepare(pool);
    const std::string old_tree = TreeOf(pool.volume());
    const uint64_t before = pool.device().persist().counts().msyncs;
    int image = -1;
    {
      DurableCopy durable(pool.device());
      pool.device().persist().FailMsyncAfter(failing);
      EXPECT_EQ(pool.RunOnVolume(case_.operation), "E:EIO");
      image = DuplicateOf(is_lost ? durable.image() : pool.fd());
    }
    EXPECT_EQ(pool.device().persist().counts().msyncs, before + failing);
    EXPECT_FALSE(pool.device().writable());
    EXPECT_EQ(pool.RunOnVolume({.kind = Kind::kMkdir, .path = "/later", .mode = 0700}), "E:EROFS");
    EXPECT_EQ(pool.device().persist().counts().msyncs, before + failing);

    pool.Use(image);
    EXPECT_TRUE(pool.device().writable());
    const bool is_done = !TreeDifference(old_tree, TreeOf(pool.volume())).empty();
    ++outcomes[is_done ? 1 : 0];
    if (is_done) {
      EXPECT_TRUE(pool.model().Run(case_.operation).starts_with("ok"));
    } else {
      pool.Run(case_.operation);
    }
    pool.ExpectWhole();
    pool.Run({.kind = Kind::kMkdir, .path = "/later", .mode = 0700});
  }
  EXPECT_GT(outcomes[0], 0u) << "before the record was durable";
  EXPECT_GT(outcomes[1], msyncs / 2) << "recovery completed it";
}

INSTANTIATE_TEST_SUITE_P(Operations, CostTest, ::testing::Range<size_t>(0, Cases().size()),
                         [](const auto& parameter) {
                           std::string name = Cases()[parameter.param].name;
                           std::erase_if(name, [](char c) { return !std::isalnum(c); });
                           return name;
                         });

}  // namespace
}  // namespace ingot::tests
