// SPDX-License-Identifier: BSD-3-Clause
// Errors where memory is short.
#include "pmemdev/base/result.h"

#include <gtest/gtest.h>

#include "tests/support/failing_memory.h"

namespace ingot::tests {
namespace {

constexpr const char* kLong = "a context that is longer than what a string holds without the heap";

TEST(Result, ErrorsAreCopiedWithoutMemory) {
  const Result<void> failed = Failure(EIO, kLong);
  const Result<int> other = Failure(ENOSPC, kLong);
  Result<void> copy;
  Result<void> assigned = Failure(EPERM, kLong);
  Result<int> handed_up = 1;
  {
    const FailingMemory memory(1, FailingMemory::Failures::kAllFromThere);
    copy = failed;
    assigned = copy;
    handed_up = tl::unexpected<Error>(other.error());
  }
  EXPECT_EQ(copy.error_code(), EIO);
  EXPECT_EQ(assigned.error_code(), EIO);
  EXPECT_EQ(handed_up.error_code(), ENOSPC);
  const Result<void> whole = failed;
  EXPECT_EQ(whole.error().context, kLong);
}

}  // namespace
}  // namespace ingot::tests
