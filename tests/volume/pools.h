// SPDX-License-Identifier: BSD-3-Clause
// Pools in memory that are copied, forgotten and opened again, and a volume on one that is kept
// equal to a plain model.
//
// A pool is a memfd; who opens it gives the descriptor away. Not thread-safe, but for what a volume
// hands out.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fs/core/volume.h"
#include "tests/fs/core/core_fixture.h"
#include "tests/model/operation.h"
#include "tests/model/plain_model.h"
#include "tests/model/volume_subject.h"
#include "tests/support/fsck_assert.h"
#include "tests/support/test_region.h"

namespace ingot::tests {

struct PoolOptions {
  MappingOptions mapping = TestMappingOptions();
  DeviceOptions device{};
  VolumeOptions volume{};
};

// Another memfd of the same bytes; holes stay holes.
[[nodiscard]] int CopyOfPool(int fd);
[[nodiscard]] int DuplicateOf(int fd);
[[nodiscard]] Result<std::unique_ptr<Volume>> OpenPool(int fd, const PoolOptions& options = {});
// Formatted as TestFormatOptions says, with an empty root.
[[nodiscard]] int NewPool(uint64_t size_bytes);

// Everything below "/" of the volume.
[[nodiscard]] std::string TreeOf(Volume& volume);
// The inode at a path, without a reference; fails the test if there is none.
[[nodiscard]] InodeNumber InodeAt(Volume& volume, const std::string& path);

// Copies the pool when the first transaction's record is durable, before its words are stored.
class CopyWhenValid : public JournalObserver {
 public:
  explicit CopyWhenValid(Device& device) : device_(device) { device.journal().set_observer(this); }
  ~CopyWhenValid() override { device_.journal().set_observer(nullptr); }
  CopyWhenValid(const CopyWhenValid&) = delete;
  void OnLog(uint32_t, MediaOffset, uint64_t) override {}
  void OnRelease(uint32_t) override {}
  void OnValid(uint32_t lane) override {
    if (image >= 0) return;
    image = CopyOfPool(device_.mapping().fd());
    valid_lane = lane;
  }

  int image = -1;  // its user's to close
  uint32_t valid_lane = 0;

 private:
  Device& device_;
};

// A volume and the model that says what it must be.
class ModelledPool {
 public:
  explicit ModelledPool(uint64_t size_bytes, PoolOptions options = {});
  // On a copy of bytes that came about by `history`.
  ModelledPool(int image, const std::vector<Operation>& history, PoolOptions options = {});

  [[nodiscard]] Volume& volume() { return *volume_; }
  [[nodiscard]] Device& device() { return volume_->device(); }
  [[nodiscard]] PlainModel& model() { return model_; }
  [[nodiscard]] int fd() { return device().mapping().fd(); }

  // On both; fails the test if their answers differ.
  void Run(const Operation& operation);
  // On the volume alone: its answer.
  std::string RunOnVolume(const Operation& operation);

  // As after a kill: nothing is closed before the same bytes are opened again.
  void Reopen();
  // The volume goes on with other bytes, which a descriptor holds.
  void Use(int fd);
  void Close() { volume_.reset(); }

  // The trees are equal and fsck finds nothing.
  void ExpectWhole();

 private:
  PoolOptions options_;
  PlainModel model_;
  std::unique_ptr<Volume> volume_;
};

}  // namespace ingot::tests
