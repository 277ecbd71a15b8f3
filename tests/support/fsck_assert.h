// SPDX-License-Identifier: BSD-3-Clause
// EXPECT_FSCK_CLEAN(device[, directory]): every test that touched a volume ends with it.
//
// Checks in report mode: stores nothing, and may be asked in the middle of a test while nobody else
// is inside the volume. Transactions that wait in the journal are no fault; what is behind them is
// checked.
#pragma once

#include <gtest/gtest.h>

#include "fs/core/backing_directory.h"
#include "pmemdev/device.h"

namespace ingot::tests {

// Fails with the first findings, one a line. Of a directory pool the region alone, without its
// directory.
[[nodiscard]] ::testing::AssertionResult IsFsckClean(Device& device,
                                                     BackingDirectory* directory = nullptr);

}  // namespace ingot::tests

#define EXPECT_FSCK_CLEAN(...) EXPECT_TRUE(::ingot::tests::IsFsckClean(__VA_ARGS__))
#define ASSERT_FSCK_CLEAN(...) ASSERT_TRUE(::ingot::tests::IsFsckClean(__VA_ARGS__))
