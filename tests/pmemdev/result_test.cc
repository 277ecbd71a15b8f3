// SPDX-License-Identifier: BSD-3-Clause
// What becomes of exceptions: want of memory is ENOMEM, everything else is a bug; and what must
// work without memory does.
#include "pmemdev/base/result.h"

#include <gtest/gtest.h>

#include <limits>
#include <new>
#include <stdexcept>
#include <vector>

#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"
#include "tests/support/failing_memory.h"

namespace ingot::tests {
namespace {

TEST(NoThrow, MakesWantOfMemoryAnError) {
  EXPECT_EQ(NoThrow([]() -> Result<int> { throw std::bad_alloc(); }).error_code(), ENOMEM);
  EXPECT_EQ(NoThrow([]() -> Result<int> { throw std::bad_array_new_length(); }).error_code(),
            ENOMEM);
  const Result<size_t> too_long = NoThrow([]() -> Result<size_t> {
    std::vector<int> numbers;
    numbers.reserve(std::numeric_limits<size_t>::max());
    return numbers.capacity();
  });
  EXPECT_EQ(too_long.error_code(), ENOMEM);
}

TEST(NoThrowDeathTest, LetsNothingElseThrough) {
  EXPECT_DEATH((void)NoThrow([]() -> Result<void> { throw std::logic_error("a bug"); }),
               "terminate called");
}

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

TEST(CheckDeathTest, NeedsNoMemoryToSayWhatIsWrong) {
  const std::string value(400, 'v');
  EXPECT_DEATH(
      {
        const FailingMemory memory(1, FailingMemory::Failures::kAllFromThere);
        (void)NoThrow([&]() -> Result<void> {
          CHECK(value.empty(), "value {}", value);
          return {};
        });
      },
      "CHECK failed: value.empty\\(\\): value v{400}");
}

TEST(Log, LosesLinesThatCanNotBeMade) {
  const std::string value(1000, 'v');
  const FailingMemory memory(1, FailingMemory::Failures::kAllFromThere);
  log::Warning("value={}", value);  // no memory
  log::Warning("value={:{}}", 1, -1);  // a width that is known at run time only
  EXPECT_TRUE(FailingMemory::HasFailed());
}

}  // namespace
}  // namespace ingot::tests
