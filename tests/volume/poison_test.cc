// SPDX-License-Identifier: BSD-3-Clause
// Bad memory where it hurts most: under each page that a committed transaction is about to store
// to, and under each page of a lane, or of its targets, during recovery. The mount turns read-only
// or is refused; what was acknowledged is there, and once the page is repaired recovery completes.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <set>

#include "fs/check/check.h"
#include "pmemdev/base/checksum.h"
#include "tests/volume/fixed_chance.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 16 << 20;

// Pages that a lane names, in the order in which they are stored to; poisons the n-th when the lane
// has become valid.
class PoisonAfterCommit : public JournalObserver {
 public:
  PoisonAfterCommit(Device& device, size_t n) : device_(device), n_(n) {
    device.journal().set_observer(this);
  }
  ~PoisonAfterCommit() override { device_.journal().set_observer(nullptr); }

  void OnLog(uint32_t, MediaOffset at, uint64_t size_bytes) override {
    logged_.push_back(at);
    for (uint64_t place = RoundDown(at.value, kPageSize); place < at.value + size_bytes;
         place += kPageSize) {
      if (known_.insert(place).second) pages_.emplace_back(place);
    }
  }
  void OnValid(uint32_t) override {
    if (poisoned_ || n_ >= pages_.size()) return;
    poisoned_ = PoisonPage(device_.mapping(), pages_[n_]);
    unsupported_ = !poisoned_;
  }
  void OnRelease(uint32_t) override {
    known_.clear();
    pages_.clear();
    logged_.clear();
  }
  // Where the runs of a transaction begin that could not be applied.
  [[nodiscard]] const std::vector<MediaOffset>& logged() const { return logged_; }
  [[nodiscard]] bool poisoned() const { return poisoned_; }
  [[nodiscard]] bool unsupported() const { return unsupported_; }

 private:
  Device& device_;
  size_t n_;
  std::set<uint64_t> known_;
  std::vector<MediaOffset> pages_;
  std::vector<MediaOffset> logged_;
  bool poisoned_ = false;
  bool unsupported_ = false;
};

// Something of everything, so that each operation has work to do.
const std::vector<Operation>& Setup() {
  static const std::vector<Operation> operations = [] {
    std::vector<Operation> made;
    for (const char* directory : {"/d", "/e", "/empty"}) {
      made.push_back({.kind = Kind::kMkdir, .path = directory, .mode = 0700});
    }
    for (const char* file : {"/d/small", "/d/victim", "/e/large", "/e/x"}) {
      made.push_back({.kind = Kind::kCreate, .path = file, .mode = 0600});
    }
    made.push_back({.kind = Kind::kWrite, .path = "/d/small", .size = 200, .seed = 1});
    made.push_back({.kind = Kind::kWrite, .path = "/d/victim", .size = 9000, .seed = 2});
    made.push_back({.kind = Kind::kWrite, .path = "/e/large", .size = 300'000, .seed = 3});
    for (uint64_t i = 0; i < 40; ++i) {  // spread, so that the tree has nodes
      made.push_back({.kind = Kind::kWrite, .path = "/e/x", .offset = i * 20'000, .size = 4096,
                      .seed = i});
    }
    return made;
  }();
  return operations;
}

const std::vector<Operation>& Victims() {
  static const std::vector<Operation> operations = {
      {.kind = Kind::kCreate, .path = "/d/new", .mode = 0644},
      {.kind = Kind::kMkdir, .path = "/d/sub", .mode = 0755},
      {.kind = Kind::kUnlink, .path = "/d/victim"},
      {.kind = Kind::kRmdir, .path = "/empty"},
      {.kind = Kind::kRename, .path = "/d/small", .path2 = "/e/moved"},
      {.kind = Kind::kRename, .path = "/d/small", .path2 = "/d/victim"},
      {.kind = Kind::kLink, .path = "/e/large", .path2 = "/d/second"},
      {.kind = Kind::kAppend, .path = "/e/large", .size = 5000, .seed = 9},
      {.kind = Kind::kWrite, .path = "/e/x", .offset = 10'000, .size = 4096, .seed = 10},
      {.kind = Kind::kTruncate, .path = "/e/x", .size = 100'001},
      {.kind = Kind::kSetXattr, .path = "/d/small", .name = "trusted.a", .size = 9000, .seed = 11},
      {.kind = Kind::kChmod, .path = "/d/small", .mode = 0123},
  };
  return operations;
}

std::unique_ptr<ModelledPool> PreparedPool() {
  auto pool = std::make_unique<ModelledPool>(kPoolBytes);
  for (const Operation& operation : Setup()) pool->Run(operation);
  return pool;
}

// Half of the words may be there: nobody may go by a checksum that was right before.
uint64_t ExpectDistrust(ModelledPool& pool, const std::vector<MediaOffset>& logged) {
  uint64_t inodes = 0;
  for (const MediaOffset at : logged) {
    const auto page = pool.device().geometry().PageAt(MediaOffset(RoundDown(at.value, kPageSize)));
    if (!page) continue;  // a group's entry
    const auto holds_inodes = pool.volume().core().allocator->IsInodePage(*page);
    if (!holds_inodes || !*holds_inodes) continue;
    const auto slot = static_cast<uint32_t>(at.value % kPageSize / media::kInodeSize);
    const PageDescriptor& descriptor = pool.device().page_array().Get(*page);
    EXPECT_EQ(descriptor.verified_inodes.load() >> slot & 1, 0) << "slot " << slot;
    ++inodes;
  }
  return inodes;
}

TEST(VolumePoison, AtEachPageThatACommittedTransactionStoresTo) {
  const FixedChance chance;  // times differ, so that each operation logs its inodes
  size_t faults = 0;
  uint64_t distrusted = 0;
  for (const Operation& operation : Victims()) {
    for (size_t n = 0;; ++n) {
      SCOPED_TRACE(fmt::format("{}, page {}", Describe(operation), n));
      const std::unique_ptr<ModelledPool> pool = PreparedPool();
      std::string answer;
      bool poisoned = false;
      {
        PoisonAfterCommit poison(pool->device(), n);
        answer = pool->RunOnVolume(operation);
        if (poison.unsupported()) GTEST_SKIP() << "no UFFDIO_POISON (Linux 6.6, userfaultfd)";
        poisoned = poison.poisoned();
        if (poisoned) distrusted += ExpectDistrust(*pool, poison.logged());
      }
      if (!poisoned) {
        ASSERT_TRUE(answer.starts_with("ok")) << answer;
        ASSERT_GE(n, 1u);
        break;
      }
      ++faults;
      EXPECT_EQ(answer, "E:EIO");
      EXPECT_FALSE(pool->device().writable());
      EXPECT_EQ(pool->RunOnVolume({.kind = Kind::kMkdir, .path = "/later", .mode = 0700})
                    .substr(0, 2),
                "E:");
      // The bytes outlive the poison, as those of a page that was rewritten would. The lane was
      // durable: the operation is there.
      pool->Reopen();
      EXPECT_EQ(pool->device().replay_report().valid_lanes, 1u);
      EXPECT_TRUE(pool->model().Run(operation).starts_with("ok"));
      pool->ExpectWhole();
      pool->Run({.kind = Kind::kMkdir, .path = "/later", .mode = 0700});
    }
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(faults, Victims().size() * 2);
  EXPECT_GT(distrusted, faults);
}

// Any superblock copies but all: the pool opens by one that is left.
TEST(VolumePoison, UnderSuperblockCopies) {
  const std::unique_ptr<ModelledPool> pool = PreparedPool();
  const std::string expected = TreeOf(pool->volume());
  constexpr uint32_t kAll = (1U << media::kSuperblockCopies) - 1;
  for (uint32_t bad = 1; bad <= kAll; ++bad) {
    SCOPED_TRACE(bad);
    auto mapping = Mapping::FromDescriptor(CopyOfPool(pool->fd()), TestMappingOptions());
    ASSERT_OK(mapping);
    for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
      if ((bad >> copy & 1) == 0) continue;
      if (!PoisonPage(**mapping, Geometry::SuperblockCopy(copy, kPoolBytes))) {
        GTEST_SKIP() << "no UFFDIO_POISON";
      }
    }
    auto device = Device::Open(std::move(*mapping), {});
    if (bad == kAll) {
      EXPECT_FALSE(device) << "nothing says what this is";
      continue;
    }
    ASSERT_OK(device);
    auto volume = Volume::Open(std::move(*device), {});
    ASSERT_OK(volume);
    EXPECT_EQ(TreeDifference(expected, TreeOf(**volume)), "");
    NewNode node;
    node.mode = S_IFREG | 0600;
    EXPECT_TRUE((*volume)->names().Create(Volume::kRoot, "new", node, {}));
  }
}

// fsck on a bad page of each kind: it says so, or gives up with an error, and its repair harms
// nothing that is well. Once the page can be written it makes the pool whole.
TEST(VolumePoison, UnderWhatFsckLooksAt) {
  const std::unique_ptr<ModelledPool> pool = PreparedPool();
  Volume& volume = pool->volume();
  const auto record_of = [&](const char* path) {
    const media::Inode inode = volume.core().reader.ReadInode(InodeAt(volume, path)).value();
    media::Record record;
    std::memcpy(&record, inode.tail.data(), sizeof(record));
    return Geometry::ToMedia(LogicalPage(record.value));
  };
  const LogicalPage first = FirstPageOf(GroupIndex(0));
  const auto data = volume.data().Extents(InodeAt(volume, "/e/large"), FilePage(0), 1).value();
  const std::vector<MediaOffset> places = {
      Geometry::ToMedia(PageOf(InodeAt(volume, "/d/small"))), record_of("/d"), record_of("/e/x"),
      Geometry::ToMedia(first + media::kAllocatedBitmapPage),
      Geometry::ToMedia(first + media::kInodeBitmapPage), Geometry::GroupEntryAt(GroupIndex(0)),
      Geometry::ToMedia(data.at(0).start)};
  for (const MediaOffset place : places) {
    SCOPED_TRACE(place.value);
    const int copy = CopyOfPool(pool->fd());
    for (const check::CheckMode mode : {check::CheckMode::kReport, check::CheckMode::kRepair}) {
      auto mapping = Mapping::FromDescriptor(DuplicateOf(copy), TestMappingOptions());
      ASSERT_OK(mapping);
      if (!PoisonPage(**mapping, place)) GTEST_SKIP() << "no UFFDIO_POISON";
      check::CheckOptions options;
      options.mode = mode;
      options.read_data = true;
      const auto report = check::CheckPool(std::move(*mapping), options);
      if (report) {
        EXPECT_GT(report->found, 0u) << "the bad page went unnoticed";
      } else {
        EXPECT_EQ(report.error().code, EIO) << report.error().context;
      }
    }
    auto mapping = Mapping::FromDescriptor(DuplicateOf(copy), TestMappingOptions());
    ASSERT_OK(mapping);
    check::CheckOptions options;
    options.mode = check::CheckMode::kRepair;
    const auto repaired = check::CheckPool(std::move(*mapping), options);
    ASSERT_OK(repaired);
    EXPECT_TRUE(repaired->clean_now());
    auto opened = OpenPool(copy);
    ASSERT_OK(opened);
    EXPECT_FSCK_CLEAN((*opened)->device());
  }
}

// An image with one long valid lane, and what it will be after recovery.
class RecoveryPoison : public ::testing::Test {
 protected:
  void SetUp() override {
    pool_ = PreparedPool();
    const InodeNumber large = InodeAt(pool_->volume(), "/e/large");
    ASSERT_OK(pool_->volume().attributes().SetFlags(large, media::kInodeAtomic,
                                                    media::kInodeAtomic));
    CopyWhenValid copier(pool_->device());
    // Logged data: the record is six pages long, and names six.
    pool_->Run({.kind = Kind::kWrite, .path = "/e/large", .offset = 70'000, .size = 20'000,
                .seed = 99});
    ASSERT_GE(copier.image, 0);
    image_ = copier.image;
    lane_ = copier.valid_lane;
    expected_ = TreeOf(pool_->volume());
  }
  void TearDown() override { close(image_); }

  FixedChance chance_;  // or else a write within a tick would leave the inode alone
  std::unique_ptr<ModelledPool> pool_;
  int image_ = -1;
  uint32_t lane_ = 0;
  std::string expected_;
};

uint64_t HashOf(int fd) {
  std::vector<std::byte> bytes(kPoolBytes);
  EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(kPoolBytes));
  return Hash64(bytes, 0);
}

TEST_F(RecoveryPoison, AtEachPageOfTheLaneAndOfItsTargets) {
  std::set<uint64_t> places;
  size_t lane_pages = 0;
  {
    auto device = Device::Open(
        std::move(*Mapping::FromDescriptor(CopyOfPool(image_), TestMappingOptions())), [] {
          DeviceOptions options;
          options.replay = false;
          return options;
        }());
    ASSERT_OK(device);
    const auto runs = (*device)->journal().Decode(lane_);
    ASSERT_OK(runs);
    uint64_t words = 0;
    for (const Journal::Run& run : *runs) {
      words += run.words.size() + 1;
      const uint64_t end = run.at.value + run.words.size() * kWordSize;
      for (uint64_t at = RoundDown(run.at.value, kPageSize); at < end; at += kPageSize) {
        places.insert(at);
      }
    }
    for (uint64_t at = 0; at < media::kLaneRecordOffset + sizeof(media::LaneRecord) +
                                   words * kWordSize; at += kPageSize) {
      places.insert(Geometry::Lane(lane_).value + at);
      ++lane_pages;
    }
  }
  EXPECT_GE(lane_pages, 5u);
  EXPECT_GE(places.size(), lane_pages + 6);
  for (const uint64_t place : places) {
    SCOPED_TRACE(place);
    const int copy = CopyOfPool(image_);
    const uint64_t before = HashOf(copy);
    {
      auto mapping = Mapping::FromDescriptor(DuplicateOf(copy), TestMappingOptions());
      ASSERT_OK(mapping);
      if (!PoisonPage(**mapping, MediaOffset(place))) GTEST_SKIP() << "no UFFDIO_POISON";
      const bool in_lane = place < Geometry::GroupEntryAt(GroupIndex(0)).value;
      const auto device = Device::Open(std::move(*mapping), {});
      EXPECT_ERROR(in_lane ? EUCLEAN : EIO, device);
    }
    EXPECT_EQ(HashOf(copy), before) << "a refused mount stores nothing";
    auto repaired = OpenPool(copy);
    ASSERT_OK(repaired);
    EXPECT_EQ((*repaired)->device().replay_report().valid_lanes, 1u);
    EXPECT_EQ(TreeDifference(expected_, TreeOf(**repaired)), "");
    EXPECT_FSCK_CLEAN((*repaired)->device());
  }
}

// Poison that comes while recovery stores: what it has stored stays, the lane too.
TEST_F(RecoveryPoison, InTheMidstOfReplay) {
  struct PoisonAtStore : PersistObserver {
    PoisonAtStore(const Mapping& m, size_t at_store) : mapping(m), n(at_store) {}
    void OnStore(MediaOffset at, std::span<const std::byte>, StoreKind) override {
      if (stores++ == n) poisoned = PoisonPage(mapping, at);
    }
    void OnFlush(MediaOffset, uint64_t, PersistSite) override {}
    void OnFence(PersistSite) override {}
    const Mapping& mapping;
    size_t n;
    size_t stores = 0;
    bool poisoned = false;
  };
  size_t faults = 0;
  for (size_t n = 0;; ++n) {
    SCOPED_TRACE(n);
    const int copy = CopyOfPool(image_);
    bool poisoned = false;
    {
      auto mapping = Mapping::FromDescriptor(DuplicateOf(copy), TestMappingOptions());
      ASSERT_OK(mapping);
      const auto scan = ReadSuperblocks(**mapping);
      ASSERT_OK(scan);
      const Geometry geometry = Geometry::ForRegion(kPoolBytes).value();
      Persist persist(**mapping);
      PoisonAtStore poison(**mapping, n);
      persist.set_observer(&poison);
      auto journal = Journal::Open(**mapping, geometry, persist, scan->best);
      ASSERT_OK(journal);
      const auto replayed = (*journal)->Replay();
      poisoned = poison.poisoned;
      if (poison.stores > n && !poisoned) GTEST_SKIP() << "no UFFDIO_POISON";
      EXPECT_EQ(replayed.error_code(), poisoned ? EIO : 0);
    }
    faults += poisoned ? 1 : 0;
    auto repaired = OpenPool(copy);
    ASSERT_OK(repaired);
    EXPECT_EQ((*repaired)->device().replay_report().valid_lanes, poisoned ? 1u : 0u);
    EXPECT_EQ(TreeDifference(expected_, TreeOf(**repaired)), "");
    EXPECT_FSCK_CLEAN((*repaired)->device());
    if (!poisoned) break;
  }
  EXPECT_GE(faults, 3u);
}

}  // namespace
}  // namespace ingot::tests
