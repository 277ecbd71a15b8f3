// SPDX-License-Identifier: BSD-3-Clause
// What stands between a pool, or a place for one, and mappings that reach the medium: findings
// about the machine, the host filesystem and the pool, each with the command that mends it.
//
// Looks only, and changes nothing; what it says may be stale when it is read. What FUSE and the
// kernel's connection have to say is found out elsewhere and put beside this. Stateless.
#pragma once

#include <string>
#include <vector>

#include "pmemdev/base/result.h"

namespace ingot::admin {

enum class Health : uint8_t {
  kOk,
  kWarning,  // it works, but something is lost
  kProblem,  // it doesn't work
};
[[nodiscard]] const char* NameOf(Health health);

struct Diagnosis {
  std::string subject;  // "kernel", "dax", "block layout": one word or two
  Health health = Health::kOk;
  std::string reason;
  std::string command;  // that mends it; empty: nothing to mend, or no command does
};
using Diagnoses = std::vector<Diagnosis>;

// Kernel version, transparent huge pages, limits of this process.
[[nodiscard]] Diagnoses ExamineMachine();
// The filesystem that a directory lies in: kind, DAX or huge pages, block layout, space.
[[nodiscard]] Diagnoses ExamineHostOf(const std::string& directory);
// A block device: DAX, where it begins, what is on it.
[[nodiscard]] Diagnoses ExamineDevice(const std::string& device);
// A pool: damage, recovery, kind. Nothing if there is none.
[[nodiscard]] Diagnoses ExaminePool(const std::string& pool);

}  // namespace ingot::admin
