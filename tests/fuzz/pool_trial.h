// SPDX-License-Identifier: BSD-3-Clause
// What people do with a pool that may be damaged: report, mount, repair, report, mount, use.
//
// No step may crash or run without end. What fsck calls clean, by itself or after its repair, holds
// no damage that use could meet; whatever can be repaired is. All of it is CHECKed. The pool's file
// is not changed: each step has a private copy. Borrows the pool.
#pragma once

#include <memory>

#include "fs/core/volume.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/scratch_pool.h"

namespace ingot::tests {

class PoolTrial {
 public:
  struct Options {
    bool report_read_only = false;  // else on a private copy
    bool mount_damaged = true;
    bool empty_at_end = false;
  };
  // `operations`: what the pool is used with.
  PoolTrial(const ScratchPool& pool, const Options& options, Input operations)
      : pool_(pool), options_(options), operations_(operations) {}

  void All();

 private:
  bool Report();
  void Mount(bool clean);
  void Repair();
  [[nodiscard]] static bool SaysThatFilesAreMissing(const Device& device);
  [[nodiscard]] bool IsBeyondRepair() const;
  void Use(Volume& volume);
  void UseOwnDirectory(Volume& volume);
  void UseOldFiles(Volume& volume, bool clean);

  const ScratchPool& pool_;
  Options options_;
  Input operations_;
};

}  // namespace ingot::tests
