// SPDX-License-Identifier: BSD-3-Clause
// The extent map against an array of pages: random insertions, removals and conversions; merging,
// where removal stops, and damaged records. The mapped pages themselves are never allocated or
// touched.
#include "fs/core/extent_map.h"

#include <map>
#include <random>

#include "tests/fs/core/inode_fixture.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct MappedPage {
  uint64_t start;
  bool unwritten;
};
using Model = std::map<uint64_t, MappedPage>;

class ExtentMapTest : public InodeFixture {
 protected:
  ExtentMap& extents() { return core().extents; }

  Result<void> Insert(uint64_t file_page, uint64_t start, uint32_t pages, bool unwritten = false) {
    return Change([&](Transaction& transaction, media::Inode& inode) {
      return extents().Insert(transaction, inode,
                              {FilePage(file_page), LogicalPage(start), pages, unwritten});
    });
  }
  std::vector<Extent> All(Transaction* transaction, const media::Inode& inode) {
    std::vector<Extent> all;
    for (FilePage at;;) {
      const auto found =
          transaction ? extents().Find(*transaction, inode, at) : extents().Find(inode, at);
      if (!found) ADD_FAILURE() << Describe(found.error());
      if (!found || !*found) return all;
      all.push_back(**found);
      at = all.back().end();
    }
  }
  std::vector<Extent> All() { return All(nullptr, Inode()); }
  void ExpectModel(const std::vector<Extent>& all, const Model& model) {
    auto at = model.begin();
    const Extent* before = nullptr;
    for (const Extent& extent : all) {
      for (uint32_t i = 0; i < extent.pages; ++i, ++at) {
        ASSERT_NE(at, model.end());
        ASSERT_EQ(at->first, extent.file_page.value + i);
        ASSERT_EQ(at->second.start, extent.start.value + i);
        ASSERT_EQ(at->second.unwritten, extent.unwritten);
      }
      if (before != nullptr) {
        const bool mergeable = before->end() == extent.file_page &&
                               before->start + before->pages == extent.start &&
                               before->unwritten == extent.unwritten &&
                               GroupOf(before->start) == GroupOf(extent.start);
        ASSERT_FALSE(mergeable) << "at page " << extent.file_page.value;
      }
      before = &extent;
    }
    ASSERT_EQ(at, model.end());
  }
};

class ExtentMapModelTest : public ExtentMapTest {
 protected:
  static constexpr uint64_t kFilePages = 30'000;
  static constexpr uint64_t kPoolPages = 2 * kPagesPerGroup;

  Result<void> InsertSome(Transaction& transaction, media::Inode& inode) {
    const uint64_t first = random_() % kFilePages;
    if (model_.contains(first)) return {};
    const auto next = model_.lower_bound(first);
    const uint64_t room = next == model_.end() ? 40 : next->first - first;
    auto pages = static_cast<uint32_t>(random_() % std::min<uint64_t>(room, 40) + 1);
    // Mostly where merging is possible, across the border of two groups too.
    const uint64_t start =
        random_() % 4 != 0 ? first + kPagesPerGroup / 2 + 4000 : random_() % (kPoolPages - 100);
    pages = std::min(pages, static_cast<uint32_t>(kPagesPerGroup - start % kPagesPerGroup));
    const bool unwritten = random_() % 2 == 0;
    TRY(extents().Insert(transaction, inode,
                         {FilePage(first), LogicalPage(start), pages, unwritten}));
    for (uint32_t i = 0; i < pages; ++i) model_[first + i] = {start + i, unwritten};
    EXPECT_EQ(extents()
                  .Insert(transaction, inode, {FilePage(first), LogicalPage(9), 1, false})
                  .error_code(),
              EUCLEAN);
    return {};
  }
  Result<void> RemoveSome(Transaction& transaction, media::Inode& inode, uint64_t first,
                          uint64_t pages) {
    const ExtentMap::Removed removed =
        TRY(extents().Remove(transaction, inode, FilePage(first), pages));
    EXPECT_LE(removed.done, pages);
    uint64_t mapped = 0;
    for (const Extent& piece : removed.pieces) {
      for (uint32_t i = 0; i < piece.pages; ++i) {
        const auto page = model_.find(piece.file_page.value + i);
        EXPECT_NE(page, model_.end());
        if (page == model_.end()) return {};
        EXPECT_EQ(page->second.start, piece.start.value + i);
        EXPECT_EQ(page->second.unwritten, piece.unwritten);
        EXPECT_TRUE(page->first >= first && page->first < first + removed.done);
        model_.erase(page);
        ++mapped;
      }
    }
    EXPECT_EQ(std::distance(model_.lower_bound(first), model_.lower_bound(first + removed.done)), 0)
        << mapped;
    return {};
  }
  Result<void> MarkSome(Transaction& transaction, media::Inode& inode, uint64_t first,
                        uint64_t pages) {
    TRY(extents().MarkWritten(transaction, inode, FilePage(first), pages));
    for (auto at = model_.lower_bound(first); at != model_.end() && at->first < first + pages;
         ++at) {
      at->second.unwritten = false;
    }
    return {};
  }
  Result<void> Step(bool grow) {
    return Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      for (uint64_t n = random_() % 3 + 1; n > 0 && transaction.HasRoom(); --n) {
        const uint64_t dice = random_() % 100;
        const uint64_t first = random_() % kFilePages;
        if (dice < (grow ? 70 : 30)) {
          TRY(InsertSome(transaction, inode));
        } else if (dice < 85) {
          TRY(RemoveSome(transaction, inode, first, random_() % (grow ? 30 : 300) + 1));
        } else {
          TRY(MarkSome(transaction, inode, first, random_() % 40 + 1));
        }
      }
      return {};
    });
  }

  Model model_;
  std::mt19937_64 random_{11};
};

TEST_F(ExtentMapModelTest, MatchesAnArrayOfPages) {
  MakeWithInode(300 * kMiB, S_IFREG | 0644);
  for (int i = 0; i < 60'000; ++i) {
    ASSERT_OK(Step(i / 10'000 % 2 == 0));
    ASSERT_EQ(UsedPages(), Inode().page_count);
    if (i % 500 == 0) ExpectModel(All(), model_);
    ASSERT_FALSE(HasFailure());
  }
  ExpectModel(All(), model_);
  while (!model_.empty()) {
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) {
      return RemoveSome(transaction, inode, 0, UINT64_MAX);
    }));
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(Inode().body_form, media::BodyForm::kEmpty);
  EXPECT_EQ(UsedPages(), 0u);
}

TEST_F(ExtentMapTest, EncodesWhatItDecodes) {
  const Extent extent{FilePage(1'000'000), LogicalPage((uint64_t{1} << 48) - 5),
                      media::kMaxExtentPages, true};
  EXPECT_EQ(Extent::Decode(extent.Encode()), extent);
  const Extent small{FilePage(0), LogicalPage(0), 1, false};
  EXPECT_EQ(Extent::Decode(small.Encode()), small);
}

TEST_F(ExtentMapTest, MergesUpToAWholeGroupAndNotBeyond) {
  MakeWithInode(600 * kMiB, S_IFREG | 0644);
  const uint64_t group = 2 * kPagesPerGroup;
  for (uint64_t page = 0; page < kPagesPerGroup; page += kPagesPerHugePage) {
    ASSERT_OK(Insert(page, group + page, kPagesPerHugePage));
  }
  ASSERT_OK(Insert(kPagesPerGroup, group + kPagesPerGroup, 1));
  const std::vector<Extent> all = All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].pages, kPagesPerGroup);
  EXPECT_EQ(all[1].file_page, FilePage(kPagesPerGroup));
  const auto last = extents().Last(Inode());
  ASSERT_OK(last);
  EXPECT_EQ(**last, all[1]);
}

TEST_F(ExtentMapTest, ConvertingFromTheFrontMovesOneBorder) {
  MakeWithInode(300 * kMiB, S_IFREG | 0644);
  ASSERT_OK(Insert(10, 1000, 100, true));
  for (uint64_t page = 10; page < 110; page += 5) {
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) {
      return extents().MarkWritten(transaction, inode, FilePage(page), 5);
    }));
    EXPECT_LE(All().size(), 2u);
  }
  EXPECT_EQ(All(), std::vector<Extent>({{FilePage(10), LogicalPage(1000), 100, false}}));
}

TEST_F(ExtentMapTest, RemovalStopsBeforeTheTransactionHasTooManyGroups) {
  MakeWithInode(20 * 130 * kMiB, S_IFREG | 0644);
  for (uint64_t group = 1; group < 18; ++group) {
    ASSERT_OK(Insert(group, group * kPagesPerGroup + 100, 1));
  }
  size_t rounds = 0;
  while (!All().empty()) {
    ASSERT_LE(++rounds, 6u);
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      const auto removed = TRY(extents().Remove(transaction, inode, FilePage(0), 1000));
      EXPECT_FALSE(removed.pieces.empty());
      EXPECT_LE(removed.pieces.size() + transaction.group_count(),
                Allocator::kMaxGroupsPerTransaction);
      return {};
    }));
  }
  EXPECT_GE(rounds, 3u);
}

TEST_F(ExtentMapTest, DamagedRecordsAreRefused) {
  MakeWithInode(300 * kMiB, S_IFREG | 0644);
  const uint64_t pages = device().geometry().page_count();
  const auto value = [](uint64_t start, uint64_t length) { return start | (length - 1) << 48; };
  const std::vector<media::Record> bad = {
      {5, value(pages, 1)},
      {5, value(pages - 1, 2)},
      {5, value(kPagesPerGroup - 1, 2)},
      {5, value((uint64_t{1} << 48) - 1, 1)},
      {uint64_t{1} << 50, value(5, 1)},
      {(uint64_t{1} << 50) - 1, value(5, 2)},
      {~uint64_t{0} - 1, value(5, 2)},
  };
  for (const media::Record& record : bad) {
    ASSERT_OK(Change([&](Transaction&, media::Inode& inode) -> Result<void> {
      inode.body_form = media::BodyForm::kTree;
      inode.body_bytes = sizeof(record);
      std::memcpy(inode.tail.data(), &record, sizeof(record));
      return {};
    }));
    EXPECT_ERROR(EUCLEAN, extents().Find(Inode(), FilePage(0)));
    EXPECT_ERROR(EUCLEAN, extents().Last(Inode()));
    EXPECT_ERROR(EUCLEAN, Insert(record.key, 100, 1));
    const auto remove = Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      TRY(extents().Remove(transaction, inode, FilePage(0), UINT64_MAX));
      return {};
    });
    EXPECT_ERROR(EUCLEAN, remove);
  }
  const std::array<media::Record, 2> overlap = {media::Record{5, value(100, 10)},
                                                media::Record{8, value(200, 10)}};
  ASSERT_OK(Change([&](Transaction&, media::Inode& inode) -> Result<void> {
    inode.body_bytes = sizeof(overlap);
    std::memcpy(inode.tail.data(), overlap.data(), sizeof(overlap));
    return {};
  }));
  EXPECT_ERROR(EUCLEAN, extents().Find(Inode(), FilePage(6)));
}

}  // namespace
}  // namespace ingot::tests
