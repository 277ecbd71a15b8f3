// SPDX-License-Identifier: BSD-3-Clause
// Directories against a map of names: random changes with good and with colliding hashes, cookies
// that survive what happens to others, space that comes back, and damaged leaves.
#include "fs/core/directory.h"

#include <map>
#include <random>
#include <set>

#include "pmemdev/base/checksum.h"
#include "tests/fs/core/inode_fixture.h"
#include "tests/support/field_mutations.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct Target {
  InodeNumber inode;
  uint8_t type;
};
using Model = std::map<std::string, Target>;

class DirectoryTest : public InodeFixture {
 protected:
  void MakeDirectory(uint64_t hash_mask = UINT64_MAX) {
    MakeWithInode(128 * kMiB, S_IFDIR | 0755);
    directory_ = std::make_unique<Directory>(core().tree, core().reader, allocator(),
                                             device().superblock().hash_seed, hash_mask);
  }
  Result<void> Insert(const std::string& name, uint64_t inode, uint8_t type = 8) {
    return Change([&](Transaction& transaction, media::Inode& directory) {
      return directory_->Insert(transaction, directory, name, InodeNumber(inode), type);
    });
  }
  Result<void> Erase(const std::string& name) {
    return Change([&](Transaction& transaction, media::Inode& directory) {
      return directory_->Erase(transaction, directory, name);
    });
  }
  // Lists in batches and compares names, targets and order; returns the entries.
  std::vector<DirectoryEntry> ExpectListing(const Model& model, size_t batch) {
    const media::Inode inode = Inode();
    std::vector<DirectoryEntry> all;
    for (uint64_t after = 0;;) {
      const auto some = directory_->Read(inode, after, batch);
      if (!some) {
        ADD_FAILURE() << Describe(some.error());
        break;
      }
      all.insert(all.end(), some->begin(), some->end());
      if (some->size() < batch) break;
      after = some->back().key;
    }
    EXPECT_EQ(all.size(), model.size());
    uint64_t before = 65535;
    for (const DirectoryEntry& entry : all) {
      EXPECT_GT(entry.key, before);
      EXPECT_LT(entry.key, uint64_t{1} << 63);
      before = entry.key;
      EXPECT_EQ(entry.key >> media::kOrdinalBits, directory_->HashOf(inode, entry.name));
      const auto known = model.find(entry.name);
      EXPECT_NE(known, model.end()) << entry.name;
      if (known == model.end()) break;
      EXPECT_EQ(entry.inode, known->second.inode);
      EXPECT_EQ(entry.type, known->second.type);
    }
    return all;
  }
  void ExpectCounts(const Model& model) {
    const media::Inode inode = Inode();
    ASSERT_EQ(inode.entry_count, model.size());
    ASSERT_EQ(inode.page_count, UsedPages());
    ASSERT_GE(inode.page_count * kPageSize, inode.size_bytes);
    ASSERT_EQ(inode.size_bytes % kPageSize, 0u);
    if (!model.empty()) return;
    ASSERT_EQ(inode.size_bytes, 0u);
    ASSERT_EQ(inode.page_count, 0u);
    ASSERT_EQ(inode.body_form, media::BodyForm::kEmpty);
  }
  std::string AnyName() {
    const size_t length = random_() % 8 == 0 ? random_() % 255 + 1 : random_() % 24 + 1;
    std::string name(length, ' ');
    for (char& c : name) c = static_cast<char>('a' + random_() % 26);
    return name;
  }

  std::unique_ptr<Directory> directory_;
  std::mt19937_64 random_{17};
};

// --- the model
// ------------------------------------------------------------------------------------
struct ModelCase {
  const char* name;
  uint64_t hash_mask;
  size_t target;
  int operations;
};

class DirectoryModelTest : public DirectoryTest, public ::testing::WithParamInterface<ModelCase> {
 protected:
  Model::iterator AnyKnown() {
    const auto at = model_.lower_bound(AnyName());
    return at == model_.end() ? model_.begin() : at;
  }
  Result<void> Step(Transaction& transaction, media::Inode& inode, bool grow) {
    const uint64_t dice = random_() % 100;
    if (model_.empty() || dice < (grow ? 65 : 20)) {
      const std::string name = AnyName();
      const Target target{InodeNumber(random_() >> 13 | 1), static_cast<uint8_t>(random_() % 16)};
      const Result<void> done =
          directory_->Insert(transaction, inode, name, target.inode, target.type);
      EXPECT_EQ(done.error_code(), model_.contains(name) ? EEXIST : 0);
      model_.emplace(name, target);
      return {};
    }
    const auto known = AnyKnown();
    if (dice < 90) {
      TRY(directory_->Erase(transaction, inode, known->first));
      EXPECT_EQ(directory_->Erase(transaction, inode, known->first).error_code(), ENOENT);
      model_.erase(known);
      return {};
    }
    known->second = {InodeNumber(random_() % 100 + 1), 4};
    return directory_->Replace(transaction, inode, known->first, known->second.inode,
                               known->second.type);
  }
  void ExpectFinds() {
    const media::Inode inode = Inode();
    EXPECT_EQ(directory_->Find(inode, "-" + AnyName().substr(0, 200)).error_code(), ENOENT);
    if (model_.empty()) return;
    const auto known = AnyKnown();
    const auto found = directory_->Find(inode, known->first);
    ASSERT_OK(found);
    ASSERT_EQ(found->inode, known->second.inode);
    ASSERT_EQ(found->type, known->second.type);
  }

  Model model_;
};

TEST_P(DirectoryModelTest, MatchesAMap) {
  const ModelCase& sizes = GetParam();
  MakeDirectory(sizes.hash_mask);
  bool grow = true;
  for (int done = 0; done < sizes.operations;) {
    const auto batch = static_cast<int>(random_() % 4 + 1);
    ASSERT_OK(Change([&](Transaction& transaction, media::Inode& inode) -> Result<void> {
      for (int i = 0; i < batch; ++i) TRY(Step(transaction, inode, grow));
      if (model_.empty()) return {};
      EXPECT_EQ(TRY(directory_->Find(transaction, inode, model_.begin()->first)).inode,
                model_.begin()->second.inode);
      return {};
    }));
    done += batch;
    if (model_.size() >= sizes.target) grow = false;
    if (model_.size() < sizes.target / 10) grow = true;
    ExpectCounts(model_);
    ExpectFinds();
    if (done % 2000 < batch) ExpectListing(model_, random_() % 100 + 1);
    ASSERT_FALSE(HasFailure());
  }
  ExpectListing(model_, 1000);
  while (!model_.empty()) {
    const auto gone = AnyKnown();
    ASSERT_OK(Erase(gone->first));
    model_.erase(gone);
  }
  ExpectCounts(model_);
  EXPECT_EQ(UsedPages(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Hashes, DirectoryModelTest,
                         ::testing::Values(ModelCase{"Good", UINT64_MAX, 4000, 40'000},
                                           ModelCase{"OfTwoBits", uint64_t{3} << 62, 1500, 20'000},
                                           ModelCase{"AllEqual", 0, 400, 10'000}),
                         [](const auto& sizes) { return std::string(sizes.param.name); });

// --- names and limits
// -----------------------------------------------------------------------------
TEST_F(DirectoryTest, NamesOfEachLength) {
  MakeDirectory();
  Model model;
  for (size_t length = 1; length <= media::kMaxNameLength; ++length) {
    const std::string name(length, 'n');
    ASSERT_OK(Insert(name, length));
    model[name] = {InodeNumber(length), 8};
  }
  const std::string too_long(media::kMaxNameLength + 1, 'n');
  EXPECT_ERROR(ENAMETOOLONG, Insert(too_long, 1));
  EXPECT_ERROR(ENAMETOOLONG, directory_->Find(Inode(), too_long));
  EXPECT_ERROR(EINVAL, Insert("", 1));
  EXPECT_ERROR(EEXIST, Insert("nnn", 1));
  EXPECT_ERROR(ENOENT, Erase("m"));
  ExpectListing(model, 10);
}

TEST_F(DirectoryTest, AnEmptyDirectoryAnswers) {
  MakeDirectory();
  EXPECT_ERROR(ENOENT, directory_->Find(Inode(), "a"));
  EXPECT_ERROR(ENOENT, Erase("a"));
  const auto none = directory_->Read(Inode(), 0, 10);
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
}

// The rule is part of the format: these numbers may never change.
TEST_F(DirectoryTest, HashesAreWhatTheFormatSays) {
  MakeDirectory();
  media::Inode inode = Inode();
  const uint64_t hash = directory_->HashOf(inode, "lost+found");
  EXPECT_EQ(hash >> 47, 0u);
  const uint64_t seed = device().superblock().hash_seed ^ (inode.number * 0x9E3779B97F4A7C15ULL);
  EXPECT_EQ(hash, Hash64(std::as_bytes(std::span("lost+found", 10)), seed) >> 17);
  inode.number = 3;
  EXPECT_NE(directory_->HashOf(inode, "lost+found"), hash);
}

TEST_F(DirectoryTest, SurvivesAReopen) {
  MakeDirectory();
  Model model;
  for (uint64_t i = 1; i <= 500; ++i) {
    const std::string name = "file-" + std::to_string(i);
    ASSERT_OK(Insert(name, i));
    model[name] = {InodeNumber(i), 8};
  }
  directory_.reset();
  Reopen();
  directory_ = std::make_unique<Directory>(core().tree, core().reader, allocator(),
                                           device().superblock().hash_seed);
  ExpectListing(model, 7);
}

// --- cookies
// --------------------------------------------------------------------------------------
TEST_F(DirectoryTest, ListingSeesWhatStaysExactlyOnceWhateverComesAndGoes) {
  for (const uint64_t mask : {UINT64_MAX, uint64_t{7} << 61}) {
    MakeDirectory(mask);
    std::set<std::string> staying;
    std::set<std::string> passing;
    for (uint64_t i = 1; i <= 600; ++i) {
      staying.insert("stays-" + std::to_string(i));
      ASSERT_OK(Insert("stays-" + std::to_string(i), i));
    }
    std::map<std::string, int> seen;
    uint64_t number = 0;
    for (uint64_t after = 0;;) {
      const auto some = directory_->Read(Inode(), after, 3);
      ASSERT_OK(some);
      if (some->empty()) break;
      after = some->back().key;
      for (const DirectoryEntry& entry : *some) ++seen[entry.name];
      for (int i = 0; i < 4; ++i) {
        const std::string name = std::string(random_() % 100, 'p') + std::to_string(++number);
        ASSERT_OK(Insert(name, 5));
        passing.insert(name);
      }
      while (passing.size() > 500) {
        const auto at = std::next(passing.begin(), static_cast<std::ptrdiff_t>(random_() % 100));
        ASSERT_OK(Erase(*at));
        passing.erase(at);
      }
    }
    for (const std::string& name : staying) EXPECT_EQ(seen[name], 1) << name;
    for (const auto& [name, count] : seen) EXPECT_EQ(count, 1) << name;
  }
}

TEST_F(DirectoryTest, RemovingWhileListingEmptiesTheDirectory) {
  MakeDirectory();
  for (uint64_t i = 1; i <= 3000; ++i) ASSERT_OK(Insert("name-" + std::to_string(i), i));
  for (uint64_t after = 0;;) {
    const auto some = directory_->Read(Inode(), after, 50);
    ASSERT_OK(some);
    if (some->empty()) break;
    after = some->back().key;
    for (const DirectoryEntry& entry : *some) ASSERT_OK(Erase(entry.name));
  }
  ExpectCounts({});
}

TEST_F(DirectoryTest, SparseLeavesAreMerged) {
  MakeDirectory();
  for (uint64_t i = 1; i <= 5000; ++i) ASSERT_OK(Insert("name-" + std::to_string(i), i));
  const uint64_t full = Inode().size_bytes;
  for (uint64_t i = 1; i <= 5000; ++i) {
    if (i % 100 != 0) ASSERT_OK(Erase("name-" + std::to_string(i)));
  }
  EXPECT_LE(Inode().size_bytes, full / 8);
  EXPECT_EQ(Inode().entry_count, 50u);
}

// --- damage
// ---------------------------------------------------------------------------------------
class DamagedDirectoryTest : public DirectoryTest {
 protected:
  static constexpr uint64_t kCount = 100;

  void SetUp() override {
    MakeDirectory();
    for (uint64_t i = 1; i <= kCount; ++i) ASSERT_OK(Insert("name-" + std::to_string(i), i));
    const auto first = core().tree.FindAtOrBefore(Inode(), 0);
    ASSERT_OK(first);
    page_ = LogicalPage((*first)->value);
    good_ = ReadBlock<media::DirectoryLeaf>(page_);
  }
  std::set<int> TryAll() {
    const media::Inode inode = Inode();
    std::set<int> codes;
    codes.insert(directory_->Read(inode, 0, 1000).error_code());
    Transaction transaction(allocator(), core().reader);
    const auto edited = transaction.EditInode(kNumber);
    codes.insert(edited.error_code());
    if (!edited) return codes;
    for (uint64_t i = 1; i <= kCount; i += 7) {
      const std::string name = "name-" + std::to_string(i);
      codes.insert(directory_->Find(inode, name).error_code());
      codes.insert(
          directory_->Replace(transaction, **edited, name, InodeNumber(7), 4).error_code());
      codes.insert(
          directory_->Insert(transaction, **edited, "+" + name, InodeNumber(7), 4).error_code());
      codes.insert(directory_->Erase(transaction, **edited, name).error_code());
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

  LogicalPage page_;
  media::DirectoryLeaf good_;
};

TEST_F(DamagedDirectoryTest, HeaderFields) {
  ForEachMutation(good_.header, [&](const Field& field, const media::BlockHeader& changed) {
    media::DirectoryLeaf leaf = good_;
    leaf.header = changed;
    WriteBlock(page_, leaf);
    ExpectDamageSeen(std::string(field.name) + " unsealed");
    if (field.name == "checksum") return;
    WriteSealed(page_, leaf);
    ExpectDamageSeen(std::string(field.name));
  });
  WriteBlock(page_, good_);
  EXPECT_FALSE(TryAll().contains(EUCLEAN));
}

TEST_F(DamagedDirectoryTest, EntriesAndNames) {
  const auto damage = [&](const char* what, auto&& change) {
    media::DirectoryLeaf leaf = good_;
    change(leaf);
    WriteSealed(page_, leaf);
    ExpectDamageSeen(what);
  };
  using Leaf = media::DirectoryLeaf;
  damage("names_begin", [](Leaf& leaf) { leaf.names_begin = 8; });
  damage("dead_bytes", [](Leaf& leaf) { leaf.dead_bytes = 4000; });
  damage("order", [](Leaf& leaf) { std::swap(leaf.slots[0].key, leaf.slots[1].key); });
  damage("low key", [](Leaf& leaf) { leaf.slots[0].key = 3; });
  damage("place in the header", [](Leaf& leaf) { leaf.slots[0].target &= ~(uint64_t{511} << 51); });
  damage("place of another", [](Leaf& leaf) {
    const uint64_t places = uint64_t{511} << 51;
    leaf.slots[0].target = (leaf.slots[0].target & ~places) | (leaf.slots[1].target & places);
  });
  damage("inode", [](Leaf& leaf) { leaf.slots[0].target &= ~((uint64_t{1} << 51) - 1); });
}

TEST_F(DamagedDirectoryTest, RandomBytesNeverCrash) {
  std::mt19937_64 random(23);
  for (int i = 0; i < 2000; ++i) {
    media::DirectoryLeaf leaf = good_;
    const auto bytes = WritableBytesOf(leaf);
    for (uint64_t n = random() % 20 + 1; n > 0; --n) {
      bytes[28 + random() % (kPageSize - 28)] = static_cast<std::byte>(random());
    }
    WriteSealed(page_, leaf);
    for (const int code : TryAll()) {
      EXPECT_TRUE(code == 0 || code == EUCLEAN || code == ENOENT || code == EEXIST)
          << ErrnoName(code);
    }
  }
}

}  // namespace
}  // namespace ingot::tests
