// SPDX-License-Identifier: BSD-3-Clause
// Operations in any order against the plain model: answers are equal, and whenever the volume is
// forgotten (as by a kill) and opened again, its tree is the model's and fsck finds nothing.
// Handles that outlive their names make orphans, which are gone after a recovery.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "fs/core/volume.h"
#include "pmemdev/base/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/operation_decoder.h"
#include "tests/fuzz/sample_pool.h"
#include "tests/fuzz/scratch_pool.h"
#include "tests/fuzz/volume_oracle.h"
#include "tests/model/plain_model.h"
#include "tests/model/volume_subject.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kPoolBytes = 40 * kMiB;
constexpr uint64_t kBudgetBytes = 12 * kMiB;
constexpr size_t kMaxSteps = 120;

class Run {
 public:
  Run(ScratchPool& pool, Input input) : pool_(pool), input_(input), decoder_("", kBudgetBytes) {
    const uint8_t choice = input_.Byte();
    options_.atomic = (choice & 1) != 0;
    options_.atime = (choice & 2) != 0 ? AtimeMode::kStrict : AtimeMode::kRelative;
    remove_all_ = (choice & 4) != 0;
    // Seldom: all of a group's array is touched when it is first used.
    page_array_ = (choice & 0x38) == 0x38 ? PageArrayChoice::kDevice : PageArrayChoice::kDram;
  }

  void All() {
    Open();
    const uint64_t free_bytes = volume_->Statistics().free_bytes;
    for (size_t step = 0; step < kMaxSteps && !input_.empty(); ++step) Step();
    Reopen();
    Compare();
    if (!remove_all_) return;
    RemoveAll(*volume_);
    RequireClean(volume_->device(), "of an emptied pool");
    CHECK(volume_->Statistics().free_bytes == free_bytes, "{} of {} bytes are free again",
          volume_->Statistics().free_bytes, free_bytes);
  }

 private:
  void Open() {
    DeviceOptions device_options;
    device_options.page_array = page_array_;
    auto device = Device::Open(pool_.Map(), device_options);
    CHECK(device.has_value(), "{}", Describe(device.error()));
    auto volume = Volume::Open(std::move(*device), options_);
    CHECK(volume.has_value(), "{}", Describe(volume.error()));
    volume_ = std::move(*volume);
  }

  // Nothing is closed or given back before the same bytes are opened again.
  void Reopen() {
    held_.clear();
    volume_.reset();
    Open();
    const std::atomic<bool> never{false};
    const auto recovered = volume_->orphans().Recover(never);
    CHECK(recovered.has_value(), "{}", Describe(recovered.error()));
    CHECK(volume_->core().allocator->Count().orphans == 0, "orphans are left");
  }

  void Compare() {
    VolumeSubject subject(*volume_);
    const std::string difference = TreeDifference(model_, subject);
    CHECK(difference.empty(), "{}", difference);
    RequireClean(volume_->device(), "after operations");
  }

  void Step() {
    const uint8_t choice = input_.Byte();
    if (choice < 240) {
      RunOperation(decoder_.Next(input_));
    } else if (choice < 246) {
      Hold(decoder_.Path(input_));
    } else if (choice < 250) {
      Release();
    } else if (choice < 253) {
      Reopen();
    } else {
      Compare();
    }
  }

  void RunOperation(const Operation& operation) {
    const std::string expected = model_.Run(operation);
    const std::string got = VolumeSubject(*volume_).Run(operation);
    CHECK(Fits(expected, got), "{}\nmodel:  {}\nvolume: {}", Describe(operation), expected, got);
  }

  // An open handle: its file outlives its name.
  void Hold(const std::string& path) {
    InodeNumber inode = Volume::kRoot;
    for (size_t at = 1; at < path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      const auto found = volume_->names().Lookup(inode, path.substr(at, end - at));
      if (!found) return;
      volume_->names().Forget(found->inode, 1);
      inode = found->inode;
      at = end + 1;
    }
    if (volume_->names().Open(inode).has_value()) held_.push_back(inode);
  }

  void Release() {
    if (held_.empty()) return;
    const size_t which = input_.Below(held_.size());
    volume_->names().Release(held_[which]);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(which));
  }

  ScratchPool& pool_;
  Input input_;
  OperationDecoder decoder_;
  VolumeOptions options_;
  PageArrayChoice page_array_ = PageArrayChoice::kDram;
  bool remove_all_ = false;
  PlainModel model_;
  std::unique_ptr<Volume> volume_;
  std::vector<InodeNumber> held_;
};

}  // namespace
}  // namespace ingot::tests

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes) {
  static ingot::tests::ScratchPool pool(ingot::tests::MakeEmptyPool(ingot::tests::kPoolBytes));
  const ingot::tests::FixedChance chance;
  ingot::tests::Run(pool, ingot::tests::Input(bytes, size_bytes)).All();
  pool.Reset();
  return 0;
}
