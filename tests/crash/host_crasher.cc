// SPDX-License-Identifier: BSD-3-Clause
// Images are private copies of the region beside a directory that is written anew. Each is checked
// as it was found, recovered without a look at the directory, judged, and checked again: what
// nobody names and the ledger doesn't list is found then.
#include "tests/crash/host_crasher.h"

#include <fcntl.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include <fmt/format.h>

#include "fs/check/check.h"
#include "pmemdev/base/check.h"
#include "pmemdev/base/checksum.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kRegionBytes = uint64_t{16} << 20;

DeviceFormatOptions Format() {
  DeviceFormatOptions format = TestFormatOptions();
  format.features_incompatible = media::kFeatureDirectoryPool;
  return format;
}

int Duplicate(int fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  CHECK(copy >= 0, "errno {}", errno);
  return copy;
}

template <typename T>
T Must(Result<T> result) {
  CHECK(result.has_value(), "{}", Describe(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::unique_ptr<Volume> OpenVolume(int region, const std::string& pool, HostObserver* observer) {
  auto device = Must(
      Device::Open(Must(Mapping::FromDescriptor(Duplicate(region), TestMappingOptions())), {}));
  auto directory = Must(BackingDirectory::Open(pool, Format().uuid, false, observer));
  return Must(Volume::Open(std::move(device), {}, std::move(directory)));
}

// Of one thing after the other another value, from all kept and from all lost.
std::vector<std::vector<uint32_t>> OneAtATime(const std::vector<uint32_t>& none,
                                              const std::vector<uint32_t>& all) {
  std::vector<std::vector<uint32_t>> ends;
  for (size_t i = 0; i < all.size(); ++i) {
    for (uint32_t value = 0; value <= all[i]; ++value) {
      for (const auto* from : {&all, &none}) {
        if (value == (*from)[i]) continue;
        ends.push_back(*from);
        ends.back()[i] = value;
      }
    }
  }
  return ends;
}

std::string FsckSays(Device& device, const std::string& pool, const char* when) {
  const auto directory = BackingDirectory::Open(pool, Format().uuid, /*read_only=*/true);
  if (!directory) return Describe(directory.error());
  check::CheckOptions options;
  options.directory = directory->get();
  const auto report = check::Check(device, options);
  if (!report) return fmt::format("fsck {}: {}", when, Describe(report.error()));
  if (report->clean() && report->notices == 0) return "";
  return fmt::format("fsck {}: {}", when, report->findings.front().text);
}

}  // namespace

void ForEachHostEnd(const std::vector<uint32_t>& choices, size_t limit, uint64_t seed,
                    const std::function<bool(const std::vector<uint32_t>&)>& visit) {
  uint64_t combinations = 1;
  for (const uint32_t count : choices) {
    if (combinations <= limit) combinations *= count;
  }
  const std::vector<uint32_t> none(choices.size(), 0);
  std::vector<uint32_t> all = choices;
  for (uint32_t& value : all) --value;
  if (combinations <= limit) {
    for (std::vector<uint32_t> end = none;;) {
      if (!visit(end)) return;
      size_t i = 0;
      for (; i < end.size() && ++end[i] == choices[i]; ++i) end[i] = 0;
      if (i == end.size()) return;
    }
  }
  if (!visit(none) || !visit(all)) return;
  std::mt19937_64 random(seed);
  std::vector<std::vector<uint32_t>> ends = OneAtATime(none, all);
  std::ranges::shuffle(ends, random);
  ends.resize(std::min(ends.size(), limit * 2 / 3));
  while (ends.size() + 2 < limit) {
    ends.push_back(choices);
    for (uint32_t& value : ends.back()) value = static_cast<uint32_t>(random() % value);
  }
  for (const std::vector<uint32_t>& end : ends) {
    if (!visit(end)) return;
  }
}

HostCrasher::HostCrasher(HostScenario scenario) : scenario_(std::move(scenario)) {
  std::string pattern = "/dev/shm/ingot-crash-host-XXXXXX";
  CHECK(mkdtemp(pattern.data()) != nullptr, "errno {}", errno);
  root_ = pattern;
  Record();
}

HostCrasher::~HostCrasher() {
  std::error_code error;
  fs::remove_all(root_, error);
}

void HostCrasher::Record() {
  const std::string pool = root_ + "/pool";
  fs::create_directory(pool);
  const int region = MemoryFile(kRegionBytes);
  auto mapping = Must(Mapping::FromDescriptor(Duplicate(region), TestMappingOptions()));
  Must(BackingDirectory::Make(pool, Format().uuid, /*force=*/false));
  Must(Device::Format(*mapping, Format()));
  auto device = Must(Device::Open(std::move(mapping), {}));
  Must(Volume::Format(*device, Caller{}));
  device.reset();
  scenario_.prepare(*OpenVolume(region, pool, nullptr));
  {
    const auto volume = OpenVolume(region, pool, &model_);
    volume->device().journal().set_observer(&model_);
    model_.Begin(pool + "/backing", volume->device().mapping());
    scenario_.step(*volume);
    model_.End();
    volume->device().journal().set_observer(nullptr);
  }
  close(region);
}

size_t HostCrasher::moments() const {
  size_t count = 0;
  model_.ForEachMoment(kNoSite, [&count](int, uint64_t, const ModelHost&, bool) { ++count; });
  return count;
}

std::string HostCrasher::Crash(const HostCrashPlan& plan) {
  images_.clear();
  std::string violation;
  size_t moment = 0;
  model_.ForEachMoment(plan.skipped, [&](int region, uint64_t hash, const ModelHost& host,
                                         bool at_end) {
    ++moment;
    if (!violation.empty()) return;
    size_t end_number = 0;
    ForEachHostEnd(host.Choices(), plan.images_per_moment, plan.seed + moment,
                   [&](const std::vector<uint32_t>& end) {
                     ++end_number;
                     const HostFiles files = host.After(end);
                     uint64_t image = hash + (at_end ? 1 : 0);
                     for (const auto& [number, text] : files) {
                       image = Hash64(std::as_bytes(std::span(text)), image ^ number);
                     }
                     if (!images_.insert(image).second) return true;
                     const std::string wrong = Judge(region, files, at_end);
                     if (wrong.empty()) return true;
                     violation = fmt::format("moment {}, end {}: {}", moment, end_number, wrong);
                     return false;
                   });
  });
  return violation;
}

void HostCrasher::WriteHost(const HostFiles& files) const {
  const std::string pool = root_ + "/crashed";
  fs::remove_all(pool);
  fs::create_directory(pool);
  Must(BackingDirectory::Make(pool, Format().uuid, /*force=*/false));
  for (const auto& [number, text] : files) {
    std::ofstream(fmt::format("{}/backing/{}", pool, number), std::ios::binary) << text;
  }
}

std::string HostCrasher::Judge(int region, const HostFiles& files, bool at_end) {
  WriteHost(files);
  const Result<std::string> said =
      NoThrow([&]() -> Result<std::string> { return Recover(region, at_end); });
  return said ? *said : Describe(said.error());
}

std::string HostCrasher::Recover(int region, bool at_end) {
  const std::string pool = root_ + "/crashed";
  MappingOptions private_copy;
  private_copy.private_copy = true;
  private_copy.take_lock = false;
  DeviceOptions options;
  options.page_array = PageArrayChoice::kDram;
  auto mapping = Mapping::FromDescriptor(Duplicate(region), private_copy);
  if (!mapping) return Describe(mapping.error());
  auto device = Device::Open(std::move(*mapping), options);
  if (!device) return Describe(device.error());
  if (std::string wrong = FsckSays(**device, pool, "before recovery"); !wrong.empty()) return wrong;
  auto directory = BackingDirectory::Open(pool, Format().uuid, /*read_only=*/false);
  if (!directory) return Describe(directory.error());
  auto opened = Volume::Open(std::move(*device), {}, std::move(*directory));
  if (!opened) return Describe(opened.error());
  Volume& volume = **opened;
  const auto orphans = volume.orphans().Recover([] { return true; });
  if (!orphans) return "recovery of orphans: " + Describe(orphans.error());
  const auto kept = volume.core().backing->Upkeep();
  if (!kept) return "upkeep: " + Describe(kept.error());
  if (std::string wrong = scenario_.judge(volume, at_end); !wrong.empty()) return wrong;
  return FsckSays(volume.device(), pool, "after recovery");
}

}  // namespace ingot::tests
