// SPDX-License-Identifier: BSD-3-Clause
// What a pool is recognised and recovered by, made of raw bytes: superblock copies, lane headers,
// group entries, and lanes with records whose checksum is right and whose payload is anything.
// Then: reading them, replaying, giving superblocks back, and a trial of the pool.
#include <cstring>

#include "fs/admin/restore_superblocks.h"
#include "pmemdev/base/check.h"
#include "pmemdev/journal_record.h"
#include "pmemdev/superblock.h"
#include "tests/fuzz/image_editor.h"
#include "tests/fuzz/pool_trial.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

constexpr size_t kMaxPieces = 24;
constexpr std::array kKinds = {SiteKind::kSuperblock, SiteKind::kLaneHeader, SiteKind::kLaneRecord,
                               SiteKind::kGroupEntry};

class Labels {
 public:
  Labels(ScratchPool& pool, ImageEditor& editor) : pool_(pool), editor_(editor) {}

  // False: the input says that it was the last.
  bool Add(Input& input) {
    const uint8_t choice = input.Byte();
    if (choice >= 224 || input.empty()) return false;
    switch (choice % 8) {
      case 0:
        OverlaySite(input, SiteKind::kSuperblock);
        break;
      case 1:
        OverlaySite(input, SiteKind::kLaneHeader);
        break;
      case 2:
        OverlaySite(input, SiteKind::kGroupEntry);
        break;
      case 3:
        AddResizedSuperblock(input);
        break;
      case 4:
        EraseSites(input);
        break;
      case 5:
        return editor_.Edit(input, kKinds);
      default:
        AddRecord(input);
    }
    return true;
  }

 private:
  template <typename T>
  T Load(MediaOffset at) const {
    T value;
    std::memcpy(&value, pool_.bytes() + at.value, sizeof(T));
    return value;
  }

  // Raw bytes over the present ones; sealed or not.
  void OverlaySite(Input& input, SiteKind kind) {
    const Site site = input.Pick(editor_.sites(kind));
    const bool sealed = input.Below(4) != 0;
    const uint64_t offset = input.Below(site.size_bytes);
    const auto bytes = input.Bytes(1 + input.Below(32));
    const size_t size = std::min<size_t>(bytes.size(), site.size_bytes - offset);
    editor_.Store(site.at + offset, std::as_bytes(bytes.first(size)));
    if (sealed) SealSite(pool_.bytes(), site);
  }

  // A copy of another size whose facts agree with each other, as an older or a grown pool has it.
  void AddResizedSuperblock(Input& input) {
    auto superblock = Load<media::Superblock>(MediaOffset(0));
    superblock.region_size_bytes = input.Below(20) * kHugePageSize;
    superblock.sequence += input.Below(4);
    const auto geometry = Geometry::ForRegion(superblock.region_size_bytes);
    if (geometry.has_value()) superblock.logical_page_count = geometry->page_count();
    ingot::Seal(superblock);
    const uint64_t copies = input.Below(8);
    for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
      if ((copies >> copy & 1) == 0) continue;
      const uint64_t end = input.Below(2) == 0 || superblock.region_size_bytes < media::kLabelSize
                               ? pool_.size_bytes()
                               : superblock.region_size_bytes;
      if (end <= pool_.size_bytes()) {
        editor_.Store(Geometry::SuperblockCopy(copy, end), BytesOf(superblock));
      }
    }
  }

  // All superblocks, or a run of lane headers: zeros, or those of another pool.
  void EraseSites(Input& input) {
    const SiteKind kind = input.Below(2) == 0 ? SiteKind::kSuperblock : SiteKind::kLaneHeader;
    const auto& sites = editor_.sites(kind);
    const uint64_t first = kind == SiteKind::kSuperblock ? 0 : input.Below(sites.size());
    const uint64_t count = std::min<uint64_t>(1 + input.Byte(), sites.size() - first);
    const bool zeros = input.Below(2) == 0;
    for (const Site& site : std::span(sites).subspan(first, count)) {
      std::vector<std::byte> bytes(site.size_bytes);
      if (!zeros) {
        std::memcpy(bytes.data(), pool_.bytes() + site.at.value, bytes.size());
        bytes[offsetof(media::LaneHeader, uuid) + 8] ^= std::byte{1};
      }
      editor_.Store(site.at, bytes);
      if (!zeros) SealSite(pool_.bytes(), site);
    }
  }

  MediaOffset Place(Input& input) {
    constexpr auto kAllKinds = static_cast<uint64_t>(SiteKind::kCount);
    const auto kind = static_cast<SiteKind>(input.Below(kAllKinds));
    if (input.Below(16) == 0) return MediaOffset(input.Take<uint64_t>() & ~uint64_t{7});
    const Site site = input.Pick(editor_.sites(kind));
    return site.at + input.Below(site.size_bytes / kWordSize) * kWordSize;
  }

  // Runs of words: raw, or what is there already with a change.
  void AddRecord(Input& input) {
    const auto lane = static_cast<uint32_t>(input.Below(media::kLaneCount));
    auto image = std::make_unique<LaneImage>();
    std::memset(static_cast<void*>(image.get()), 0, sizeof(*image));
    uint32_t used = 0;
    for (uint64_t runs = 1 + input.Below(4); runs > 0; --runs) {
      const MediaOffset at = Place(input);
      const auto words = static_cast<uint32_t>(1 + input.Below(input.Below(8) == 0 ? 2048 : 16));
      if (used + 1 + words > kLanePayloadWords) break;
      image->payload[used++] = PackRun(at, words);
      const uint64_t size_bytes = words * kWordSize;
      if (at.value < pool_.size_bytes() && size_bytes <= pool_.size_bytes() - at.value) {
        std::memcpy(&image->payload[used], pool_.bytes() + at.value, size_bytes);
      }
      image->payload[used + input.Below(words)] ^= input.Take<uint64_t>();
      used += words;
    }
    image->header.sequence = input.Byte();
    image->header.length_bytes = used * static_cast<uint32_t>(kWordSize);
    image->header.lane_index = input.Below(16) == 0 ? input.Byte() : lane;
    if (input.Below(16) == 0) image->header.length_bytes = input.Take<uint16_t>();
    const uint64_t size_bytes = sizeof(media::LaneRecord) + used * kWordSize;
    editor_.Store(RecordPlace(lane), std::as_bytes(std::span(image.get(), 1)).first(size_bytes));
    SealSite(pool_.bytes(), {SiteKind::kLaneRecord, RecordPlace(lane), 0, lane});
  }

  ScratchPool& pool_;
  ImageEditor& editor_;
};

// As dump and status do; and nothing is stored.
void Inspect(const ScratchPool& pool) {
  const auto device = Device::Open(pool.Map(true), {});
  if (!device.has_value()) return;
  (void)(*device)->journal().Inspect();
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    (void)(*device)->journal().Decode(lane);
  }
}

// After a replay no lane is valid, and the next opening finds nothing to do.
void Replay(const ScratchPool& pool) {
  const auto device = Device::Open(pool.MapPrivately(), {});
  if (!device.has_value() || !(*device)->writable()) return;
  const auto left = (*device)->journal().Inspect();
  CHECK(left.has_value() && left->valid_lanes == 0, "lanes are left after a replay");
}

void RestoreSuperblocks(const ScratchPool& pool) {
  const std::unique_ptr<Mapping> mapping = pool.MapPrivately();
  const auto done = admin::RestoreSuperblocks(*mapping);
  if (!done.has_value()) return;
  const auto again = admin::RestoreSuperblocks(*mapping);
  CHECK(again.has_value() && *again == admin::SuperblockRepair::kNothing, "twice: {}",
        again.has_value() ? "more was done" : Describe(again.error()));
}

}  // namespace
}  // namespace ingot::tests

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes) {
  using namespace ingot::tests;
  static ScratchPool pool(MakeSamplePool(SampleWidth::kNarrow));
  static ImageEditor editor(pool);
  const FixedChance chance;
  Input input(bytes, size_bytes);
  const uint8_t choice = input.Byte();
  Labels labels(pool, editor);
  for (size_t i = 0; i < kMaxPieces && labels.Add(input); ++i) continue;
  editor.Seal();
  Inspect(pool);
  Replay(pool);
  ingot::tests::RestoreSuperblocks(pool);
  const PoolTrial::Options options{.report_read_only = (choice & 1) != 0,
                                   .mount_damaged = (choice & 2) == 0};
  PoolTrial(pool, options, input).All();
  editor.Undo();
  return 0;
}
