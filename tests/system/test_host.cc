// SPDX-License-Identifier: BSD-3-Clause
// Running the program, and a device's ordinary mount.
#include "tests/system/test_host.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "tests/paths.h"

namespace ingot::tests {
namespace {

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

testing::AssertionResult RunIngot(const std::vector<std::string>& arguments, std::string* output) {
  std::string command = "'" + (BuildDir() / "ingot").string() + "'";
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return testing::AssertionFailure() << "popen: " << strerror(errno);
  std::string said;
  char buffer[4096];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof(buffer), pipe)) != 0;) {
    said.append(buffer, got);
  }
  const int status = pclose(pipe);
  if (output != nullptr) *output = said;
  if (status == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << command << ": status " << status << ": " << said;
}

bool TestHost::IsDax() {
  return !Environment("INGOT_TEST_DEVICE").empty();
}

TestHost::TestHost(uint64_t size_bytes) {
  testing::AssertionResult made = testing::AssertionSuccess();
  if (IsDax()) {
    pool_ = Environment("INGOT_TEST_DEVICE");
    made = RunIngot(
        {"mkfs", "--format", "--force", "--host=" + Environment("INGOT_TEST_POOL"), pool_});
  } else {
    tmpfs_ = std::make_unique<HugeTmpfs>(size_bytes);
    if (!tmpfs_->is_mounted()) {
      why_not_ = fmt::format("no tmpfs can be mounted: {}", strerror(errno));
      return;
    }
    pool_ = tmpfs_->path();
    made = RunIngot({"mkfs", pool_});
  }
  EXPECT_TRUE(made);
}

TestHost::~TestHost() {
  if (bare_.empty()) return;
  umount2(bare_.c_str(), MNT_DETACH);
  rmdir(bare_.c_str());
}

testing::AssertionResult TestHost::MountBare(std::string& folder) {
  if (tmpfs_ != nullptr) {
    folder = tmpfs_->path();
    return testing::AssertionSuccess();
  }
  bare_ = "/tmp/ingot-bare-XXXXXX";
  if (mkdtemp(bare_.data()) == nullptr) std::abort();
  if (mount(pool_.c_str(), bare_.c_str(), Environment("INGOT_TEST_POOL").c_str(), 0,
            "dax=always") != 0) {
    return testing::AssertionFailure() << "mount " << pool_ << ": " << strerror(errno);
  }
  folder = bare_;
  return testing::AssertionSuccess();
}

}  // namespace ingot::tests
