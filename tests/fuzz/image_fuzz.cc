// SPDX-License-Identifier: BSD-3-Clause
// Structured edits of a good pool, checksums made right again or not, then a trial of the pool.
#include "tests/fuzz/image_editor.h"
#include "tests/fuzz/pool_trial.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

constexpr size_t kMaxEdits = 24;

// Superblocks last, and seldom: what is wrong with them keeps all else from being looked at.
constexpr std::array kKinds = {
    SiteKind::kInode,       SiteKind::kInode,         SiteKind::kInode,
    SiteKind::kTreeNode,    SiteKind::kTreeNode,      SiteKind::kXattrHead,
    SiteKind::kXattrHead,   SiteKind::kDirectoryLeaf, SiteKind::kDirectoryLeaf,
    SiteKind::kGroupEntry,  SiteKind::kGroupEntry,    SiteKind::kAllocatedBitmap,
    SiteKind::kInodeBitmap, SiteKind::kLaneRecord,    SiteKind::kLaneHeader,
    SiteKind::kSuperblock};

// Bits of the first byte.
constexpr uint8_t kReportReadOnly = 1 << 0, kDontMount = 1 << 1, kEmpty = 1 << 2;
constexpr uint8_t kWide = 7 << 3;  // all of them

struct Sample {
  explicit Sample(SampleWidth width) : pool(MakeSamplePool(width)), editor(pool) {}
  ScratchPool pool;
  ImageEditor editor;
};

}  // namespace
}  // namespace ingot::tests

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes) {
  using namespace ingot::tests;
  static Sample narrow(SampleWidth::kNarrow), wide(SampleWidth::kWide);
  const FixedChance chance;
  Input input(bytes, size_bytes);
  const uint8_t choice = input.Byte();
  Sample& sample = (choice & kWide) == kWide ? wide : narrow;
  for (size_t i = 0; i < kMaxEdits && sample.editor.Edit(input, kKinds); ++i) continue;
  sample.editor.Seal();
  const PoolTrial::Options options{.report_read_only = (choice & kReportReadOnly) != 0,
                                   .mount_damaged = (choice & kDontMount) == 0,
                                   .empty_at_end = (choice & kEmpty) != 0};
  PoolTrial(sample.pool, options, input).All();
  sample.editor.Undo();
  return 0;
}
