// SPDX-License-Identifier: BSD-3-Clause
// The checks in the order of what they believe of the image: nothing, then its recovery, then all.
#include "tests/crash/image_check.h"

#include <sys/stat.h>

#include <array>
#include <span>

#include <fmt/format.h>

#include "fs/check/check.h"
#include "pmemdev/base/checksum.h"
#include "tests/support/choices.h"

namespace ingot::tests {
namespace {

std::string WordsOf(const check::CheckReport& report) {
  if (report.clean()) return "";
  std::string words = fmt::format("fsck found {} faults", report.found);
  for (size_t i = 0; i < report.findings.size() && i < 8; ++i) {
    words +=
        fmt::format("\n  [{}] {}", check::NameOf(report.findings[i].kind), report.findings[i].text);
  }
  return words;
}

// The pool is full: an answer, not a fault.
bool IsFull(Volume& volume, int code) {
  return code == ENOSPC && volume.Statistics().available_bytes < 16 * kPageSize;
}

// Everything a directory is for. Names that a workload doesn't use.
Result<void> UseDirectory(Volume& volume, InodeNumber directory) {
  static constexpr std::array<std::byte, 100> kBytes{std::byte{0x5A}};
  NewNode node;
  node.mode = S_IFREG | 0600;
  const Result<Attributes> created = volume.names().Create(directory, "probe", node, Caller{});
  if (!created && IsFull(volume, created.error_code())) return {};
  const Attributes made = TRY(Result<Attributes>(created));
  const Result<uint64_t> written = volume.data().Write(made.inode, 5000, kBytes, {});
  if (!written && !IsFull(volume, written.error_code())) return tl::unexpected(written.error());
  TRY(volume.names().Rename(directory, "probe", directory, "probe2", 0, Caller{}));
  TRY(volume.names().Unlink(directory, "probe2"));
  volume.names().Forget(made.inode, 1);
  return {};
}

Result<void> Empty(Volume& volume, InodeNumber directory) {
  TRY(UseDirectory(volume, directory));
  for (;;) {
    const auto entries = TRY(volume.names().ReadDirectory(directory, 2, 64));
    if (entries.empty()) return {};
    for (const DirectoryEntry& entry : entries) {
      const Attributes found = TRY(volume.names().Lookup(directory, entry.name));
      volume.names().Forget(found.inode, 1);
      if (S_ISDIR(found.mode)) {
        TRY(Empty(volume, found.inode));
        TRY(volume.names().Rmdir(directory, entry.name));
      } else {
        TRY(volume.names().Unlink(directory, entry.name));
      }
    }
  }
}

}  // namespace

uint64_t EmptyBytes(int base, const PoolOptions& options) {
  struct stat status;
  CHECK(fstat(base, &status) == 0, "errno {}", errno);
  auto volume = OpenPool(NewPool(static_cast<uint64_t>(status.st_size)), options);
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  return (*volume)->Statistics().free_bytes;
}

std::string FsckFindings(Device& device) {
  const Result<check::CheckReport> report = check::Check(device, {});
  return report ? WordsOf(*report) : "fsck failed: " + Describe(report.error());
}

std::string ImageCheck::CheckUnrecovered(CrashPool& pool) {
  MappingOptions mapping = options_.mapping;
  mapping.private_copy = true;
  mapping.separate_write_alias = false;
  mapping.read_only = false;
  auto opened = Mapping::FromDescriptor(pool.Duplicate(), mapping);
  if (!opened) return "mapping for fsck: " + Describe(opened.error());
  const Result<check::CheckReport> report = check::CheckPool(std::move(*opened), {});
  if (!report) return "fsck before recovery failed: " + Describe(report.error());
  const std::string words = WordsOf(*report);
  return words.empty() ? "" : "before recovery: " + words;
}

std::string ImageCheck::CheckOpened(Volume& volume, const Judge& judge, bool use) {
  if (std::string words = FsckFindings(volume.device()); !words.empty()) {
    return "after recovery: " + words;
  }
  if (std::string words = judge(volume); !words.empty()) return words;
  if (!use) return "";
  ++counts_.used;
  const std::atomic<bool> never{false};
  if (auto recovered = volume.orphans().Recover(never); !recovered) {
    return "orphans: " + Describe(recovered.error());
  }
  if (auto emptied = Empty(volume, Volume::kRoot); !emptied) {
    return "use and deletion: " + Describe(emptied.error());
  }
  if (std::string words = FsckFindings(volume.device()); !words.empty()) return "emptied: " + words;
  const uint64_t free_bytes = volume.Statistics().free_bytes;
  if (free_bytes == empty_bytes_) return "";
  return fmt::format("{} bytes are free when all is deleted, {} were at first", free_bytes,
                     empty_bytes_);
}

std::string ImageCheck::CheckRecovered(CrashPool& pool, const Judge& judge, bool use,
                                       Recovery& recovery) {
  TraceRecorder recorder;
  PoolOptions options = options_;
  options.mapping.observer = &recorder;
  options.mapping.kept_views = pool.kept_views();
  Result<std::unique_ptr<Volume>> opened = OpenPool(pool.Duplicate(), options);
  recovery.trace = recorder.trace();
  recorder.Clear();
  pool.NoteStores(recovery.trace);
  for (const TraceEvent& event : recovery.trace.events) {
    const bool has_site = event.kind == TraceEvent::kFlush || event.kind == TraceEvent::kFence;
    if (has_site) recovery_sites_.insert(event.site);
  }
  if (!opened) return "opening: " + Describe(opened.error());
  if (!recovery.trace.events.empty()) recovery.hash = pool.HashOutsideLanes();
  std::string words = CheckOpened(**opened, judge, use);
  opened->reset();
  pool.NoteStores(recorder.trace());
  return words;
}

std::string ImageCheck::RecoverAgain(CrashPool& pool, uint64_t expected_hash) {
  ++counts_.second_crashes;
  TraceRecorder recorder;
  PoolOptions options = options_;
  options.mapping.observer = &recorder;
  options.mapping.kept_views = pool.kept_views();
  const Result<std::unique_ptr<Volume>> opened = OpenPool(pool.Duplicate(), options);
  pool.NoteStores(recorder.trace());
  if (!opened) return "opening after a second crash: " + Describe(opened.error());
  if (pool.HashOutsideLanes() == expected_hash) return "";
  return "a second crash inside the recovery led to another image";
}

std::string ImageCheck::CheckSecondCrash(CrashPool& pool, const std::vector<WordStore>& kept,
                                         const Recovery& recovery, size_t limit) {
  MemoryModel model(durability_);
  std::vector<WordStore> durable;
  std::string words;
  const auto crash = [&](const std::vector<WordStore>& kept_by_second) {
    pool.Undo();
    (void)pool.Apply(kept);
    (void)pool.Apply(durable);
    (void)pool.Apply(kept_by_second);
    words = RecoverAgain(pool, recovery.hash);
    return words.empty();
  };
  for (const TraceEvent& event : recovery.trace.events) {
    if (event.kind == TraceEvent::kFence) {
      ForEachChoice(model.Pending(), limit, recovery.hash, crash);
      if (!words.empty()) return words;
    }
    model.Apply(recovery.trace, event, skipped_site_, durable);
  }
  // After the last fence recovering twice is recovering once.
  (void)crash({});
  return words;
}

std::string ImageCheck::Run(CrashPool& pool, const std::vector<WordStore>& kept, uint64_t hash,
                            const Judge& judge, const CheckDepth& depth) {
  const auto chosen = [&](uint32_t in, uint64_t what) {
    return in != 0 && Hash64(std::as_bytes(std::span(&hash, 1)), depth.seed + what) % in == 0;
  };
  ++counts_.images;
  if (chosen(depth.fsck_before_in, 1)) {
    ++counts_.checked_before;
    if (std::string words = CheckUnrecovered(pool); !words.empty()) return words;
  }
  Recovery recovery;
  std::string words = CheckRecovered(pool, judge, chosen(depth.use_in, 2), recovery);
  if (!words.empty() || recovery.trace.events.empty()) return words;
  ++counts_.with_recovery;
  if (!chosen(depth.second_crash_in, 3)) return "";
  return CheckSecondCrash(pool, kept, recovery, depth.second_crash_images);
}

}  // namespace ingot::tests
