// SPDX-License-Identifier: BSD-3-Clause
// Where the tests of direct mappings have their host filesystem: a tmpfs of 2 MiB pages, or, if the
// environment says INGOT_TEST_DEVICE=/dev/pmem0 and INGOT_TEST_POOL=ext4 or xfs, one that
// `ingot mkfs --format` made on that device, whose contents are lost.
//
// Owns what it mounts, and unmounts it at its end, whatever happened. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/system/mapped_file.h"

namespace ingot::tests {

// Runs the ingot of this build; the result says what it printed, and so does `output`.
[[nodiscard]] testing::AssertionResult RunIngot(const std::vector<std::string>& arguments,
                                                std::string* output = nullptr);

class TestHost {
 public:
  // Whether hosts are on a device with DAX: then there is one at a time, of the device's size.
  [[nodiscard]] static bool IsDax();
  // With an empty pool; `size_bytes` is that of a tmpfs.
  explicit TestHost(uint64_t size_bytes);
  ~TestHost();
  TestHost(const TestHost&) = delete;

  // Empty: there is one. Else why there can be none here.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  // What `ingot mount` takes.
  [[nodiscard]] const std::string& pool() const { return pool_; }
  // A folder on the host filesystem itself, for files beside the pool's. Not while it is mounted.
  [[nodiscard]] testing::AssertionResult MountBare(std::string& folder);

 private:
  std::unique_ptr<HugeTmpfs> tmpfs_;
  std::string why_not_;
  std::string pool_;
  std::string bare_;  // where a device is mounted
};

}  // namespace ingot::tests
