// SPDX-License-Identifier: BSD-3-Clause
// A formatted device in memory with the shared parts of a volume on it, without names or data, and
// a way to do it all again on the same bytes, as after a crash.
#pragma once

#include <memory>

#include <gtest/gtest.h>

#include "fs/core/core.h"
#include "tests/support/test_region.h"

namespace ingot::tests {

class CoreFixture : public ::testing::Test {
 protected:
  void Make(uint64_t size_bytes) {
    device_ = FormattedDevice(size_bytes);
    Open();
  }
  // Forgets all volatile state and opens the same bytes again.
  void Reopen() {
    core_.reset();
    Result<std::unique_ptr<Device>> device = ingot::tests::Reopen(std::move(device_));
    ASSERT_TRUE(device) << Describe(device.error());
    device_ = std::move(*device);
    Open();
  }

  Core& core() { return *core_; }
  Allocator& allocator() { return *core_->allocator; }
  Device& device() { return *device_; }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Core> core_;

 private:
  void Open() {
    Result<std::unique_ptr<Allocator>> allocator = Allocator::Open(*device_);
    ASSERT_TRUE(allocator) << Describe(allocator.error());
    core_ = std::make_unique<Core>(*device_, std::move(*allocator), VolumeOptions{});
  }
};

}  // namespace ingot::tests

// The value of a Result, or a fatal test failure that says its error.
#define ASSERT_OK(expression)                                                  \
  do {                                                                         \
    const auto& assert_ok_result = (expression);                               \
    ASSERT_TRUE(assert_ok_result.has_value())                                  \
        << #expression << ": " << ::ingot::Describe(assert_ok_result.error()); \
  } while (false)
#define EXPECT_ERROR(code_value, expression)                      \
  do {                                                            \
    const auto& expect_error_result = (expression);               \
    ASSERT_FALSE(expect_error_result.has_value()) << #expression; \
    EXPECT_EQ(expect_error_result.error().code, code_value)       \
        << ::ingot::Describe(expect_error_result.error());        \
  } while (false)
