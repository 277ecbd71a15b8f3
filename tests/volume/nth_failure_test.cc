// SPDX-License-Identifier: BSD-3-Clause
// Space or memory runs out at the n-th claim or allocation of an operation, for every n until it
// passes. It fails with ENOSPC or ENOMEM, or finds another way, or does less; it leaks nothing,
// loses nothing, and done again it passes.
#include <unistd.h>

#include "fs/core/test_hooks.h"
#include "pmemdev/base/log.h"
#include "tests/support/failing_memory.h"
#include "tests/volume/fault_cases.h"
#include "tests/volume/volume_state.h"

namespace ingot::tests {
namespace {

class SpaceFault : public Fault {
 public:
  explicit SpaceFault(uint64_t n) : n_(n) {}
  void Arm() override { test_hooks::takes_until_failure = n_; }
  void Disarm() override { has_failed_ = test_hooks::takes_until_failure.exchange(0) == 0; }
  [[nodiscard]] bool has_failed() const { return has_failed_; }
  static constexpr int kCode = ENOSPC;

 private:
  uint64_t n_;
  bool has_failed_ = false;
};

template <FailingMemory::Failures failures>
class MemoryFault : public Fault {
 public:
  explicit MemoryFault(uint64_t n) : n_(n) {}
  void Arm() override { memory_.emplace(n_, failures); }
  void Disarm() override { memory_.reset(); }
  [[nodiscard]] bool has_failed() const { return FailingMemory::HasFailed(); }
  static constexpr int kCode = ENOMEM;

 private:
  uint64_t n_;
  std::optional<FailingMemory> memory_;
};
using OneAllocationFails = MemoryFault<FailingMemory::Failures::kOne>;
using NoMoreMemory = MemoryFault<FailingMemory::Failures::kAllFromThere>;

class NoFault : public Fault {
 public:
  void Arm() override {}
  void Disarm() override {}
};

// Later than everything in the pool, so that each operation has times to change; and standing
// still, so that what was done at the second attempt looks as if it had been done at the first.
class LaterClock {
 public:
  LaterClock() {
    test_hooks::clock = [] { return Time{4'000'000'000, 7}; };
  }
  ~LaterClock() { test_hooks::clock = nullptr; }
};

class NthFailure : public ::testing::TestWithParam<size_t> {
 protected:
  static std::unique_ptr<Volume> Open() {
    auto volume = OpenPool(CopyOfPool(FaultCasePool()));
    CHECK(volume.has_value(), "{}", Describe(volume.error()));
    return std::move(*volume);
  }
  // The tree as it is once nothing is left to be done later.
  static std::string Settled(Volume& volume) {
    const std::atomic<bool> stop{false};
    EXPECT_TRUE(volume.orphans().Recover(stop));
    return StateOf(volume).tree;
  }

  // Of thousands where a large file is freed in pieces.
  static uint64_t NextOf(uint64_t n) { return NextFailure(n, 64); }

  template <typename AFault>
  void FailEach();
  // Nothing has changed but for where things lie.
  void ExpectUntouched(Volume& volume, const VolumeState& before, bool tears);

  void SetUp() override { log::ToStderr(log::Level::kOff); }
  void TearDown() override { log::ToStderr(log::Level::kWarning); }

  const LaterClock clock_;
};

void NthFailure::ExpectUntouched(Volume& volume, const VolumeState& before, bool tears) {
  const VolumeState after = StateOf(volume);
  if (!tears) {
    EXPECT_EQ(TreeDifference(before.tree, after.tree), "") << "a failed operation changes nothing";
  }
  EXPECT_EQ(after.free_pages + after.file_pages, before.free_pages + before.file_pages)
      << "and keeps nothing";
  EXPECT_EQ(after.references, before.references) << "nor holds an inode";
  EXPECT_FSCK_CLEAN(volume.device());
}

template <typename AFault>
void NthFailure::FailEach() {
  const FaultCase& tested = FaultCases()[GetParam()];
  NoFault none;
  std::unique_ptr<Volume> volume = Open();
  const VolumeState before = StateOf(*volume);
  ASSERT_EQ(tested.run(*volume, none, 0).value_or(~uint64_t{0}), tested.amount);
  const std::string done = Settled(*volume);
  ASSERT_FSCK_CLEAN(volume->device());

  uint64_t failures = 0;
  bool is_fresh = false;
  for (uint64_t n = 1;; n = NextOf(n)) {
    SCOPED_TRACE(fmt::format("{}, failure {}", tested.name, n));
    if (!is_fresh) volume = Open();
    AFault fault(n);
    Result<uint64_t> result = NoThrow([&] { return tested.run(*volume, fault, 0); });
    is_fresh = !result;  // what failed may be tried again
    failures += result ? 0 : 1;
    if (!result) {
      ASSERT_TRUE(fault.has_failed());
      EXPECT_EQ(result.error().code, AFault::kCode) << result.error().context;
      ExpectUntouched(*volume, before, tested.tears);
      // Where memory is, each time from the start: what was done has made ready for the next.
      if (!HasFailure()) continue;
    } else if (*result < tested.amount) {
      ASSERT_TRUE(fault.has_failed());
      EXPECT_FSCK_CLEAN(volume->device());
      EXPECT_TRUE(tested.run(*volume, none, *result));
    }
    EXPECT_EQ(TreeDifference(done, Settled(*volume)), "") << "done again it is done";
    EXPECT_FSCK_CLEAN(volume->device());
    if (HasFailure() || !fault.has_failed()) break;
  }
  // And after a kill.
  const int fd = DuplicateOf(volume->device().mapping().fd());
  volume.reset();
  auto reopened = OpenPool(fd);
  ASSERT_OK(reopened);
  EXPECT_EQ(TreeDifference(done, Settled(**reopened)), "");
  EXPECT_FSCK_CLEAN((*reopened)->device());
  RecordProperty("failures", static_cast<int>(failures));
}

TEST_P(NthFailure, OfClaimsOfSpace) { FailEach<SpaceFault>(); }
TEST_P(NthFailure, OfOneAllocation) { FailEach<OneAllocationFails>(); }
TEST_P(NthFailure, OfAllAllocationsFromThere) { FailEach<NoMoreMemory>(); }

// Whatever ends a write in the middle: what somebody else has written has no privileges.
TEST_F(NthFailure, LeavesNoPrivilegesOnNewContents) {
  std::unique_ptr<Volume> volume = Open();
  const InodeNumber file = InodeAt(*volume, "/d/capable");
  AttributeChange change;
  change.mode = 06755;
  ASSERT_OK(volume->attributes().Set(file, change));
  const int image = CopyOfPool(volume->device().mapping().fd());
  const std::vector<std::byte> bytes(9000, std::byte{0x55});
  std::vector<std::byte> found(bytes.size());
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    auto opened = OpenPool(CopyOfPool(image));
    ASSERT_OK(opened);
    volume = std::move(*opened);
    OneAllocationFails fault(n);
    {
      const Armed armed(fault);
      (void)NoThrow([&] {
        return volume->data().Write(file, 0, bytes, {.kill_privileges = true});
      });
    }
    ASSERT_OK(volume->data().ReadInto(file, 0, found));
    if (std::ranges::count(found, std::byte{0x55}) > 4000) {
      EXPECT_EQ(volume->attributes().Get(file)->mode & 07777, 0755u);
      EXPECT_ERROR(ENODATA, volume->xattrs().Get(file, kCapabilityName));
    }
    if (HasFailure() || !fault.has_failed()) break;
  }
  close(image);
}

// The inode is counted before it is read, and the text of what is wrong with it needs memory.
TEST_F(NthFailure, OfLookupLeavesNoReferenceOnADamagedInode) {
  std::unique_ptr<Volume> volume = Open();
  const InodeNumber file = InodeAt(*volume, "/d/inline");
  const InodeNumber directory = InodeAt(*volume, "/d");
  const auto place = static_cast<off_t>(Geometry::ToMedia(AddressOf(file)).value);
  media::Inode inode;
  const int fd = volume->device().mapping().fd();
  ASSERT_EQ(pread(fd, &inode, sizeof(inode), place), ssize_t{sizeof(inode)});
  inode.checksum ^= 1;
  ASSERT_EQ(pwrite(fd, &inode, sizeof(inode), place), ssize_t{sizeof(inode)});
  // As if this mount hadn't met it yet.
  DistrustInode(volume->device().page_array().Get(PageOf(file)), SlotOf(file));
  uint64_t refused = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    OneAllocationFails fault(n);
    const Result<Attributes> found = [&] {
      const Armed armed(fault);
      return NoThrow([&] { return volume->names().Lookup(directory, "inline"); });
    }();
    ASSERT_FALSE(found);
    ASSERT_FALSE(volume->core().inodes.IsReferenced(file));
    if (!fault.has_failed()) {
      EXPECT_EQ(found.error().code, EUCLEAN);
      break;
    }
    refused += found.error().code == ENOMEM ? 1 : 0;
  }
  EXPECT_GT(refused, 0u);
}

std::string NameOf(const ::testing::TestParamInfo<size_t>& info) {
  return FaultCases()[info.param].name;
}
INSTANTIATE_TEST_SUITE_P(Operations, NthFailure, ::testing::Range<size_t>(0, FaultCases().size()),
                         NameOf);

}  // namespace
}  // namespace ingot::tests
