// SPDX-License-Identifier: BSD-3-Clause
// Random operations on a few files against plain bytes in memory: plain and atomic, with remounts.
#include "tests/fs/core/file_model.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kFarOffset = media::kMaxFileSize - (uint64_t{3} << 20);

struct ModelCase {
  uint64_t seed;
  bool atomic;
};

class FileModelTest : public FileDataFixture, public ::testing::WithParamInterface<ModelCase> {
 protected:
  static constexpr size_t kFiles = 3;
  static constexpr int kSteps = 400;

  void SetUp() override {
    options_.atomic = GetParam().atomic;
    Make(256 * kMiB, options_);
    random_.seed(GetParam().seed);
    // Their inode pages are made now, so that only data moves the counts.
    for (size_t i = 0; i < kFiles; ++i) numbers_[i] = MakeFile(kRoot, std::to_string(i));
    free_pages_ = FreePages();
  }

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  // Near borders that matter, or anywhere in the first 5 MiB; rarely far away.
  uint64_t RandomOffset() {
    static constexpr std::array<uint64_t, 8> kBorders{
        0, 336, kPageSize, kMiB - kPageSize, kMiB, 2 * kMiB, 4 * kMiB, 4 * kMiB + kPageSize};
    switch (Below(8)) {
      case 0:
        return Below(6000);
      case 1:
        return Below(40) == 0 ? kFarOffset + Below(2 * kMiB) : Below(5 * kMiB);
      case 2:
      case 3:
        return Below(5 * kMiB);
      case 4:
        return RoundDown(Below(5 * kMiB), kPageSize);
      default: {
        const uint64_t border = kBorders[Below(kBorders.size())];
        const uint64_t shift = Below(3000);
        return Below(2) == 0 ? border + shift : border - std::min(border, shift);
      }
    }
  }
  uint64_t RandomSize() {
    switch (Below(10)) {
      case 0:
        return 1 + Below(3 * kMiB);
      case 1:
        return kPageSize * (1 + Below(300));
      case 2:
      case 3:
        return 1 + Below(100'000);
      default:
        return 1 + Below(9000);
    }
  }

  void Step(int step) {
    const size_t file = Below(kFiles);
    const uint64_t offset = RandomOffset();
    const uint64_t size = RandomSize();
    InodeNumber number = numbers_[file];
    FileModel& model = models_[file];
    trace_ = fmt::format("step {} file {} offset {} size {}", step, file, offset, size);
    SCOPED_TRACE(trace_);
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return DoWrite(number, model, offset, size);
      case 4:
      case 5:
        return DoWrite(number, model, model.size_bytes(), size);  // append
      case 6:
        ASSERT_OK(data().Truncate(number, Below(3) == 0 ? Below(400) : offset, false));
        model.Truncate(Get(number).size_bytes);
        return;
      case 7:
        return DoFallocate(number, model, 0, offset, size);
      case 8:
        return DoFallocate(number, model, kFallocateKeepSize, offset, size);
      case 9:
        return DoFallocate(number, model, kFallocatePunchHole | kFallocateKeepSize, offset, size);
      case 10:
        return DoFallocate(number, model,
                           kFallocateZeroRange | (Below(2) == 0 ? kFallocateKeepSize : 0u), offset,
                           size);
      default:
        return DoCopy(file, offset, size);
    }
  }
  void DoWrite(InodeNumber number, FileModel& model, uint64_t offset, uint64_t size) {
    const uint64_t room = media::kMaxFileSize - std::min(offset, media::kMaxFileSize);
    if (room == 0) {
      EXPECT_ERROR(EFBIG, Write(number, offset, Noise(1, 1)));
      return;
    }
    const std::vector<std::byte> bytes = Noise(size, random_());
    const Result<uint64_t> written = Write(number, offset, bytes);
    ASSERT_OK(written);
    ASSERT_EQ(*written, std::min(size, room));
    model.Write(offset, std::span(bytes).first(*written));
  }
  void DoFallocate(InodeNumber number, FileModel& model, uint32_t mode, uint64_t offset,
                   uint64_t size) {
    trace_ += fmt::format(" fallocate {}", mode);
    const Result<void> done = data().Fallocate(number, mode, offset, size);
    if (offset + size > media::kMaxFileSize) {
      EXPECT_ERROR(EFBIG, done);
      return;
    }
    ASSERT_OK(done);
    if ((mode & ~uint32_t{kFallocateKeepSize}) != 0) model.Zero(offset, offset + size);
    if ((mode & kFallocateKeepSize) == 0) {
      model.Truncate(std::max(model.size_bytes(), offset + size));
    }
  }
  void DoCopy(size_t file, uint64_t offset, uint64_t size) {
    const size_t target = Below(kFiles);
    const uint64_t to = RandomOffset();
    const Result<uint64_t> copied =
        data().CopyRange(numbers_[file], offset, numbers_[target], to, size);
    const std::vector<std::byte> bytes =
        models_[file].Read(offset, std::min(size, media::kMaxFileSize - to));
    const uint64_t count = bytes.size();
    if (count > 0 && file == target && offset < to + count && to < offset + count) {
      EXPECT_ERROR(EINVAL, copied);
      return;
    }
    ASSERT_OK(copied);
    ASSERT_EQ(*copied, count);
    models_[target].Write(to, bytes);
  }

  void ExpectAllSame() {
    uint64_t used = 0;
    for (size_t i = 0; i < kFiles; ++i) {
      ASSERT_NO_FATAL_FAILURE(ExpectSame(numbers_[i], models_[i]));
      used += PagesOf(numbers_[i]);
    }
    ASSERT_EQ(free_pages_ - FreePages(), used) << "page_count and bitmaps disagree";
  }

  VolumeOptions options_;
  std::mt19937_64 random_;
  std::array<InodeNumber, kFiles> numbers_;
  std::array<FileModel, kFiles> models_;
  uint64_t free_pages_ = 0;
  std::string trace_;
};

TEST_P(FileModelTest, EveryByteIsAsInMemory) {
  for (int step = 0; step < kSteps; ++step) {
    ASSERT_NO_FATAL_FAILURE(Step(step)) << trace_;
    if (step % 100 == 99) Reopen(options_);
    if (step % 20 == 19) {
      ASSERT_NO_FATAL_FAILURE(ExpectAllSame()) << trace_;
    }
  }
  for (size_t i = 0; i < kFiles; ++i) {
    ASSERT_OK(data().Truncate(numbers_[i], 0, false));
    EXPECT_EQ(PagesOf(numbers_[i]), 0u);
  }
  EXPECT_EQ(FreePages(), free_pages_);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FileModelTest,
                         ::testing::Values(ModelCase{1, false}, ModelCase{2, false},
                                           ModelCase{3, false}, ModelCase{4, true},
                                           ModelCase{5, true}),
                         [](const auto& test) {
                           return fmt::format("{}{}", test.param.atomic ? "Atomic" : "Plain",
                                              test.param.seed);
                         });

}  // namespace
}  // namespace ingot::tests
