// SPDX-License-Identifier: BSD-3-Clause
// The report of a check as a test's message.
#include "tests/support/fsck_assert.h"

#include "fs/check/check.h"

namespace ingot::tests {

::testing::AssertionResult IsFsckClean(Device& device, BackingDirectory* directory) {
  constexpr size_t kShown = 20;
  check::CheckOptions options;
  options.directory = directory;
  const Result<check::CheckReport> report = check::Check(device, options);
  if (!report) return ::testing::AssertionFailure() << "fsck failed: " << Describe(report.error());
  if (report->clean()) return ::testing::AssertionSuccess();
  ::testing::AssertionResult failure = ::testing::AssertionFailure();
  failure << "fsck found " << report->found << " faults";
  for (size_t i = 0; i < report->findings.size() && i < kShown; ++i) {
    const check::Finding& finding = report->findings[i];
    failure << "\n  [" << check::NameOf(finding.kind) << "] " << finding.text;
  }
  return failure;
}

}  // namespace ingot::tests
