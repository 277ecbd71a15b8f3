// SPDX-License-Identifier: BSD-3-Clause
// The operations whose pairs are crashed, and the pools that they begin on.
//
// Each is one call of a user (O_TMPFILE with its link is two). Given the same pool and FixedChance
// they store the same words each time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/volume/pools.h"

namespace ingot::tests {

// A change of a file's contents that a crash may leave in part.
struct TornRange {
  std::string path;
  uint64_t begin = 0;
  uint64_t end = UINT64_MAX;
  bool in_steps = false;  // as TornFile's
  bool takes_set_ids = false;
  bool takes_capability = false;
};

struct CrashOperation {
  std::string name;
  std::function<std::string(Volume&)> run;  // the answer, as a Subject says it
  std::optional<TornRange> torn{};          // none: all or nothing
  std::optional<Operation> operation{};     // what it is to the model, if the model knows it
};

enum class Base : uint8_t {
  kSmall,       // a few small things of every kind
  kLarge,       // files around 2 MiB
  kCrowded,     // directories whose leaves are about to split, and to merge
  kFull,        // hardly a page is free
  kPrivileged,  // files with set-id bits and capabilities
};

[[nodiscard]] const char* NameOf(Base base);
// What was done to make it, but for filling it up.
[[nodiscard]] std::vector<Operation> HistoryOf(Base base);
// The pool's file and the operations that make sense on it. The caller closes the descriptor.
[[nodiscard]] int MakeBase(Base base, const PoolOptions& options);
[[nodiscard]] std::vector<CrashOperation> OperationsOn(Base base);

}  // namespace ingot::tests
