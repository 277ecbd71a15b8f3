// SPDX-License-Identifier: BSD-3-Clause
// What libfuse has to say: it reports failures as text to a process-wide function, not as values.
//
// The last error is kept for the Error of the call that failed; everything goes to the log.
// Thread-safe.
#pragma once

#include <string>

namespace ingot {

void CollectFuseMessages();
// "what: message" of the last error since, or `what` alone; forgets it.
[[nodiscard]] std::string TakeFuseMessage(const std::string& what);

}  // namespace ingot
