// SPDX-License-Identifier: BSD-3-Clause
// Shared by the files that list operations.
//
// Adds to lists; no state.
#pragma once

#include <linux/falloc.h>

#include "tests/crash/operations.h"

namespace ingot::tests::crash {

using Operations = std::vector<CrashOperation>;

inline constexpr uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

void Add(Operations& list, std::string name, Operation operation);
// Of a file's contents, bytes from `begin` to `end` of which may be left in part.
void AddTorn(Operations& list, std::string name, Operation operation, uint64_t begin,
             uint64_t end = UINT64_MAX, bool in_steps = false);
// As AddTorn; the file is opened before and closed after it.
void AddClosed(Operations& list, std::string name, Operation operation, uint64_t begin,
               uint64_t end = UINT64_MAX, bool in_steps = false);

[[nodiscard]] Operations SmallOperations();
[[nodiscard]] std::vector<Operation> PrivilegedHistory();
[[nodiscard]] Operations PrivilegedOperations();
// What the model has no words for.
void GivePrivileges(Volume& volume);
[[nodiscard]] std::vector<Operation> OtherHistory(Base base);
[[nodiscard]] Operations OtherOperations(Base base);

}  // namespace ingot::tests::crash
