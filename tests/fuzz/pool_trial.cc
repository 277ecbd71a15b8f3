// SPDX-License-Identifier: BSD-3-Clause
// The steps of a trial, each on its own copy-on-write mapping.
#include "tests/fuzz/pool_trial.h"

#include <atomic>

#include "fs/check/check.h"
#include "pmemdev/base/check.h"
#include "pmemdev/superblock.h"
#include "tests/fuzz/operation_decoder.h"
#include "tests/fuzz/volume_oracle.h"
#include "tests/model/plain_model.h"
#include "tests/model/volume_subject.h"

namespace ingot::tests {
namespace {

constexpr size_t kMaxOperations = 24;
constexpr uint64_t kBudgetBytes = 1 << 20;

bool IsDamage(const std::string& answer) {
  return answer == ErrorText(EUCLEAN) || answer == ErrorText(EIO) || answer == ErrorText(ESTALE) ||
         answer == ErrorText(EBADMSG);
}

// Flags of the root, a full pool, a root of too many directories, somebody's name.
bool MayRefuse(const std::string& answer) {
  return answer == ErrorText(EPERM) || answer == ErrorText(ENOSPC) || answer == ErrorText(EMLINK) ||
         answer == ErrorText(EEXIST);
}

Result<uint64_t> RecoverOrphans(Volume& volume) {
  const std::atomic<bool> never{false};
  return volume.orphans().Recover(never);
}

}  // namespace

void PoolTrial::All() {
  const bool clean = Report();
  if (clean || options_.mount_damaged) Mount(clean);
  if (!clean) Repair();
}

bool PoolTrial::Report() {
  auto mapping = options_.report_read_only ? pool_.Map(true) : pool_.MapPrivately();
  const auto report = check::CheckPool(std::move(mapping), {});
  return report.has_value() && report->clean();
}

void PoolTrial::Mount(bool clean) {
  auto device = Device::Open(pool_.MapPrivately(), {});
  CHECK(device.has_value() || !clean, "{}", Describe(device.error()));
  if (!device.has_value() || SaysThatFilesAreMissing(**device)) return;
  auto volume = Volume::Open(std::move(*device), {});
  CHECK(volume.has_value() || !clean, "{}", Describe(volume.error()));
  if (!volume.has_value()) return;
  if (clean) return Use(**volume);
  Wander(**volume);
  UseOldFiles(**volume, false);
  (void)RecoverOrphans(**volume);
}

// By its label it is a part of a directory pool, which fsck may check alone, and nobody mounts so.
bool PoolTrial::SaysThatFilesAreMissing(const Device& device) {
  return (device.superblock().features_incompatible & media::kFeatureDirectoryPool) != 0;
}

// It is one that this program doesn't know, or nothing says any more what it was.
bool PoolTrial::IsBeyondRepair() const {
  const std::unique_ptr<Mapping> mapping = pool_.MapPrivately();
  const auto scan = ReadSuperblocks(*mapping);
  if (scan.has_value()) {
    return (scan->best.features_read_only_compatible & ~media::kFeaturesReadOnlyCompatible) != 0;
  }
  const bool lost = scan.error_code() == EUCLEAN || scan.error_code() == EIO;
  return !lost || !RecreateSuperblock(*mapping).has_value();
}

void PoolTrial::Repair() {
  check::CheckOptions options;
  options.mode = check::CheckMode::kRepair;
  options.rebuild_superblock = true;
  auto opened = check::OpenForCheck(pool_.MapPrivately(), options);
  if (!opened.has_value()) {
    CHECK(IsBeyondRepair(), "fsck -y: {}", Describe(opened.error()));
    return;
  }
  const auto report = check::Check(*opened->device, options);
  if (!report.has_value()) {
    CHECK(IsBeyondRepair(), "fsck -y: {}", Describe(report.error()));
    return;
  }
  CHECK(report->clean_now(), "fsck -y: {}", Summary(*report));
  RequireClean(*opened->device, "after a repair");
  if (SaysThatFilesAreMissing(*opened->device)) return;
  auto volume = Volume::Open(std::move(opened->device), {});
  CHECK(volume.has_value(), "after a repair: {}", Describe(volume.error()));
  Use(**volume);
}

// Read, changed, and emptied; and clean afterwards.
void PoolTrial::Use(Volume& volume) {
  RequireReadable(volume);
  if (!volume.device().writable()) return;
  UseOwnDirectory(volume);
  UseOldFiles(volume, true);
  RequireClean(volume.device(), "after operations");
  const auto recovered = RecoverOrphans(volume);
  CHECK(recovered.has_value(), "orphans: {}", Describe(recovered.error()));
  RequireReadable(volume);
  if (!options_.empty_at_end) return;
  RemoveAll(volume);
  RequireClean(volume.device(), "after emptying");
}

// Answers as the model does, where nothing was before.
void PoolTrial::UseOwnDirectory(Volume& volume) {
  PlainModel model;
  VolumeSubject subject(volume);
  const Operation make{.kind = Kind::kMkdir, .path = "/fuzz", .mode = 0755};
  (void)model.Run(make);
  const std::string made = subject.Run(make);
  if (MayRefuse(made)) return;
  CHECK(made == "ok", "mkdir: {}", made);
  Input input = operations_;
  OperationDecoder decoder("/fuzz", kBudgetBytes);
  for (size_t i = 0; i < kMaxOperations && !input.empty(); ++i) {
    const Operation operation = decoder.Next(input);
    const std::string expected = model.Run(operation);
    const std::string got = subject.Run(operation);
    if (got == ErrorText(ENOSPC)) return;
    CHECK(Fits(expected, got), "{}\nmodel:  {}\nvolume: {}", Describe(operation), expected, got);
  }
}

void PoolTrial::UseOldFiles(Volume& volume, bool clean) {
  VolumeSubject subject(volume);
  Input input = operations_;
  OperationDecoder decoder("", kBudgetBytes);
  for (size_t i = 0; i < kMaxOperations && !input.empty(); ++i) {
    const Operation operation = decoder.Next(input);
    const std::string got = subject.Run(operation);
    CHECK(!clean || !IsDamage(got), "{}: {}", Describe(operation), got);
  }
}

}  // namespace ingot::tests
