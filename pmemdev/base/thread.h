// SPDX-License-Identifier: BSD-3-Clause
// Starting threads without exceptions: a limit on processes is an Error of whoever wanted one more,
// as is a lack of memory.
//
// Stateless; the thread is the caller's to join.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "pmemdev/base/result.h"

namespace ingot {

// EAGAIN: RLIMIT_NPROC or the system's own limit. ENOMEM.
template <typename Function>
Result<std::thread> StartThread(Function&& function) {
  return NoThrow([&]() -> Result<std::thread> {
    try {
      return std::thread(std::forward<Function>(function));
    } catch (const std::system_error& error) {
      return Failure(error.code().value(), "starting a thread");
    }
  });
}

}  // namespace ingot
