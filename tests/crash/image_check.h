// SPDX-License-Identifier: BSD-3-Clause
// What each crash image has to bear: opening, fsck before and after, a judge, use and deletion of
// everything, and a second crash inside the recovery.
//
// The pool holds the image; it is changed, and is the caller's to undo. Single-threaded.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "tests/crash/crash_pool.h"
#include "tests/volume/pools.h"

namespace ingot::tests {

// How much of it, one image in so many (by hash); 1: each, 0: none. Opening, fsck after recovery
// and the judge are for each.
struct CheckDepth {
  uint32_t fsck_before_in = 1;  // of the image as it is: nothing but "needs recovery"
  uint32_t use_in = 1;          // work in each directory, then delete all; no space is missing
  uint32_t second_crash_in = 1;
  uint64_t seed = 0;                // of the choice
  size_t second_crash_images = 16;  // at each fence of the recovery
};

// "" if the recovered volume is one that the crash may have left; else what is wrong.
using Judge = std::function<std::string(Volume&)>;

struct ImageCounts {
  uint64_t images = 0;         // checked, second crashes left out
  uint64_t with_recovery = 0;  // had something to replay
  uint64_t checked_before = 0;
  uint64_t used = 0;
  uint64_t second_crashes = 0;
};

class ImageCheck {
 public:
  // `empty_bytes`: what is free when the pool is empty.
  ImageCheck(PoolOptions options, Granularity durability, uint64_t empty_bytes)
      : options_(std::move(options)), durability_(durability), empty_bytes_(empty_bytes) {}

  // Of the image in the pool, which is what was kept on top of its durable bytes: "" or what is
  // wrong.
  [[nodiscard]] std::string Run(CrashPool& pool, const std::vector<WordStore>& kept, uint64_t hash,
                                const Judge& judge, const CheckDepth& depth);
  // A mutant: the recovery lacks this flush or fence.
  void set_skipped_site(uint32_t site) { skipped_site_ = site; }
  // Of flushes and fences in any recovery so far.
  [[nodiscard]] const std::set<uint32_t>& recovery_sites() const { return recovery_sites_; }
  [[nodiscard]] const ImageCounts& counts() const { return counts_; }

 private:
  struct Recovery {
    Trace trace;
    uint64_t hash = 0;  // of the bytes behind it, lanes left out
  };
  std::string CheckUnrecovered(CrashPool& pool);
  std::string CheckRecovered(CrashPool& pool, const Judge& judge, bool use, Recovery& recovery);
  std::string CheckOpened(Volume& volume, const Judge& judge, bool use);
  std::string CheckSecondCrash(CrashPool& pool, const std::vector<WordStore>& kept,
                               const Recovery& recovery, size_t limit);
  std::string RecoverAgain(CrashPool& pool, uint64_t expected_hash);

  PoolOptions options_;
  Granularity durability_;
  uint64_t empty_bytes_;
  uint32_t skipped_site_ = UINT32_MAX;
  std::set<uint32_t> recovery_sites_;
  ImageCounts counts_;
};

// What is free in an empty pool as large as this one.
[[nodiscard]] uint64_t EmptyBytes(int base, const PoolOptions& options);

// Fails with the first findings in words; "" if there are none.
[[nodiscard]] std::string FsckFindings(Device& device);

}  // namespace ingot::tests
