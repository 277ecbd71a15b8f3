// SPDX-License-Identifier: BSD-3-Clause
// A volume in process against the plain model: random operations, every answer compared; every so
// often the whole tree is compared, the volume is forgotten and opened again, and fsck must find
// nothing. Each word that is logged on the way is looked at: is its lock held?
//
// INGOT_MODEL_OPERATIONS and INGOT_MODEL_SEED replay or lengthen a run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "fs/core/volume.h"
#include "tests/model/generator.h"
#include "tests/model/plain_model.h"
#include "tests/model/volume_subject.h"
#include "tests/support/fsck_assert.h"
#include "tests/support/lock_checker.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{2} << 30;
constexpr uint64_t kCheckEvery = 25'000;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kOperations = 60'000;
#else
constexpr uint64_t kOperations = 350'000;  // times three seeds
#endif

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::unique_ptr<Volume> Open(std::unique_ptr<Device> device, const VolumeOptions& options) {
  Result<std::unique_ptr<Volume>> volume = Volume::Open(std::move(device), options);
  if (!volume) ADD_FAILURE() << Describe(volume.error());
  return volume ? std::move(*volume) : nullptr;
}

class ModelTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    std::unique_ptr<Device> device = FormattedDevice(kPoolBytes);
    ASSERT_TRUE(Volume::Format(*device, Caller{}));
    volume_ = Open(std::move(device), options_);
    ASSERT_NE(volume_, nullptr);
    checker_ = std::make_unique<LockChecker>(*volume_);
    free_at_start_ = volume_->Statistics().free_bytes;
  }

  void ReopenAndCheck(PlainModel& model) {
    // A mapping of the same bytes outlives the volume: nothing is written at the end of its life.
    const int fd = dup(volume_->device().mapping().fd());
    ExpectCovered();
    checker_.reset();
    volume_.reset();
    Result<std::unique_ptr<Mapping>> mapping = Mapping::FromDescriptor(fd, TestMappingOptions());
    ASSERT_TRUE(mapping) << Describe(mapping.error());
    Result<std::unique_ptr<Device>> device = Device::Open(std::move(*mapping), {});
    ASSERT_TRUE(device) << Describe(device.error());
    EXPECT_FSCK_CLEAN(**device);
    volume_ = Open(std::move(*device), options_);
    ASSERT_NE(volume_, nullptr);
    checker_ = std::make_unique<LockChecker>(*volume_);
    VolumeSubject subject(*volume_);
    ASSERT_EQ(TreeDifference(model, subject), "");
  }

  // Lock coverage, of all transactions since the volume was opened.
  void ExpectCovered() {
    EXPECT_TRUE(checker_->faults().empty()) << checker_->faults()[0];
    checked_words_ += checker_->checked_words();
  }

  void Run(uint64_t seed, uint64_t operations) {
    PlainModel model;
    Generator generator({.seed = seed});
    for (uint64_t i = 1; i <= operations; ++i) {
      const Operation operation = generator.Next();
      const std::string expected = model.Run(operation);
      const std::string got = VolumeSubject(*volume_).Run(operation);
      ASSERT_TRUE(Fits(expected, got))
          << "seed " << seed << " operation " << i << ": " << Describe(operation)
          << "\nmodel:  " << expected << "\nvolume: " << got;
      if (i % kCheckEvery == 0) {
        ASSERT_NO_FATAL_FAILURE(ReopenAndCheck(model)) << "seed " << seed << " operation " << i;
      }
    }
    ASSERT_NO_FATAL_FAILURE(ReopenAndCheck(model));
    EXPECT_GT(checked_words_, operations);
  }

  // Everything below "/" goes; then the pool is as free as it was.
  void RemoveAll(const std::string& path) {
    VolumeSubject subject(*volume_);
    const std::string names = subject.Run({.kind = Kind::kReadDirectory, .path = path});
    std::istringstream words(names);
    for (std::string name; words >> name;) {
      if (name == "ok") continue;
      const std::string child = (path == "/" ? "/" : path + "/") + name;
      if (subject.Run({.kind = Kind::kUnlink, .path = child}) == "ok") continue;
      RemoveAll(child);
      ASSERT_EQ(subject.Run({.kind = Kind::kRmdir, .path = child}), "ok") << child;
    }
  }

  VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<LockChecker> checker_;
  uint64_t free_at_start_ = 0;
  uint64_t checked_words_ = 0;
};

TEST_P(ModelTest, TheVolumeAnswersAsTheModel) {
  const uint64_t seed = FromEnvironment("INGOT_MODEL_SEED", GetParam());
  ASSERT_NO_FATAL_FAILURE(Run(seed, FromEnvironment("INGOT_MODEL_OPERATIONS", kOperations)));
  ASSERT_NO_FATAL_FAILURE(RemoveAll("/"));
  EXPECT_EQ(volume_->Statistics().free_bytes, free_at_start_);
  ExpectCovered();
  EXPECT_FSCK_CLEAN(volume_->device());
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Values(1, 2, 3));

class AtomicModelTest : public ModelTest {
 protected:
  AtomicModelTest() { options_.atomic = true; }
};

TEST_P(AtomicModelTest, TheVolumeAnswersAsTheModel) {
  const uint64_t seed = FromEnvironment("INGOT_MODEL_SEED", GetParam());
  ASSERT_NO_FATAL_FAILURE(Run(seed, FromEnvironment("INGOT_MODEL_OPERATIONS", kOperations / 5)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, AtomicModelTest, ::testing::Values(11));

}  // namespace
}  // namespace ingot::tests
