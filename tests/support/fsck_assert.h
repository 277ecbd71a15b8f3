// SPDX-License-Identifier: BSD-3-Clause
// EXPECT_FSCK_CLEAN(device): every test that touched a volume ends with it.
//
// Checks in report mode: stores nothing, and may be asked in the middle of a test while nobody else
// is inside the volume. Transactions that wait in the journal are no fault; what is behind them is
// checked.
#pragma once

#include <gtest/gtest.h>

#include "pmemdev/device.h"

namespace ingot::tests {

// Fails with the first findings, one a line.
[[nodiscard]] ::testing::AssertionResult IsFsckClean(Device& device);

}  // namespace ingot::tests

#define EXPECT_FSCK_CLEAN(device) EXPECT_TRUE(::ingot::tests::IsFsckClean(device))
#define ASSERT_FSCK_CLEAN(device) ASSERT_TRUE(::ingot::tests::IsFsckClean(device))
