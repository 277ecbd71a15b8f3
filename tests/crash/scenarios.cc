// SPDX-License-Identifier: BSD-3-Clause
// The list, and how images of each are judged.
#include "tests/crash/scenarios.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include "fs/admin/restore_superblocks.h"
#include "fs/check/check.h"
#include "fs/check/repair_writer.h"
#include "pmemdev/base/check.h"
#include "tests/crash/image_check.h"
#include "tests/crash/operations.h"
#include "tests/crash/tree_snapshot.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

MappingOptions PrivateMapping() {
  MappingOptions options;
  options.private_copy = true;
  options.reserve_bytes = 0;
  return options;
}

Result<std::unique_ptr<Mapping>> MapPrivately(const CrashPool& pool) {
  return Mapping::FromDescriptor(pool.Duplicate(), PrivateMapping());
}

// Bytes of a pool's file are changed before a scenario begins.
void Patch(int fd, MediaOffset at, std::span<const std::byte> bytes) {
  const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at.value));
  CHECK(put == static_cast<ssize_t>(bytes.size()), "errno {}", errno);
}

void DamageSuperblock(int fd, uint32_t copy) {
  struct stat status;
  CHECK(fstat(fd, &status) == 0, "errno {}", errno);
  const std::array<std::byte, 64> noise{std::byte{0xA5}};
  Patch(fd, Geometry::SuperblockCopy(copy, static_cast<uint64_t>(status.st_size)), noise);
}

std::string TreeDigest(Volume& volume) {
  const Result<TreeSnapshot> tree = SnapshotOf(volume);
  return tree ? fmt::format("{:x}", DigestOf(*tree)) : Describe(tree.error());
}

// The pool is whole and holds what it held.
std::string JudgeWholePool(std::unique_ptr<Mapping> mapping, const std::string& expected) {
  auto device = Device::Open(std::move(mapping), {});
  if (!device) return "opening: " + Describe(device.error());
  if (std::string words = FsckFindings(**device); !words.empty()) return words;
  auto volume = Volume::Open(std::move(*device), {});
  if (!volume) return "volume: " + Describe(volume.error());
  const std::string digest = TreeDigest(**volume);
  return digest == expected ? "" : "another tree: " + digest;
}

std::string DigestOfBase(int fd) {
  auto mapping = Mapping::FromDescriptor(DuplicateOf(fd), PrivateMapping());
  CHECK(mapping.has_value(), "{}", Describe(mapping.error()));
  auto device = Device::Open(std::move(*mapping), {});
  CHECK(device.has_value(), "{}", Describe(device.error()));
  auto volume = Volume::Open(std::move(*device), {});
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  return TreeDigest(**volume);
}

constexpr std::array kMadeAfterMkfs{"x0", "x1", "x2"};

// The first transactions of a pool, in the lanes of the old one's last.
Result<void> UseNewPool(std::unique_ptr<Device> device) {
  const std::unique_ptr<Volume> volume = TRY(Volume::Open(std::move(device), {}));
  for (const char* name : kMadeAfterMkfs) {
    NewNode node;
    node.mode = S_IFREG | 0600;
    TRY(volume->names().Create(Volume::kRoot, name, node, Caller{}));
  }
  return {};
}

// "" if it has the root that mkfs made, and of the names what was made first.
std::string JudgeNewPool(Volume& volume, size_t wanted_names) {
  const Result<TreeSnapshot> tree = SnapshotOf(volume);
  if (!tree) return "the new pool: " + Describe(tree.error());
  if (tree->at("/").attributes.uid != 7) return "the new root isn't as it was made";
  const size_t names = tree->size() - 1;
  if (names < wanted_names) return fmt::format("{} of {} names", names, wanted_names);
  for (size_t i = 0; i < names; ++i) {
    const bool is_known = i < kMadeAfterMkfs.size();
    if (!is_known || !tree->contains(fmt::format("/{}", kMadeAfterMkfs[i]))) return "other names";
  }
  return "";
}

// Between the old superblocks' end and the new ones: who makes them anew all the same is refused,
// or told by fsck, or has one of the two pools whole.
std::string JudgeUnfinishedMkfs(std::unique_ptr<Mapping> mapping, const std::string& old_digest) {
  if (!admin::RestoreSuperblocks(*mapping)) return "";
  auto device = Device::Open(std::move(mapping), {});
  if (!device) return "";
  auto volume = Volume::Open(std::move(*device), {});
  if (!volume) return "";
  if (!FsckFindings((*volume)->device()).empty()) return "";
  return TreeDigest(**volume) == old_digest ? "" : JudgeNewPool(**volume, 0);
}

// mkfs: no pool, the old one as it was, or the finished new one. With the old one's UUID nothing
// but the order of stores tells the new tables and lanes from the old.
Scenario MakeMkfs(std::string name, int base, const std::string& old_digest, bool same_uuid) {
  Scenario scenario;
  scenario.name = std::move(name);
  scenario.base = base;
  scenario.run = [same_uuid](std::unique_ptr<Mapping> mapping) -> Result<void> {
    DeviceFormatOptions options = TestFormatOptions();
    options.label = "new";
    options.hash_seed += 1;  // as chance would have it
    options.created_seconds += 1;
    if (!same_uuid) options.uuid[0] = 0x77;
    std::unique_ptr<Device> device =
        TRY(Device::Create(std::move(mapping), options, [](Device& made) {
          return Volume::Format(made, Caller{.uid = 7, .gid = 7});
        }));
    return same_uuid ? UseNewPool(std::move(device)) : Result<void>();
  };
  scenario.judge = [old_digest, same_uuid](const CrashPool& pool, bool finished) -> std::string {
    auto mapping = MapPrivately(pool);
    if (!mapping) return "mapping: " + Describe(mapping.error());
    if (!ReadSuperblocks(**mapping)) {
      return finished ? "no superblock" : JudgeUnfinishedMkfs(std::move(*mapping), old_digest);
    }
    auto device = Device::Open(std::move(*mapping), {});
    if (!device) return "superblocks before their pool: " + Describe(device.error());
    const bool is_new = std::string((*device)->superblock().label.data()) == "new";
    if (std::string words = FsckFindings(**device); !words.empty()) return words;
    auto volume = Volume::Open(std::move(*device), {});
    if (!volume) return "a pool without a volume: " + Describe(volume.error());
    if (!is_new) return TreeDigest(**volume) == old_digest ? "" : "the old pool, changed";
    return JudgeNewPool(**volume, finished && same_uuid ? kMadeAfterMkfs.size() : 0);
  };
  return scenario;
}

// What opening or fsck does about superblocks: done again after the crash, all is there.
Scenario MakeRestore(std::string name, int base, bool recreate) {
  Scenario scenario;
  scenario.name = std::move(name);
  scenario.base = base;
  const std::string digest = [base] {
    const int whole = CopyOfPool(base);
    auto mapping = Mapping::FromDescriptor(whole, TestMappingOptions());
    CHECK(mapping.has_value() && admin::RestoreSuperblocks(**mapping).has_value(), "restore");
    return DigestOfBase((*mapping)->fd());
  }();
  scenario.run = [recreate](std::unique_ptr<Mapping> mapping) -> Result<void> {
    if (!recreate) {
      TRY(Device::Open(std::move(mapping), {}));
      return {};
    }
    TRY(admin::RestoreSuperblocks(*mapping));
    return {};
  };
  scenario.judge = [digest](const CrashPool& pool, bool finished) -> std::string {
    auto mapping = MapPrivately(pool);
    if (!mapping) return "mapping: " + Describe(mapping.error());
    if (!finished) {
      if (auto again = admin::RestoreSuperblocks(**mapping); !again) {
        return "restoring again: " + Describe(again.error());
      }
    }
    const Result<SuperblockScan> scan = ReadSuperblocks(**mapping);
    if (!scan) return "superblocks: " + Describe(scan.error());
    if (!std::ranges::all_of(scan->same, [](bool same) { return same; })) {
      return "a copy isn't as it was made";
    }
    return JudgeWholePool(std::move(*mapping), digest);
  };
  return scenario;
}

// Names, kinds, links and contents; a repair's own times differ.
std::string WordsOfTree(Volume& volume) {
  const Result<TreeSnapshot> tree = SnapshotOf(volume);
  if (!tree) return Describe(tree.error());
  std::string words;
  for (const auto& [path, state] : *tree) {
    words += fmt::format("{} {:o} {} {:x} {:x}\n", path, state.attributes.mode,
                         state.attributes.links, state.contents_hash, state.xattrs_hash);
  }
  return words;
}

// The tree behind a repair of what is mapped; "!" and the reason if there is none.
std::string RepairedTree(std::unique_ptr<Mapping> mapping, uint64_t& found) {
  check::CheckOptions repair;
  repair.mode = check::CheckMode::kRepair;
  auto opened = check::OpenForCheck(std::move(mapping), repair);
  if (!opened) return "! opening: " + Describe(opened.error());
  const auto report = check::Check(*opened->device, repair);
  if (!report) return "! repairing: " + Describe(report.error());
  if (!report->clean_now()) return fmt::format("! {} faults remain", report->remaining);
  found = report->found;
  auto volume = Volume::Open(std::move(opened->device), {});
  return volume ? WordsOfTree(**volume) : "! volume: " + Describe(volume.error());
}

// fsck's repairs: run again after the crash, the tree is the one that it would have made.
Scenario MakeRepair(int base) {
  Scenario scenario;
  scenario.name = "fsck repair";
  scenario.base = base;
  scenario.run = [](std::unique_ptr<Mapping> mapping) -> Result<void> {
    uint64_t found = 0;
    const std::string tree = RepairedTree(std::move(mapping), found);
    CHECK(found > 3 && !tree.starts_with('!'), "{} found: {}", found, tree);
    return {};
  };
  auto mapping = Mapping::FromDescriptor(DuplicateOf(base), PrivateMapping());
  CHECK(mapping.has_value(), "{}", Describe(mapping.error()));
  uint64_t unused = 0;
  const std::string expected = RepairedTree(std::move(*mapping), unused);
  scenario.judge = [expected](const CrashPool& pool, bool finished) -> std::string {
    auto image = MapPrivately(pool);
    if (!image) return "mapping: " + Describe(image.error());
    uint64_t found = 0;
    const std::string tree = RepairedTree(std::move(*image), found);
    if (finished && found != 0) return "repaired, but not clean";
    return tree == expected ? "" : "another tree: " + tree;
  };
  return scenario;
}

// A pool whose journal holds one transaction, a chmod of /a, none of whose words were stored yet.
int WithValidLane(int base) {
  auto volume = OpenPool(CopyOfPool(base));
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  CopyWhenValid copier((*volume)->device());
  const std::string answer =
      VolumeSubject(**volume).Run({.kind = Kind::kChmod, .path = "/a", .mode = 0711});
  CHECK(answer == "ok" && copier.image >= 0, "{}", answer);
  return copier.image;
}

// What one thread's recovery replayed is over when another thread goes on.
Scenario MakeRecoveryAndUse(int base) {
  Scenario scenario;
  scenario.name = "recovery, then another thread";
  scenario.base = base;
  scenario.run = [](std::unique_ptr<Mapping> mapping) -> Result<void> {
    std::unique_ptr<Device> device = TRY(Device::Open(std::move(mapping), {}));
    const std::unique_ptr<Volume> volume = TRY(Volume::Open(std::move(device), {}));
    // Not in the lane that was replayed, which its record would take over.
    const Lane held = volume->device().journal().Lease();
    std::string answer;
    std::thread([&] {
      answer = VolumeSubject(*volume).Run({.kind = Kind::kChmod, .path = "/a", .mode = 0750});
    }).join();
    CHECK(answer == "ok", "{}", answer);
    return {};
  };
  scenario.judge = [](const CrashPool& pool, bool finished) -> std::string {
    auto mapping = MapPrivately(pool);
    if (!mapping) return "mapping: " + Describe(mapping.error());
    auto device = Device::Open(std::move(*mapping), {});
    if (!device) return "opening: " + Describe(device.error());
    if (std::string words = FsckFindings(**device); !words.empty()) return words;
    auto volume = Volume::Open(std::move(*device), {});
    if (!volume) return "volume: " + Describe(volume.error());
    const std::string stat = VolumeSubject(**volume).Run({.kind = Kind::kStat, .path = "/a"});
    const bool is_last = stat.starts_with("ok dir 750 ");
    return is_last || (!finished && stat.starts_with("ok dir 711 ")) ? "" : "/a: " + stat;
  };
  return scenario;
}

// An unreadable page is made readable before anything is stored to it.
Scenario MakeZeroing(int base) {
  Scenario scenario;
  scenario.name = "zeroing a page";
  scenario.base = base;
  const LogicalPage page(40);
  scenario.run = [page](std::unique_ptr<Mapping> mapping) -> Result<void> {
    const std::unique_ptr<Device> device = TRY(Device::Open(std::move(mapping), {}));
    return check::RepairWriter(*device).ZeroPage(page);
  };
  scenario.judge = [page](const CrashPool& pool, bool finished) -> std::string {
    if (!finished) return "";
    std::array<std::byte, kPageSize> bytes;
    const int fd = pool.Duplicate();
    const auto at = static_cast<off_t>(Geometry::ToMedia(page).value);
    CHECK(pread(fd, bytes.data(), bytes.size(), at) == kPageSize, "errno {}", errno);
    close(fd);
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    return std::all_of(bytes.begin(), bytes.end(), is_zero) ? "" : "not zero when it returned";
  };
  return scenario;
}

// Three inodes and a bitmap are wrong in ways that fsck mends by storing.
void Damage(int fd) {
  const auto inode_at = [](uint64_t number) {
    return Geometry::ToMedia(AddressOf(InodeNumber(number)));
  };
  for (const uint64_t number : {uint64_t{6}, uint64_t{7}}) {
    media::Inode inode;
    const auto at = static_cast<off_t>(inode_at(number).value);
    CHECK(pread(fd, &inode, sizeof(inode), at) == sizeof(inode), "errno {}", errno);
    inode.links = 9;
    SealInode(inode);
    Patch(fd, inode_at(number), BytesOf(inode));
  }
  const std::array<std::byte, 1> bit{std::byte{0x40}};
  Patch(fd, Geometry::ToMedia(LogicalPage(media::kAllocatedBitmapPage)) + 100, bit);
  Patch(fd, inode_at(5) + 8, bit);
}

}  // namespace

std::vector<Scenario> MakeScenarios(bool page_granular) {
  PoolOptions options;
  options.mapping.force_page_granularity = page_granular;
  const int small = MakeBase(Base::kSmall, options);
  const std::string digest = DigestOfBase(small);
  std::vector<Scenario> scenarios;
  scenarios.push_back(MakeMkfs("mkfs on nothing", MemoryFile(uint64_t{16} << 20), "", false));
  scenarios.push_back(MakeMkfs("mkfs over a pool", CopyOfPool(small), digest, false));
  const int unrecovered = WithValidLane(small);
  scenarios.push_back(
      MakeMkfs("mkfs with the old UUID", unrecovered, DigestOfBase(unrecovered), true));
  // The group table has a second page, which nothing but mkfs has written.
  scenarios.push_back(
      MakeMkfs("mkfs of 66 groups", MemoryFile(66 * media::kGroupSize + 5 * kHugePageSize), "",
               false));
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    const int damaged = CopyOfPool(small);
    DamageSuperblock(damaged, copy);
    scenarios.push_back(MakeRestore(fmt::format("superblock {} put back", copy), damaged, false));
  }
  const int lost = CopyOfPool(small);
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) DamageSuperblock(lost, copy);
  scenarios.push_back(MakeRestore("superblocks made again", lost, true));
  const int damaged = CopyOfPool(small);
  Damage(damaged);
  scenarios.push_back(MakeRepair(damaged));
  scenarios.push_back(MakeRecoveryAndUse(WithValidLane(small)));
  const int marked = CopyOfPool(small);
  const std::vector<std::byte> ones(kPageSize, std::byte{1});
  Patch(marked, Geometry::ToMedia(LogicalPage(40)), ones);
  scenarios.push_back(MakeZeroing(marked));
  close(small);
  return scenarios;
}

ScenarioRecording Record(const Scenario& scenario, bool page_granular) {
  const FixedChance fixed(true);
  TraceRecorder recorder;
  MappingOptions options = TestMappingOptions();
  options.force_page_granularity = page_granular;
  options.observer = &recorder;
  auto mapping = Mapping::FromDescriptor(CopyOfPool(scenario.base), options);
  CHECK(mapping.has_value(), "{}", Describe(mapping.error()));
  const Result<void> done = scenario.run(std::move(*mapping));
  CHECK(done.has_value(), "{}: {}", scenario.name, Describe(done.error()));
  recorder.Mark(1);
  return {&scenario, recorder.trace(), std::make_unique<CrashPool>(scenario.base)};
}

std::string Crash(ScenarioRecording& recording, const CrashPlan& plan, uint64_t& images) {
  std::string violation;
  absl::flat_hash_set<uint64_t> seen;
  CrashPool& pool = *recording.pool;
  (void)ForEachImage(recording.trace, plan, pool,
                     [&](const CrashPoint& point, const std::vector<WordStore>&, uint64_t hash) {
                       if (!seen.insert(hash + point.marks).second) return true;
                       ++images;
                       violation = recording.scenario->judge(pool, point.marks == 1);
                       return violation.empty();
                     });
  return violation;
}

}  // namespace ingot::tests
