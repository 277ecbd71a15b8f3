// SPDX-License-Identifier: BSD-3-Clause
// The tree against std::map: random changes over three levels, its shape, its space, and damaged
// nodes.
#include "fs/core/tree.h"

#include <map>
#include <random>
#include <set>

#include "fs/core/sorted_search.h"
#include "tests/fs/core/inode_fixture.h"
#include "tests/support/field_mutations.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;
using Model = std::map<uint64_t, uint64_t>;

class TreeTest : public InodeFixture {
 protected:
  Tree& tree() { return core().tree; }

  Result<void> Insert(uint64_t key, uint64_t value) {
    return Change([&](Transaction& transaction, media::Inode& inode) {
      return tree().Insert(transaction, inode, {key, value}, false);
    });
  }
  Result<void> InsertMany(uint64_t first, uint64_t count, uint64_t step = 1) {
    for (uint64_t done = 0; done < count;) {
      TRY(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
        for (int i = 0; i < 100 && done < count; ++i, ++done) {
          const uint64_t key = first + done * step;
          TRY(tree().Insert(transaction, inode, {key, key}, false));
        }
        return {};
      }));
    }
    return {};
  }
  Result<void> EraseMany(uint64_t first, uint64_t count) {
    for (uint64_t done = 0; done < count;) {
      TRY(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
        for (int i = 0; i < 20 && done < count; ++i, ++done) {
          TRY(tree().Erase(transaction, inode, first + done));
        }
        return {};
      }));
    }
    return {};
  }

  // `transaction` null: what is on the medium.
  void ExpectFinds(Transaction* transaction, const media::Inode& inode, const Model& model,
                   uint64_t key) {
    const auto before = transaction ? tree().FindAtOrBefore(*transaction, inode, key)
                                    : tree().FindAtOrBefore(inode, key);
    const auto after = transaction ? tree().FindAtOrAfter(*transaction, inode, key)
                                   : tree().FindAtOrAfter(inode, key);
    ASSERT_OK(before);
    ASSERT_OK(after);
    auto behind = model.upper_bound(key);
    ASSERT_EQ(before->has_value(), behind != model.begin()) << key;
    if (*before) {
      --behind;
      ASSERT_EQ((*before)->key, behind->first);
      ASSERT_EQ((*before)->value, behind->second);
    }
    const auto at = model.lower_bound(key);
    ASSERT_EQ(after->has_value(), at != model.end()) << key;
    if (*after) {
      ASSERT_EQ((*after)->key, at->first);
      ASSERT_EQ((*after)->value, at->second);
    }
  }
  void ExpectReads(const media::Inode& inode, const Model& model, uint64_t key, size_t count) {
    std::vector<media::Record> records(count);
    const auto done = tree().Read(inode, key, records);
    ASSERT_OK(done);
    auto at = model.upper_bound(key);
    if (at != model.begin()) --at;
    for (size_t i = 0; i < *done; ++i, ++at) {
      ASSERT_NE(at, model.end());
      ASSERT_EQ(records[i].key, at->first);
      ASSERT_EQ(records[i].value, at->second);
    }
    ASSERT_TRUE(*done == count || at == model.end()) << *done << " of " << count;
  }
  void ExpectEmpty() {
    const media::Inode inode = Inode();
    EXPECT_EQ(inode.body_form, media::BodyForm::kEmpty);
    EXPECT_EQ(inode.body_bytes, 0);
    EXPECT_EQ(inode.tree_height, 0);
    EXPECT_EQ(inode.page_count, 0u);
    EXPECT_EQ(UsedPages(), 0u);
  }
  // The node that the tail's record at `index` leads to.
  LogicalPage Child(uint32_t index) {
    const media::Inode inode = Inode();
    media::Record record;
    std::memcpy(&record, inode.tail.data() + index * sizeof(record), sizeof(record));
    return LogicalPage(record.value);
  }
};

// --- the model
// ------------------------------------------------------------------------------------
struct ModelCase {
  const char* name;
  uint16_t xattr_bytes;  // narrows the tail
  uint64_t key_limit;
  uint64_t target;  // records that growing stops at
  int operations;
};

class TreeModelTest : public TreeTest, public ::testing::WithParamInterface<ModelCase> {
 protected:
  uint64_t AnyKey(const Model& model) {
    const auto at = model.lower_bound(random_() % GetParam().key_limit);
    return at == model.end() ? model.begin()->first : at->first;
  }
  Result<void> Step(Transaction& transaction, media::Inode& inode, Model& model, bool grow) {
    const uint64_t dice = random_() % 100;
    if (model.empty() || dice < (grow ? 70 : 15)) {
      const uint64_t key = random_() % GetParam().key_limit;
      const Result<void> done = tree().Insert(transaction, inode, {key, key * 3}, false);
      EXPECT_EQ(done.error_code(), model.contains(key) ? EEXIST : 0);
      model.emplace(key, key * 3);
      return {};
    }
    const uint64_t key = AnyKey(model);
    if (dice < 90) {
      TRY(tree().Erase(transaction, inode, key));
      EXPECT_EQ(tree().Erase(transaction, inode, key).error_code(), ENOENT);
      model.erase(key);
      return {};
    }
    // A new key anywhere between the neighbours.
    const auto at = model.find(key);
    const uint64_t low = at == model.begin() ? 0 : std::prev(at)->first + 1;
    const uint64_t high =
        std::next(at) == model.end() ? GetParam().key_limit : std::next(at)->first;
    const uint64_t moved = low + random_() % (high - low);
    TRY(tree().Update(transaction, inode, key, {moved, dice}));
    model.erase(at);
    model[moved] = dice;
    return {};
  }

  std::mt19937_64 random_{7};
};

TEST_P(TreeModelTest, MatchesAMap) {
  const ModelCase& sizes = GetParam();
  MakeWithInode(64 * kMiB, S_IFREG | 0644, sizes.xattr_bytes);
  Model model;
  bool grow = true;
  uint32_t height = 0;
  for (int done = 0; done < sizes.operations;) {
    const auto batch = static_cast<int>(random_() % 8 + 1);
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      for (int i = 0; i < batch; ++i) TRY(Step(transaction, inode, model, grow));
      ExpectFinds(&transaction, inode, model, random_() % sizes.key_limit);
      return {};
    }));
    done += batch;
    if (model.size() >= sizes.target) grow = false;
    if (model.size() < sizes.target / 8) grow = true;
    const media::Inode inode = Inode();
    height = std::max<uint32_t>(height, inode.tree_height);
    ASSERT_EQ(UsedPages(), inode.page_count);
    ExpectFinds(nullptr, inode, model, random_() % sizes.key_limit);
    ExpectReads(inode, model, random_() % sizes.key_limit, random_() % 300 + 1);
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_GE(height, sizes.xattr_bytes > 0 ? 2u : 1u);
  ExpectReads(Inode(), model, 0, model.size() + 1);
  while (!model.empty()) {
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      for (int i = 0; i < 8 && !model.empty(); ++i) {
        const uint64_t key = AnyKey(model);
        TRY(tree().Erase(transaction, inode, key));
        model.erase(key);
      }
      return {};
    }));
  }
  ExpectEmpty();
}

INSTANTIATE_TEST_SUITE_P(Sizes, TreeModelTest,
                         ::testing::Values(ModelCase{"Dense", 0, 6000, 4000, 60'000},
                                           ModelCase{"Spread", 0, uint64_t{1} << 62, 5000, 60'000},
                                           ModelCase{"NarrowTail", 320, uint64_t{1} << 40, 6000,
                                                     60'000}),
                         [](const auto& sizes) { return std::string(sizes.param.name); });

// --- shape
// ----------------------------------------------------------------------------------------
TEST_F(TreeTest, AppendingFillsNodesAndReachesThreeLevels) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  constexpr uint64_t kCount = 60 * media::kNodeRecords;
  ASSERT_OK(InsertMany(5, kCount));
  const media::Inode inode = Inode();
  EXPECT_EQ(inode.tree_height, 2);
  // Every node is full but for the last of each level.
  EXPECT_LE(inode.page_count, 60u + 3u);
  Model model;
  for (uint64_t i = 0; i < kCount; ++i) model[5 + i] = 5 + i;
  ExpectReads(inode, model, 0, kCount + 1);
  ASSERT_OK(EraseMany(5, kCount));
  ExpectEmpty();
}

TEST_F(TreeTest, InsertingBackwardsAndErasingForwardsGivesAllBack) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  for (uint64_t key = 9000; key > 0; key -= 10) {
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      for (uint64_t i = 0; i < 10; ++i) {
        TRY(tree().Insert(transaction, inode, {key - i, 1}, false));
      }
      return {};
    }));
  }
  ASSERT_OK(EraseMany(1, 9000));
  ExpectEmpty();
}

TEST_F(TreeTest, SparseNodesAreMerged) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  ASSERT_OK(InsertMany(0, 5000));
  std::set<uint64_t> kept;
  for (uint64_t key = 0; key < 5000; ++key) {
    if (key % 50 == 0) {
      kept.insert(key);
    } else {
      ASSERT_OK(EraseMany(key, 1));
    }
  }
  const media::Inode inode = Inode();
  EXPECT_LE(inode.page_count, 2u) << "100 records";
  for (const uint64_t key : kept) {
    const auto found = tree().FindAtOrBefore(inode, key);
    ASSERT_OK(found);
    EXPECT_EQ((*found)->key, key);
  }
}

TEST_F(TreeTest, TheTailMakesRoomForAttributes) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  ASSERT_OK(InsertMany(0, media::kMaxRootRecords));
  EXPECT_EQ(Inode().tree_height, 0);
  const auto shrink = [&](uint32_t xattr_bytes) {
    return Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      TRY(tree().ShrinkTail(transaction, inode, xattr_bytes));
      inode.xattr_bytes = static_cast<uint16_t>(xattr_bytes);
      return {};
    });
  };
  EXPECT_ERROR(ENOSPC, shrink(media::kMaxInlineXattrBytes + 8));
  ASSERT_OK(shrink(media::kMaxInlineXattrBytes));
  EXPECT_EQ(Inode().tree_height, 1);
  EXPECT_EQ(Inode().body_bytes, media::kRecordSize);
  ASSERT_OK(InsertMany(media::kMaxRootRecords, 1000));
  EXPECT_EQ(Inode().tree_height, 2);
  ASSERT_OK(EraseMany(0, media::kMaxRootRecords + 1000));
  EXPECT_EQ(Inode().xattr_bytes, media::kMaxInlineXattrBytes);
  ExpectEmpty();
}

TEST_F(TreeTest, ADroppedTransactionLeavesNothing) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  ASSERT_OK(InsertMany(0, 1000));
  const media::Inode before = Inode();
  const uint64_t used = UsedPages();
  const Result<void> done =
      Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
        for (uint64_t key = 2000; key < 4000; ++key) {
          TRY(tree().Insert(transaction, inode, {key, key}, false));
        }
        TRY(tree().Erase(transaction, inode, 500));
        return Failure(ECANCELED);
      });
  EXPECT_ERROR(ECANCELED, done);
  const media::Inode after = Inode();
  EXPECT_EQ(std::memcmp(&before, &after, sizeof(before)), 0);
  EXPECT_EQ(UsedPages(), used);
  Model model;
  for (uint64_t key = 0; key < 1000; ++key) model[key] = key;
  ExpectReads(after, model, 0, 1001);
}

TEST_F(TreeTest, AFullPoolRefusesInsertionsButNotTheReserve) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  ASSERT_OK(InsertMany(0, media::kMaxRootRecords));
  std::vector<Claim> claims;
  for (;;) {
    ClaimRequest request;
    request.pages = kPagesPerGroup;
    Result<Claim> claim = allocator().Take(request);
    if (!claim) break;
    claims.push_back(std::move(*claim));
  }
  EXPECT_ERROR(ENOSPC, Insert(1000, 1));
  ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) {
    return tree().Insert(transaction, inode, {1000, 1}, true);
  }));
  EXPECT_EQ(Inode().tree_height, 1);
}

TEST_F(TreeTest, ABodyOfAnotherKindIsRefused) {
  MakeWithInode(64 * kMiB, S_IFREG | 0644);
  ASSERT_OK(Change([](Transaction&, media::Inode& inode) -> Result<void> {
    inode.body_form = media::BodyForm::kInline;
    inode.body_bytes = 16;
    inode.size_bytes = 16;
    return {};
  }));
  EXPECT_ERROR(EUCLEAN, Insert(1, 1));
  const auto found = tree().FindAtOrBefore(Inode(), 5);
  ASSERT_OK(found);
  EXPECT_FALSE(found->has_value());
}

// --- damage
// ---------------------------------------------------------------------------------------
class DamagedTreeTest : public TreeTest {
 protected:
  static constexpr uint64_t kCount = 8000;

  void SetUp() override {
    MakeWithInode(64 * kMiB, S_IFREG | 0644);
    ASSERT_OK(InsertMany(1, kCount));
    ASSERT_EQ(Inode().tree_height, 2);
    inner_ = Child(0);
    good_inner_ = ReadBlock<media::TreeNode>(inner_);
    leaf_ = LogicalPage(good_inner_.records[0].value);
    good_leaf_ = ReadBlock<media::TreeNode>(leaf_);
  }
  // Every kind of access to what the damaged nodes lead to; returns the error codes.
  std::set<int> TryAll() {
    const media::Inode inode = Inode();
    std::set<int> codes;
    std::vector<media::Record> records(kCount);
    for (const uint64_t key :
         {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{300}, kCount, kNoKey}) {
      codes.insert(tree().FindAtOrBefore(inode, key).error_code());
      codes.insert(tree().FindAtOrAfter(inode, key).error_code());
      codes.insert(tree().Read(inode, key, records).error_code());
    }
    Transaction transaction(allocator(), core().reader);
    const auto edited = transaction.EditInode(kNumber);
    codes.insert(edited.error_code());
    if (!edited) return codes;
    for (const uint64_t key : {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{300}}) {
      codes.insert(tree().Insert(transaction, **edited, {key, 9}, false).error_code());
      codes.insert(tree().Update(transaction, **edited, key, {key, 9}).error_code());
      codes.insert(tree().Erase(transaction, **edited, key).error_code());
    }
    return codes;
  }
  void ExpectDamageSeen(const std::string& what) {
    const std::set<int> codes = TryAll();
    EXPECT_TRUE(codes.contains(EUCLEAN)) << what;
    for (const int code : codes) {
      EXPECT_TRUE(code == 0 || code == EUCLEAN || code == ENOENT || code == EEXIST)
          << what << " " << ErrnoName(code);
    }
  }

  LogicalPage inner_, leaf_;
  media::TreeNode good_inner_, good_leaf_;
};

TEST_F(DamagedTreeTest, HeaderFields) {
  for (const bool inner : {true, false}) {
    const LogicalPage page = inner ? inner_ : leaf_;
    const media::TreeNode& good = inner ? good_inner_ : good_leaf_;
    ForEachMutation(good.header, [&](const Field& field, const media::BlockHeader& changed) {
      media::TreeNode node = good;
      node.header = changed;
      WriteBlock(page, node);
      ExpectDamageSeen(std::string(field.name) + " unsealed");
      WriteSealed(page, node);
      // Fewer or more records within the bound: any answer, but no crash.
      const bool plausible =
          field.name == "checksum" ||
          (field.name == "count" && changed.count > 0 && changed.count <= media::kNodeRecords);
      if (plausible) {
        (void)TryAll();
      } else {
        ExpectDamageSeen(std::string(field.name));
      }
    });
    WriteBlock(page, good);
  }
  EXPECT_FALSE(TryAll().contains(EUCLEAN));
}

TEST_F(DamagedTreeTest, ChildPagesAndOrder) {
  const uint64_t pages = device().geometry().page_count();
  for (const uint64_t child :
       {uint64_t{0}, uint64_t{1}, inner_.value, pages, pages * 1000, ~uint64_t{0}}) {
    media::TreeNode node = good_inner_;
    node.records[0].value = child;
    WriteSealed(inner_, node);
    ExpectDamageSeen("child " + std::to_string(child));
  }
  WriteBlock(inner_, good_inner_);
  media::TreeNode node = good_leaf_;
  std::swap(node.records[1], node.records[2]);
  WriteSealed(leaf_, node);
  ExpectDamageSeen("order");
}

TEST_F(DamagedTreeTest, RandomBytesNeverCrash) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    const bool inner = random() % 2 == 0;
    media::TreeNode node = inner ? good_inner_ : good_leaf_;
    const auto bytes = WritableBytesOf(node);
    for (uint64_t n = random() % 20 + 1; n > 0; --n) {
      const size_t at = sizeof(media::BlockHeader) - 4 + random() % (kPageSize - 28);
      bytes[at] = static_cast<std::byte>(random());
    }
    WriteSealed(inner ? inner_ : leaf_, node);
    (void)TryAll();
    WriteBlock(inner ? inner_ : leaf_, inner ? good_inner_ : good_leaf_);
  }
}

// --- searching
// ------------------------------------------------------------------------------------
TEST(SortedSearch, FindsBoundsInAnyDistribution) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 2000; ++round) {
    const auto count = static_cast<uint32_t>(random() % 255);
    const uint64_t limit = round % 3 == 0 ? 300 : uint64_t{1} << (random() % 60 + 3);
    std::vector<media::Record> records(count);
    for (media::Record& record : records) record = {random() % limit, 0};
    std::ranges::sort(records, {}, &media::Record::key);
    for (int probe = 0; probe < 20; ++probe) {
      const uint64_t key = random() % (limit + 2);
      const KeyRange range{random() % limit, random() % 2 == 0 ? kNoKey : random() % limit};
      const auto upper = std::ranges::upper_bound(records, key, {}, &media::Record::key);
      const auto lower = std::ranges::lower_bound(records, key, {}, &media::Record::key);
      ASSERT_EQ(UpperBound(records.data(), count, key, range), upper - records.begin());
      ASSERT_EQ(LowerBound(records.data(), count, key, range), lower - records.begin());
    }
  }
}

}  // namespace
}  // namespace ingot::tests
