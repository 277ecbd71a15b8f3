// SPDX-License-Identifier: BSD-3-Clause
// Directory pools: what can be wrong between inodes, ledger and the host's files, reported, mended
// and mounted; and that no repair, done or half done, costs a live file.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "fs/core/backing_ledger.h"
#include "fs/core/extent_map.h"
#include "tests/fs/check/populated_pool.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

using check::FindingKind;

const PopulatedPool& Pool() { return PopulatedPool::Get(PoolKind::kDirectory); }

class CheckDirectoryPool : public ::testing::Test {
 protected:
  static InodeNumber Number(const char* path) { return Pool().Inode(path); }
  media::Inode& Inode(const char* path) { return copy_.Inode(Number(path)); }
  void Seal(const char* path) { copy_.Seal(Number(path)); }
  uint64_t FileOf(const char* path) { return Inode(path).backing_file; }
  media::BackingLedger& Ledger() {
    return copy_.Block<media::BackingLedger>(BackingLedger::kPage);
  }
  void SealLedger() { copy_.Seal(BackingLedger::kPage); }
  uint64_t& FreePlace() { return *std::ranges::find(Ledger().numbers, uint64_t{0}); }
  uint64_t& ListedPlace() {
    return *std::ranges::find_if(Ledger().numbers, [](uint64_t number) { return number != 0; });
  }
  void WriteHost(const std::string& name, std::string_view text) {
    std::ofstream(copy_.host().File(name)) << text;
  }
  bool HostHas(uint64_t number) { return std::filesystem::exists(copy_.host().File(number)); }
  // All repaired, and all but `sacrificed` as it was after a mount; one of the findings is `kind`.
  void ExpectMended(FindingKind kind, const std::vector<std::string>& sacrificed = {}) {
    const check::CheckReport report = copy_.ExpectRepairable(sacrificed);
    EXPECT_TRUE(Has(report, kind)) << Summary(report);
  }

  PoolCopy copy_{PoolKind::kDirectory};
};

TEST_F(CheckDirectoryPool, IsCleanAndCountsItsFiles) {
  EXPECT_EQ(Inode("leftovers").tree_height, 1);
  EXPECT_NE(Inode("db2").xattr_bytes, 0);
  const check::CheckReport report = copy_.Report();
  EXPECT_TRUE(report.clean()) << Summary(report);
  EXPECT_EQ(report.counts.backed_files, 3u);
  EXPECT_EQ(report.counts.orphans, 2u);
  const uint64_t stores = copy_.device().persist().counts().stores;
  EXPECT_TRUE(copy_.Repair().clean());
  EXPECT_EQ(copy_.device().persist().counts().stores, stores);
}

TEST_F(CheckDirectoryPool, LeftoversAreFreedByTheNextMount) {
  EXPECT_GT(Inode("leftovers").page_count, 60u);
  (void)copy_.ExpectRepairable({});
  PoolCopy again(PoolKind::kDirectory);
  const auto volume = again.OpenVolume();
  ASSERT_NE(volume, nullptr);
  const uint64_t before = volume->core().allocator->Count().free_pages;
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(volume->orphans().Recover(stop));
  EXPECT_GT(volume->core().allocator->Count().free_pages, before + 60);
  EXPECT_EQ(volume->core().reader.ReadInode(Number("leftovers"))->page_count, 0u);
}

TEST_F(CheckDirectoryPool, LeftoversWithoutTheirMark) {
  Inode("leftovers").flags &= ~uint32_t{media::kInodeOrphan};
  Seal("leftovers");
  media::GroupEntry& group = copy_.Group(GroupIndex(0));
  --group.orphans;
  copy_.Seal(GroupIndex(0));
  ExpectMended(FindingKind::kInodeOrphanFlag);
}

TEST_F(CheckDirectoryPool, LeftoversThatCanNotBe) {
  Inode("leftovers").body_bytes = 17;
  Seal("leftovers");
  Inode("db").size_bytes = 77;
  Inode("db").tree_height = 3;
  Seal("db");
  ExpectMended(FindingKind::kInodeField);
}

// All of them are dropped; the contents are the host's, and stay.
TEST_F(CheckDirectoryPool, LeftoversOfNothing) {
  Inode("db").body_bytes = 2 * media::kRecordSize;
  Inode("db").flags |= media::kInodeOrphan;
  Seal("db");
  media::GroupEntry& group = copy_.Group(GroupIndex(0));
  ++group.orphans;
  copy_.Seal(GroupIndex(0));
  ExpectMended(FindingKind::kExtent);
}

TEST_F(CheckDirectoryPool, LeftoversNeverTakeAPageFromAFile) {
  const LogicalPage node(copy_.Records(Number("leftovers"))[0].value);
  media::TreeNode& block = copy_.Block<media::TreeNode>(node);
  Extent extent = Extent::Decode(block.records[3]);
  extent.start = Extent::Decode(*copy_.Records(Number("small"))).start;
  block.records[3] = extent.Encode();
  copy_.Seal(node);
  ExpectMended(FindingKind::kPageShared);
}

TEST_F(CheckDirectoryPool, OtherFormsHaveNoBackingFile) {
  Inode("inline").backing_file = FileOf("db");
  Seal("inline");
  ExpectMended(FindingKind::kInodeField);
}

TEST_F(CheckDirectoryPool, ABackedInodeInADevicePoolIsNone) {
  PoolCopy device;
  const InodeNumber number = PopulatedPool::Get().Inode("empty");
  device.Inode(number).body_form = media::BodyForm::kBacked;
  device.Inode(number).backing_file = 5;
  device.Seal(number);
  EXPECT_TRUE(Has(device.ExpectRepairable({"empty"}), FindingKind::kInodeDamaged));
}

TEST_F(CheckDirectoryPool, FilesBesideADevicePoolAreRefused) {
  PoolCopy device;
  (void)device.Report();
  const auto directory =
      BackingDirectory::Open(copy_.host().path(), TestFormatOptions().uuid, /*read_only=*/true);
  ASSERT_TRUE(directory) << Describe(directory.error());
  check::CheckOptions options;
  options.directory = directory->get();
  EXPECT_EQ(check::Check(device.device(), options).error_code(), EINVAL);
}

// --- the ledger

TEST_F(CheckDirectoryPool, ALostLedgerIsWrittenAnew) {
  for (const int value : {0, 0xFF, 0x5A}) {
    PoolCopy copy(PoolKind::kDirectory);
    std::memset(copy.At(BackingLedger::kPage), value, kPageSize);
    const check::CheckReport report = copy.ExpectRepairable({});
    EXPECT_TRUE(Has(report, FindingKind::kLedger)) << Summary(report);
    // What it listed are spares without contents: listed again, and so they went with the mount.
    EXPECT_TRUE(Has(report, FindingKind::kBackingFileUnknown)) << Summary(report);
    EXPECT_FALSE(std::filesystem::exists(copy.host().File(1)));
  }
}

TEST_F(CheckDirectoryPool, NextNumberIsAboveAllThatIsInUse) {
  const uint64_t next = Ledger().next_number;
  for (const uint64_t wrong : {uint64_t{0}, uint64_t{1}, FileOf("db"), next - 1, ~uint64_t{0}}) {
    PoolCopy copy(PoolKind::kDirectory);
    copy.Block<media::BackingLedger>(BackingLedger::kPage).next_number = wrong;
    copy.Seal(BackingLedger::kPage);
    EXPECT_TRUE(Has(copy.Report(), FindingKind::kLedger)) << wrong;
    EXPECT_TRUE(copy.Repair().clean_now());
    EXPECT_TRUE(copy.Report().clean());
    const auto volume = copy.OpenVolume();
    ASSERT_NE(volume, nullptr);
    EXPECT_EQ(volume->core().backing->ledger().next_number(), next) << wrong;
  }
}

TEST_F(CheckDirectoryPool, AFileAboveNextNumberRaisesIt) {
  WriteHost("4711", "");
  ExpectMended(FindingKind::kLedger);
  EXPECT_FALSE(HostHas(4711)) << "it was empty, and listed";
}

TEST_F(CheckDirectoryPool, NumbersListedTwiceOrNeverHandedOut) {
  FreePlace() = ListedPlace();
  FreePlace() = ~uint64_t{0} - 5;
  SealLedger();
  ExpectMended(FindingKind::kLedger);
}

TEST_F(CheckDirectoryPool, WhatBelongsToAnInodeLeavesTheLedger) {
  const uint64_t file = FileOf("db");
  FreePlace() = file;
  SealLedger();
  ExpectMended(FindingKind::kLedger);
  EXPECT_TRUE(HostHas(file)) << "a mount came after the repair";
}

TEST_F(CheckDirectoryPool, TheLedgersPageIsNobodyElses) {
  media::Record* record = copy_.Records(Number("small"));
  Extent extent = Extent::Decode(*record);
  extent.start = BackingLedger::kPage;
  extent.pages = 1;
  *record = extent.Encode();
  Seal("small");
  ExpectMended(FindingKind::kPageShared, {"small"});
}

TEST_F(CheckDirectoryPool, TheLedgersPageIsAllocated) {
  copy_.At(LogicalPage(media::kAllocatedBitmapPage))[0] ^= std::byte{1 << media::kLedgerPage};
  ExpectMended(FindingKind::kPageUnallocated);
}

TEST_F(CheckDirectoryPool, ADevicePoolsPageThreeIsAPageLikeAnyOther) {
  PoolCopy device;
  EXPECT_NE(device.Block<media::BlockHeader>(BackingLedger::kPage).magic, media::kLedgerMagic);
  EXPECT_TRUE(device.Report().clean());
}

// --- inodes against each other

TEST_F(CheckDirectoryPool, OfTwoInodesTheFirstKeepsAFile) {
  const bool db_is_first = Number("db") < Number("db2");
  const char* loser = db_is_first ? "db2" : "db";
  const uint64_t lost = FileOf(loser);
  Inode(loser).backing_file = FileOf(db_is_first ? "db" : "db2");
  Seal(loser);
  ExpectMended(FindingKind::kBackingFileShared, {loser});
  EXPECT_TRUE(HostHas(lost)) << "nobody named it, but it has contents";
}

TEST_F(CheckDirectoryPool, WhoIsDeletedNeverKeepsALiveFile) {
  ASSERT_LT(Number("empty"), Number("db"));
  const uint64_t file = FileOf("db");
  media::Inode& first = Inode("empty");
  first.body_form = media::BodyForm::kBacked;
  first.backing_file = file;
  first.links = 0;
  first.flags |= media::kInodeOrphan;
  Seal("empty");
  ExpectMended(FindingKind::kBackingFileShared, {"empty"});
  EXPECT_TRUE(HostHas(file));
}

// --- the host's files

TEST_F(CheckDirectoryPool, AMissingFileLeavesAnEmptyOne) {
  ASSERT_TRUE(std::filesystem::remove(copy_.host().File(FileOf("db"))));
  ExpectMended(FindingKind::kBackingFileMissing, {"db"});
}

TEST_F(CheckDirectoryPool, AReportLeavesTheInodeOfAMissingFile) {
  const uint64_t file = FileOf("db");
  ASSERT_TRUE(std::filesystem::remove(copy_.host().File(file)));
  EXPECT_TRUE(Has(copy_.Report(), FindingKind::kBackingFileMissing));
  const auto volume = copy_.OpenVolume();
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->core().reader.ReadInode(Number("db"))->backing_file, file);
}

TEST_F(CheckDirectoryPool, WhatIsNoRegularFileIsNoBackingFile) {
  const std::string path = copy_.host().File(FileOf("db"));
  ASSERT_TRUE(std::filesystem::remove(path));
  std::filesystem::create_symlink("/etc/passwd", path);
  const check::CheckReport report = copy_.Repair();
  EXPECT_TRUE(Has(report, FindingKind::kBackingFileMissing)) << Summary(report);
  EXPECT_TRUE(report.clean_now()) << Summary(report);
  EXPECT_EQ(report.notices, 1u) << "it is told of";
  ASSERT_TRUE(std::filesystem::is_symlink(path)) << "and left alone";
  ASSERT_TRUE(std::filesystem::remove(path));
  const check::CheckReport after = copy_.Report();
  EXPECT_TRUE(after.clean()) << Summary(after);
}

TEST_F(CheckDirectoryPool, TheRegionAloneSaysNothingOfFiles) {
  ASSERT_TRUE(std::filesystem::remove(copy_.host().File(FileOf("db"))));
  WriteHost("99", "bytes");
  EXPECT_FALSE(copy_.Report().clean());
  const auto alone = check::Check(copy_.device(), {});
  ASSERT_TRUE(alone) << Describe(alone.error());
  EXPECT_TRUE(alone->clean()) << Summary(*alone);
}

TEST_F(CheckDirectoryPool, AFileThatNobodyNamesIsSaved) {
  const std::string text = "what somebody wrote";
  WriteHost("99", text);
  const check::CheckReport report = copy_.Report();
  EXPECT_TRUE(Has(report, FindingKind::kBackingFileUnknown)) << Summary(report);
  EXPECT_TRUE(copy_.Repair().clean_now());
  EXPECT_TRUE(copy_.Report().clean());
  const auto volume = copy_.OpenVolume();
  ASSERT_NE(volume, nullptr);
  ASSERT_TRUE(volume->core().backing->Upkeep());
  const auto folder = volume->names().Lookup(Volume::kRoot, "lost+found");
  ASSERT_TRUE(folder) << Describe(folder.error());
  const auto entries = volume->names().ReadDirectory(folder->inode, 2, 10);
  ASSERT_TRUE(entries && entries->size() == 1);
  const InodeNumber saved = entries->front().inode;
  EXPECT_EQ(entries->front().name, fmt::format("#{}", saved.value));
  const auto inode = volume->core().reader.ReadInode(saved);
  ASSERT_TRUE(inode) << Describe(inode.error());
  EXPECT_EQ(inode->mode, uint32_t{S_IFREG | 0600});
  EXPECT_EQ(inode->uid, 0u);
  EXPECT_EQ(inode->backing_file, 99u);
  std::string got(100, '\0');
  const auto size = volume->data().ReadInto(saved, 0, std::as_writable_bytes(std::span(got)));
  ASSERT_TRUE(size) << Describe(size.error());
  EXPECT_EQ(got.substr(0, *size), text);
}

TEST_F(CheckDirectoryPool, ADamagedInodesContentsAreSaved) {
  const uint64_t file = FileOf("db");
  Inode("db").magic ^= 1;
  ExpectMended(FindingKind::kInodeDamaged, {"db"});
  EXPECT_EQ(std::filesystem::file_size(copy_.host().File(file)), 10000u);
}

// Its blocks vouch for an inode, but not for the number, which might be of somebody else's file.
TEST_F(CheckDirectoryPool, NothingVouchesForANumber) {
  WriteHost("99", "somebody else's");
  Inode("leftovers").backing_file = 99;
  const check::CheckReport report = copy_.Repair();
  EXPECT_TRUE(report.clean_now());
  EXPECT_TRUE(Has(report, FindingKind::kInodeDamaged)) << Summary(report);
  EXPECT_TRUE(copy_.Report().clean());
  const auto volume = copy_.OpenVolume();
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->names().Lookup(Volume::kRoot, "leftovers").error_code(), ENOENT);
}

TEST_F(CheckDirectoryPool, EmptyFilesGoAtOnceWhereTheLedgerIsFull) {
  media::BackingLedger& ledger = Ledger();
  uint64_t number = 1000;
  for (uint64_t& place : ledger.numbers) {
    if (place == 0) place = number++;
  }
  ledger.next_number = number;
  SealLedger();
  WriteHost("500", "");
  WriteHost("501", "bytes");
  ExpectMended(FindingKind::kBackingFileUnknown);
  EXPECT_FALSE(HostHas(500));
  EXPECT_TRUE(HostHas(501));
}

TEST_F(CheckDirectoryPool, StrangeNamesAreToldOfAndLeftAlone) {
  WriteHost("README", "mine");
  WriteHost("007", "");
  WriteHost("18446744073709551615", "x");
  Inode("linked").links = 5;
  Seal("linked");
  EXPECT_EQ(copy_.Report().notices, 3u);
  const check::CheckReport report = copy_.Repair();
  EXPECT_TRUE(report.clean_now()) << Summary(report);
  EXPECT_EQ(report.notices, 3u) << Summary(report);
  for (const check::Finding& finding : report.findings) {
    EXPECT_EQ(finding.repaired, finding.kind != FindingKind::kBackingName) << finding.text;
  }
  for (const char* name : {"README", "007", "18446744073709551615"}) {
    EXPECT_TRUE(std::filesystem::exists(copy_.host().File(name))) << name;
  }
}

// What can't be one of the pool's files is no fault.
TEST_F(CheckDirectoryPool, StrangersAloneAreNoFault) {
  WriteHost("README", "mine");
  std::filesystem::create_directory(copy_.host().File(4000));
  WriteHost(std::to_string(media::kMaxBackingNumber), "beyond the bound");
  WriteHost(std::to_string(media::kMaxBackingNumber - 1), "far from all that was handed out");
  WriteHost(std::to_string(uint64_t{1} << 62), "");
  const uint64_t next = Ledger().next_number;
  for (const bool repairs : {false, true, false}) {
    const check::CheckReport report = repairs ? copy_.Repair() : copy_.Report();
    EXPECT_TRUE(report.clean()) << Summary(report);
    EXPECT_TRUE(report.clean_now());
    EXPECT_EQ(report.notices, 5u) << Summary(report);
  }
  const auto volume = copy_.OpenVolume();
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->core().backing->ledger().next_number(), next);
  EXPECT_TRUE(std::filesystem::is_directory(copy_.host().File(4000)));
}

TEST_F(CheckDirectoryPool, AListedNumberFarAboveAllOthersIsNone) {
  FreePlace() = media::kMaxBackingNumber - 3;
  SealLedger();
  const check::CheckReport report = copy_.Repair();
  EXPECT_TRUE(Has(report, FindingKind::kLedger)) << Summary(report);
  EXPECT_TRUE(report.clean_now());
  EXPECT_TRUE(copy_.Report().clean());
  const auto volume = copy_.OpenVolume();
  ASSERT_NE(volume, nullptr);
  EXPECT_LT(volume->core().backing->ledger().next_number(), 1000u);
}

// --- backing/ itself

class CheckLostBacking : public CheckDirectoryPool {
 protected:
  Result<check::OpenedBacking> Open(check::CheckMode mode, bool adopt = false) {
    check::CheckOptions options;
    options.mode = mode;
    options.adopt_backing = adopt;
    const PoolPath pool{copy_.host().path() + "/region", copy_.host().path()};
    media::Superblock superblock{};
    superblock.uuid = TestFormatOptions().uuid;
    superblock.features_incompatible = media::kFeatureDirectoryPool;
    return check::OpenBackingForCheck(pool, superblock, options);
  }
  check::CheckReport Check(check::CheckMode mode, BackingDirectory* directory, bool empties) {
    check::CheckOptions options;
    options.mode = mode;
    options.directory = directory;
    options.empty_missing_files = empties;
    (void)copy_.Report();
    auto report = check::Check(copy_.device(), options);
    EXPECT_TRUE(report) << Describe(report.error());
    return report ? std::move(*report) : check::CheckReport();
  }
  Result<std::unique_ptr<BackingDirectory>> Mounted() {
    return BackingDirectory::Open(copy_.host().path(), TestFormatOptions().uuid, false);
  }
  void ExpectMadeAnew(BackingDirectory::Mark mark, bool adopt = false) {
    const media::Uuid uuid = TestFormatOptions().uuid;
    ASSERT_EQ(*BackingDirectory::ReadMark(copy_.host().path(), uuid), mark);
    const auto repair = Open(check::CheckMode::kRepair, adopt);
    ASSERT_TRUE(repair) << Describe(repair.error());
    ASSERT_NE(repair->directory, nullptr);
    ASSERT_EQ(repair->findings.size(), 1u);
    EXPECT_EQ(repair->findings[0].kind, FindingKind::kBackingDirectory);
    EXPECT_TRUE(repair->findings[0].repaired);
    EXPECT_EQ(*BackingDirectory::ReadMark(copy_.host().path(), uuid),
              BackingDirectory::Mark::kOurs);
    EXPECT_TRUE(Open(check::CheckMode::kReport)->findings.empty());
  }
};

TEST_F(CheckLostBacking, AMissingDirectoryIsMadeAnewAndItsFilesStayMissing) {
  const uint64_t file = FileOf("db");
  std::filesystem::remove_all(copy_.host().File(""));
  EXPECT_EQ(Mounted().error_code(), ENOENT);
  const auto report = Open(check::CheckMode::kReport);
  ASSERT_TRUE(report) << Describe(report.error());
  EXPECT_EQ(report->findings.size(), 1u);
  EXPECT_EQ(report->directory, nullptr);
  ExpectMadeAnew(BackingDirectory::Mark::kNoDirectory);

  auto directory = Mounted();
  ASSERT_TRUE(directory) << Describe(directory.error());
  const auto repaired = Check(check::CheckMode::kRepair, directory->get(), /*empties=*/false);
  EXPECT_TRUE(Has(repaired, FindingKind::kBackingFileMissing)) << Summary(repaired);
  EXPECT_EQ(repaired.remaining, 3u) << Summary(repaired);
  for (const check::Finding& finding : repaired.findings) {
    EXPECT_EQ(finding.repaired, finding.kind != FindingKind::kBackingFileMissing) << finding.text;
  }
  // What comes back is what it was.
  WriteHost(std::to_string(file), "from a copy");
  const auto volume = copy_.OpenVolume();
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->core().reader.ReadInode(Number("db"))->backing_file, file);
  std::byte byte{};
  EXPECT_EQ(volume->data().ReadInto(Number("db2"), 0, std::span(&byte, 1)).error_code(), EIO);
  EXPECT_EQ(*volume->data().ReadInto(Number("db"), 0, std::span(&byte, 1)), 1u);
}

TEST_F(CheckLostBacking, EmptiedOnlyWhenTold) {
  std::filesystem::remove(copy_.host().File(FileOf("db")));
  auto directory = Mounted();
  ASSERT_TRUE(directory);
  EXPECT_EQ(Check(check::CheckMode::kRepair, directory->get(), false).remaining, 1u);
  EXPECT_TRUE(Check(check::CheckMode::kRepair, directory->get(), true).clean_now());
  EXPECT_TRUE(Check(check::CheckMode::kReport, directory->get(), false).clean());
}

TEST_F(CheckLostBacking, AMissingOrTornMarkIsWrittenAnew) {
  const std::string ours = FormatUuid(TestFormatOptions().uuid);
  for (const size_t length : {size_t{0}, size_t{9}, size_t{35}}) {
    WriteHost("uuid", ours.substr(0, length));
    EXPECT_EQ(Mounted().error_code(), EUCLEAN);
    ExpectMadeAnew(BackingDirectory::Mark::kNone);
  }
  std::filesystem::remove(copy_.host().File("uuid"));
  EXPECT_NE(Mounted().error().context.find("ingot fsck -y"), std::string::npos);
  ExpectMadeAnew(BackingDirectory::Mark::kNone);
  EXPECT_TRUE(copy_.Report().clean());
}

// Somebody meant something by it; it is replaced, never written through.
TEST_F(CheckLostBacking, WhateverElseItIsWasSomebodys) {
  const std::string mark = copy_.host().File("uuid");
  const std::string target = copy_.host().File("../target");
  std::ofstream(target) << "precious";
  for (const char* text : {"d94b7b4e-0b6c", "somebody's notes, 36 bytes and more of them"}) {
    WriteHost("uuid", text);
    EXPECT_EQ(Open(check::CheckMode::kRepair).error_code(), EUCLEAN) << text;
    ExpectMadeAnew(BackingDirectory::Mark::kForeign, /*adopt=*/true);
  }
  for (const bool is_link : {true, false}) {
    std::filesystem::remove(mark);
    if (is_link) {
      std::filesystem::create_symlink(target, mark);
    } else {
      ASSERT_EQ(mkfifo(mark.c_str(), 0600), 0);
    }
    EXPECT_EQ(Mounted().error_code(), EUCLEAN);
    EXPECT_EQ(Open(check::CheckMode::kRepair).error_code(), EUCLEAN);
    ExpectMadeAnew(BackingDirectory::Mark::kForeign, /*adopt=*/true);
  }
  std::string kept;
  std::getline(std::ifstream(target), kept);
  EXPECT_EQ(kept, "precious");
  std::filesystem::remove(target);
}

TEST_F(CheckLostBacking, AnotherPoolsFilesAreRefusedUnlessTold) {
  const std::string other = "d94b7b4e-0b6c-4d1c-9d3e-2f6a1c5b8e70\n";
  WriteHost("uuid", other);
  for (const check::CheckMode mode : {check::CheckMode::kReport, check::CheckMode::kRepair}) {
    const auto refused = Open(mode);
    ASSERT_EQ(refused.error_code(), EUCLEAN);
    EXPECT_NE(refused.error().context.find("--adopt-backing"), std::string::npos);
    std::string text;
    std::getline(std::ifstream(copy_.host().File("uuid")), text);
    EXPECT_EQ(text + "\n", other) << "left alone";
  }
  EXPECT_EQ(Open(check::CheckMode::kReport, /*adopt=*/true).error_code(), EUCLEAN);
  ExpectMadeAnew(BackingDirectory::Mark::kForeign, /*adopt=*/true);
  EXPECT_TRUE(copy_.Report().clean());
}

// --- repairs cut short

// Region and host as they are at one fence.
class SnapshotAtFence : public PersistObserver {
 public:
  SnapshotAtFence(Device& device, const HostDirectory& host, uint64_t fence)
      : device_(device), live_host_(host), fence_(fence) {
    device_.persist().set_observer(this);
  }
  ~SnapshotAtFence() override { device_.persist().set_observer(nullptr); }
  void OnStore(MediaOffset, std::span<const std::byte>, StoreKind) override {}
  void OnFlush(MediaOffset, uint64_t, PersistSite) override {}
  void OnFence(PersistSite) override {
    if (++seen_ != fence_) return;
    const Mapping& mapping = device_.mapping();
    bytes_.assign(mapping.base(), mapping.base() + mapping.size_bytes());
    host_ = std::make_unique<HostDirectory>(live_host_.path());
  }
  [[nodiscard]] bool was_taken() const { return host_ != nullptr; }
  [[nodiscard]] std::unique_ptr<PoolCopy> Restore() const {
    auto copy = std::make_unique<PoolCopy>(PoolKind::kDirectory, host_->path());
    for (size_t at = 0; at < bytes_.size(); at += kPageSize) {
      std::byte* to = copy->At(MediaOffset(at));
      if (std::memcmp(to, bytes_.data() + at, kPageSize) != 0) {
        std::memcpy(to, bytes_.data() + at, kPageSize);
      }
    }
    return copy;
  }

 private:
  Device& device_;
  const HostDirectory& live_host_;
  const uint64_t fence_;
  uint64_t seen_ = 0;
  std::vector<std::byte> bytes_;
  std::unique_ptr<HostDirectory> host_;
};

// Whatever a mount after it deletes, it is no file with contents.
void ExpectMountKeepsContents(PoolCopy& copy) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(copy.host().File(""))) {
    if (entry.is_regular_file() && entry.file_size() != 0) files.push_back(entry.path());
  }
  EXPECT_EQ(files.size(), 5u) << "three of inodes, one of nobody, the mark";
  auto device = Device::Open(copy.TakeMapping(), {});
  ASSERT_TRUE(device) << Describe(device.error());
  auto directory = BackingDirectory::Open(copy.host().path(), (*device)->superblock().uuid, false);
  ASSERT_TRUE(directory) << Describe(directory.error());
  auto volume = Volume::Open(std::move(*device), {}, std::move(*directory));
  if (!volume) return;  // the ledger is still damaged
  const std::atomic<bool> stop{false};
  ASSERT_TRUE((*volume)->orphans().Recover(stop));
  ASSERT_TRUE((*volume)->core().backing->Upkeep());
  for (const std::string& path : files) EXPECT_TRUE(std::filesystem::exists(path)) << path;
}

TEST_F(CheckDirectoryPool, ACrashInARepairCostsNoFile) {
  const uint64_t shared = FileOf("db2");
  for (uint64_t fence = 1;; ++fence) {
    SCOPED_TRACE(fmt::format("crash at fence {}", fence));
    PoolCopy first(PoolKind::kDirectory);
    first.Inode(Number("db")).magic ^= 1;
    first.Inode(Number("empty")).body_form = media::BodyForm::kBacked;
    first.Inode(Number("empty")).backing_file = shared;
    first.Seal(Number("empty"));
    std::memset(first.At(BackingLedger::kPage), 0x11, kPageSize);
    std::ofstream(first.host().File(77)) << "unknown";
    std::ofstream(first.host().File(78));
    EXPECT_FALSE(first.Report().clean());
    SnapshotAtFence snapshot(first.device(), first.host(), fence);
    EXPECT_TRUE(first.Repair().clean_now());
    if (!snapshot.was_taken()) {
      EXPECT_GT(fence, 10u);
      break;
    }
    ExpectMountKeepsContents(*snapshot.Restore());
    snapshot.Restore()->ExpectRepairable({"db", "db2", "empty"});
    if (HasFailure()) break;
  }
}

// What changes inodes, ledger and host together, cut at each fence: no state of it is a fault, with
// the journal's transactions pending or done.
void ChangeEverything(Volume& volume) {
  BackingFiles& backing = *volume.core().backing;
  ASSERT_TRUE(volume.data().MakeDirect(Pool().Inode("huge")));
  NewNode node;
  node.mode = S_IFREG | 0600;
  node.likely_mapped = true;
  const auto made = volume.names().Create(Volume::kRoot, "made", node, Caller{});
  ASSERT_TRUE(made && made->is_backed);
  const std::vector<std::byte> bytes(3 * kPageSize, std::byte{1});
  ASSERT_TRUE(volume.data().Write(made->inode, 0, bytes, {}));
  volume.names().Forget(made->inode, 1);
  ASSERT_TRUE(volume.names().Unlink(Volume::kRoot, "made"));
  ASSERT_TRUE(volume.names().Unlink(Volume::kRoot, "db2"));
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(volume.orphans().Recover(stop));
  ASSERT_TRUE(backing.Upkeep());
}

TEST_F(CheckDirectoryPool, NoCrashOfTheCoreIsAFault) {
  uint64_t pending = 0;
  for (uint64_t fence = 1;; ++fence) {
    SCOPED_TRACE(fmt::format("crash at fence {}", fence));
    PoolCopy first(PoolKind::kDirectory);
    const auto volume = first.OpenVolume();
    ASSERT_NE(volume, nullptr);
    SnapshotAtFence snapshot(volume->device(), first.host(), fence);
    ChangeEverything(*volume);
    if (!snapshot.was_taken()) {
      EXPECT_GT(fence, 20u);
      break;
    }
    for (const bool repairs : {false, true}) {
      const std::unique_ptr<PoolCopy> copy = snapshot.Restore();
      const check::CheckReport report = repairs ? copy->Repair() : copy->Report();
      EXPECT_TRUE(report.clean()) << Summary(report);
      pending += report.needs_recovery ? 1 : 0;
    }
    const std::unique_ptr<PoolCopy> copy = snapshot.Restore();
    (void)copy->Repair();
    const auto again = copy->OpenVolume();
    ASSERT_NE(again, nullptr);
    const std::atomic<bool> stop{false};
    EXPECT_TRUE(again->orphans().Recover(stop));
    EXPECT_TRUE(again->core().backing->Upkeep());
    const Manifest manifest = ReadManifest(*again);
    for (const char* path : {"db", "leftovers", "huge"}) {
      EXPECT_EQ(manifest.at(path), Pool().manifest().at(path)) << path;
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(pending, 5u) << "journal records that were to be replayed first";
}

}  // namespace
}  // namespace ingot::tests
