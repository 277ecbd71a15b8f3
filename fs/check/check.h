// SPDX-License-Identifier: BSD-3-Clause
// fsck as a library: proves that a pool is what docs/format.md says, or makes it so.
//
// The command line, the daemon's tests, model and crash tests call this. A report changes nothing
// on media: where the journal holds transactions, a private copy-on-write mapping is replayed and
// checked. A repair runs in rounds (check everything, mend what was found) until a round finds
// nothing; each step is crash-safe, and running it again after a crash goes on. It keeps nothing
// that it can't prove: what is dropped is named. Nobody else may use the device meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "fs/check/findings.h"
#include "fs/core/backing_directory.h"
#include "fs/core/pool_path.h"
#include "pmemdev/device.h"

namespace ingot::check {

enum class CheckMode : uint8_t { kReport, kRepair };

struct Progress {
  std::string_view pass;  // "inodes", "directories", "links", "groups", "data"
  uint32_t round = 1;     // 1 is the check itself; later ones only in a repair
  uint64_t done = 0;
  uint64_t total = 0;
};

struct CheckOptions {
  CheckMode mode = CheckMode::kReport;
  // Touches every page of file data too, to find poisoned ones. Reads the whole used pool.
  bool read_data = false;
  // OpenForCheck: make the superblock again from lanes and groups if no copy is left.
  bool rebuild_superblock = false;
  // Directory pools: the files beside the region, writable in a repair. Null: the region is checked
  // alone, and nothing is said of the files.
  BackingDirectory* directory = nullptr;
  // OpenBackingForCheck, in a repair: files that are marked as another pool's are this one's.
  bool adopt_backing = false;
  // A repair makes inodes whose backing file is missing into empty files; else they stay as they
  // are, an error of each use, in case the file comes back, and remain findings.
  bool empty_missing_files = true;
  // Tables in DRAM (16 bytes an inode, 40 a directory, 17 a backed file, 2 bits a page of used
  // groups). ENOMEM beyond.
  uint64_t memory_budget_bytes = uint64_t{4} << 30;
  uint32_t max_rounds = 24;
  // Called about every 10,000 steps and at each pass's end, on the calling thread.
  std::function<void(const Progress&)> progress;
};

struct CheckCounts {
  uint64_t inodes = 0;
  uint64_t directories = 0;
  uint64_t files = 0;  // regular ones
  uint64_t backed_files = 0;  // of those: contents in a file of the host
  uint64_t symlinks = 0;
  uint64_t special_files = 0;
  uint64_t orphans = 0;  // deleted while open, or truncated by half: the next mount completes it
  uint64_t entries = 0;
  uint64_t extents = 0;
  uint64_t data_pages = 0;
  uint64_t metadata_pages = 0;  // tree nodes, leaves, xattr pages
  uint64_t inode_pages = 0;
  uint64_t groups = 0;
  uint64_t groups_in_use = 0;
};

struct CheckReport {
  std::vector<Finding> findings;  // at most Findings::kMaxKept; `counts_by_kind` has all
  std::array<uint64_t, kFindingKinds> counts_by_kind{};
  uint64_t found = 0;      // all that are faults
  uint64_t notices = 0;    // and those that are none (IsNotice)
  uint64_t remaining = 0;  // what the last round still found; equals `found` in a report
  uint32_t rounds = 0;
  // The journal holds transactions that the next writable open completes. No fault. What was
  // checked is the image behind them.
  bool needs_recovery = false;
  CheckCounts counts;  // of the last round

  // Nothing was wrong to begin with.
  [[nodiscard]] bool clean() const { return found == 0; }
  // Nothing is wrong now.
  [[nodiscard]] bool clean_now() const { return remaining == 0; }
};

// Checks, and with kRepair repairs, an opened pool. Errors, beside what is in the report: EROFS
// (repair of a device that can't be written), ENOMEM, EINVAL (backing files beside a device pool),
// EIO or EROFS if a repair could not be stored, and what the host says of its files.
Result<CheckReport> Check(Device& device, const CheckOptions& options);

// What stands between a mapping and an open device: lost superblocks, unreadable lanes. In a repair
// they are mended first; in a report they are findings and the device, if there is one, is opened
// as it is.
struct OpenedPool {
  std::unique_ptr<Device> device;
  std::vector<Finding> findings;
  bool needs_recovery = false;
};
// `mapping` is writable for kRepair; for kReport a private copy or read-only. Errors:
// Device::Open's.
Result<OpenedPool> OpenForCheck(std::unique_ptr<Mapping> mapping, const CheckOptions& options);

// What stands between a region and the files beside it: a backing/ that is lost, or not marked as
// the pool's. A repair makes directory and mark anew.
struct OpenedBacking {
  std::unique_ptr<BackingDirectory> directory;  // null: a device pool, or a finding in a report
  std::vector<Finding> findings;
};
// Errors: CheckPoolKind's; EUCLEAN: another pool's mark, and nobody said that it is wrong; what the
// host says.
Result<OpenedBacking> OpenBackingForCheck(const PoolPath& pool, const media::Superblock& superblock,
                                          const CheckOptions& options);
// Into a report of a check with those options, as what was found first.
void AddFindings(CheckReport& report, std::vector<Finding> findings, const CheckOptions& options);

// OpenForCheck and Check, one report. The way of the command line.
Result<CheckReport> CheckPool(std::unique_ptr<Mapping> mapping, const CheckOptions& options);

}  // namespace ingot::check
