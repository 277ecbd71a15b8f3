// SPDX-License-Identifier: BSD-3-Clause
// Runs operations on a pool, then crashes them: at every fence and every operation's end, with the
// choices of what the medium kept, each image once.
//
// Everything follows from base, options and seed, so that a violation can be replayed alone.
// Single-threaded; two explorers may run in two processes, not in one (FixedChance).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include "tests/crash/crasher.h"
#include "tests/crash/image_check.h"
#include "tests/crash/operations.h"
#include "tests/crash/oracle.h"
#include "tests/support/choices.h"

namespace ingot::tests {

struct ExplorerOptions {
  PoolOptions pool;
  Granularity durability = Granularity::kCacheLine;  // of the model, not of the mapping
  size_t images_per_point = kAllCombinations;
  uint64_t seed = 1;
  CheckDepth depth;
  // Each operation leaves its record in a journal lane of its own, as those of several threads do.
  bool lane_per_operation = false;
  std::string save_violation_to;       // a file for the image; empty: not saved
  uint32_t skipped_site = UINT32_MAX;  // a mutant: this flush or fence isn't there
};

struct ExplorerCounts {
  uint64_t points = 0;      // fences and ends of operations
  uint64_t duplicates = 0;  // images seen before with the same oracle
  uint64_t distinct = 0;    // images by their bytes
};

class Explorer {
 public:
  // The base is only read; its descriptor stays the caller's.
  Explorer(int base, ExplorerOptions options);

  struct Recording {
    Trace trace;
    std::vector<Oracle> oracles;  // the i-th holds before operation i returned; one more at the end
    std::vector<std::string> answers;
  };
  // Runs the operations one after another.
  [[nodiscard]] Recording Record(const std::vector<const CrashOperation*>& operations);
  // Crashes what was recorded from the `first`-th operation on (0: all). "" or the first violation.
  [[nodiscard]] std::string Crash(const Recording& recording, size_t first);

  void set_images_per_point(size_t images) { options_.images_per_point = images; }
  void set_lane_per_operation(bool yes) { options_.lane_per_operation = yes; }
  void set_second_crashes(uint32_t in, size_t images) {
    options_.depth.second_crash_in = in;
    options_.depth.second_crash_images = images;
  }
  void set_skipped_site(uint32_t site) {
    options_.skipped_site = site;
    check_.set_skipped_site(site);
  }
  // Of all distinct images, by their bytes alone.
  [[nodiscard]] const absl::flat_hash_set<uint64_t>& images() const { return images_; }
  // Images that were seen are seen again.
  void ForgetImages() { seen_.clear(); }
  [[nodiscard]] const std::set<uint32_t>& recovery_sites() const { return check_.recovery_sites(); }
  [[nodiscard]] const ExplorerCounts& counts() const { return counts_; }
  [[nodiscard]] const ImageCounts& image_counts() const { return check_.counts(); }

 private:
  std::string Check(const std::vector<WordStore>& kept, uint64_t hash, const Oracle& oracle);

  ExplorerOptions options_;
  CrashPool run_;   // operations run here
  CrashPool pool_;  // images are made here
  ImageCheck check_;
  absl::flat_hash_set<uint64_t> seen_;    // image and oracle
  absl::flat_hash_set<uint64_t> images_;  // image
  ExplorerCounts counts_;
};

}  // namespace ingot::tests
