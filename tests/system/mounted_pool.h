// SPDX-License-Identifier: BSD-3-Clause
// A directory pool on a TestHost, served by a daemon of its own; and a fixture whose tests run on
// that mount and on the bare host, where the same program must get the same answers.
//
// The daemon is the program of this build, in a process of its own, so that a test may fork, die of
// signals and kill the daemon. Owns the host, the mount and the daemon; its end unmounts whatever
// happened. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/system/test_host.h"

namespace ingot::tests {

class MountedPool {
 public:
  // Makes the pool; `options` are those of each mount, and so are the environment's
  // INGOT_TEST_OPTIONS.
  explicit MountedPool(uint64_t host_bytes, std::string options);
  ~MountedPool();
  MountedPool(const MountedPool&) = delete;

  // Empty: there is a pool. Else why there can be none here.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  // What `ingot mount` takes: a directory, or a device.
  [[nodiscard]] const std::string& host_path() const { return host_.pool(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] testing::AssertionResult Mount();
  // Orderly; fails while somebody uses it.
  [[nodiscard]] testing::AssertionResult Unmount();
  // kill -9; true once the daemon is gone. The mount is there still, dead, until DropMount().
  [[nodiscard]] bool KillDaemon();
  // Takes the mount out of the tree, whoever uses it.
  void DropMount();
  // `fsck -n`, unmounted.
  [[nodiscard]] testing::AssertionResult IsClean() const;
  // What the daemon has logged in all mounts.
  [[nodiscard]] std::string Log() const;

 private:
  TestHost host_;
  std::string options_;
  std::string why_not_;
  std::string folder_;  // holds the mount point and the log
  std::string path_;
  bool is_mounted_ = false;
};

enum class Place { kHost, kAuto, kAlways };
std::string NameOf(const testing::TestParamInfo<Place>& info);

// The place's files are backed if made by Create(). Whatever a test did, fsck finds nothing.
class OnHostAndMount : public testing::TestWithParam<Place> {
 protected:
  // Hosts of other sizes: tests that fill them.
  explicit OnHostAndMount(uint64_t host_bytes = 768 * kMiB) : host_bytes_(host_bytes) {}
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] bool is_mount() const { return GetParam() != Place::kHost; }
  [[nodiscard]] std::string Path(const std::string& name) const { return top_ + "/" + name; }
  // Opened O_RDWR, of that size, holes only. A failure of the test if a mapping isn't direct.
  [[nodiscard]] int Create(const std::string& name, uint64_t size_bytes) const;
  [[nodiscard]] MountedPool& pool() { return *pool_; }

 private:
  const uint64_t host_bytes_;
  std::unique_ptr<TestHost> host_;
  std::unique_ptr<MountedPool> pool_;
  std::string top_;
};

// Waits for it; 128 + signal if it died of one.
[[nodiscard]] int StatusOf(pid_t pid);

// What `child` returns, run in a process of its own. In there gtest's assertions are nobody's: it
// says by its result what was wrong, 0 for nothing.
[[nodiscard]] int InChild(const std::function<int()>& child);

}  // namespace ingot::tests
