// SPDX-License-Identifier: BSD-3-Clause
// Each edit is a handful of bytes: what, where, how. Sealing comes last, inner checksums first.
#include "tests/fuzz/image_editor.h"

#include <cstring>

#include "fs/core/blocks.h"
#include "pmemdev/journal_record.h"

namespace ingot::tests {
namespace {

constexpr std::array<uint64_t, 26> kNumbers = {0,
                                               1,
                                               2,
                                               3,
                                               7,
                                               8,
                                               15,
                                               16,
                                               31,
                                               32,
                                               255,
                                               256,
                                               511,
                                               4095,
                                               4096,
                                               32767,
                                               32768,
                                               65535,
                                               ~0U,
                                               1U << 31,
                                               uint64_t{1} << 32,
                                               uint64_t{1} << 47,
                                               uint64_t{1} << 48,
                                               uint64_t{1} << 62,
                                               uint64_t{1} << 63,
                                               ~uint64_t{0}};

std::span<const Field> FieldsOf(SiteKind kind) {
  switch (kind) {
    case SiteKind::kInode:
      return media::kFieldsOf<media::Inode>;
    case SiteKind::kTreeNode:
    case SiteKind::kDirectoryLeaf:
    case SiteKind::kXattrHead:
      return media::kFieldsOf<media::BlockHeader>;
    case SiteKind::kGroupEntry:
      return media::kFieldsOf<media::GroupEntry>;
    case SiteKind::kSuperblock:
      return media::kFieldsOf<media::Superblock>;
    case SiteKind::kLaneHeader:
      return media::kFieldsOf<media::LaneHeader>;
    case SiteKind::kLaneRecord:
      return media::kFieldsOf<media::LaneRecord>;
    default:
      return {};
  }
}

// Where 16-byte records or slots lie in a struct; none: behind its end.
uint32_t RecordsBegin(SiteKind kind) {
  switch (kind) {
    case SiteKind::kInode:
      return offsetof(media::Inode, tail);
    case SiteKind::kTreeNode:
      return offsetof(media::TreeNode, records);
    case SiteKind::kDirectoryLeaf:
      return offsetof(media::DirectoryLeaf, slots);
    case SiteKind::kXattrHead:
      return sizeof(media::BlockHeader);
    default:
      return 0;
  }
}

}  // namespace

ImageEditor::ImageEditor(ScratchPool& pool) : pool_(pool) {
  numbers_.assign(kNumbers.begin(), kNumbers.end());
  for (const Site& site : FindSites(pool.bytes(), pool.size_bytes())) {
    sites_[static_cast<size_t>(site.kind)].push_back(site);
    const bool is_numbered = site.kind <= SiteKind::kXattrHead;
    if (is_numbered) numbers_.push_back(site.index);
  }
}

void ImageEditor::Touch(MediaOffset at, uint64_t size_bytes) {
  const uint64_t end = std::min(at.value + size_bytes, pool_.size_bytes());
  for (uint64_t page = RoundDown(at.value, kPageSize); page < end; page += kPageSize) {
    if (before_.contains(page)) continue;
    const std::byte* bytes = pool_.bytes() + page;
    before_.emplace(page, std::vector<std::byte>(bytes, bytes + kPageSize));
  }
}

void ImageEditor::Store(MediaOffset at, std::span<const std::byte> bytes) {
  Touch(at, bytes.size());
  std::memcpy(pool_.bytes() + at.value, bytes.data(), bytes.size());
}

void ImageEditor::Undo() {
  for (const auto& [page, bytes] : before_) {
    std::memcpy(pool_.bytes() + page, bytes.data(), bytes.size());
  }
  before_.clear();
  to_seal_.clear();
}

void ImageEditor::Seal() {
  // Group entries cover their bitmaps' checksums and lie below all data; records cover nothing that
  // is sealed here. So the order of places is an order of sealing, backwards.
  for (auto site = to_seal_.rbegin(); site != to_seal_.rend(); ++site) {
    const GroupIndex group(site->second.index);
    const bool is_bitmap = site->second.kind == SiteKind::kAllocatedBitmap ||
                           site->second.kind == SiteKind::kInodeBitmap;
    if (is_bitmap) Touch(Geometry::GroupEntryAt(group), sizeof(media::GroupEntry));
    SealSite(pool_.bytes(), site->second);
  }
}

uint64_t ImageEditor::Value(Input& input, uint64_t present) {
  const uint8_t way = input.Byte();
  switch (way % 8) {
    case 0:
      return present ^ uint64_t { 1 } << input.Below(64);
    case 1:
      return present + 1;
    case 2:
      return present - 1;
    case 3:
      return present + static_cast<uint64_t>(static_cast<int64_t>(input.Take<int8_t>()));
    case 4:
      return input.Take<uint64_t>();
    case 5: {
      // The low 48 bits alone: an extent's or a run's place, with its length kept.
      constexpr uint64_t kPlace = (uint64_t{1} << 48) - 1;
      return (present & ~kPlace) | (input.Pick(numbers_) & kPlace);
    }
    default:
      return input.Pick(numbers_) + (way < 128 ? 0 : input.Byte());
  }
}

void ImageEditor::EditNumber(Input& input, MediaOffset at, uint32_t size_bytes) {
  uint64_t value = 0;
  std::memcpy(&value, pool_.bytes() + at.value, size_bytes);
  value = Value(input, value);
  Store(at, std::as_bytes(std::span(&value, 1)).first(size_bytes));
}

void ImageEditor::EditField(Input& input, const Site& site) {
  const std::span<const Field> fields = FieldsOf(site.kind);
  if (fields.empty()) return EditBit(input, site);
  const Field& field = fields[input.Below(fields.size())];
  const MediaOffset at = site.at + field.offset_bytes;
  if (field.size_bytes <= sizeof(uint64_t)) return EditNumber(input, at, field.size_bytes);
  const uint64_t within = input.Below(field.size_bytes - sizeof(uint64_t) + 1);
  EditNumber(input, at + within, sizeof(uint64_t));
}

void ImageEditor::EditRaw(Input& input, const Site& site) {
  const uint64_t offset = input.Below(site.size_bytes);
  const auto bytes = input.Bytes(1 + input.Below(8));
  const size_t size = std::min<size_t>(bytes.size(), site.size_bytes - offset);
  Store(site.at + offset, std::as_bytes(bytes.first(size)));
}

void ImageEditor::EditRecord(Input& input, const Site& site) {
  const uint32_t begin = RecordsBegin(site.kind);
  if (begin == 0) return EditField(input, site);
  const uint64_t words = (site.size_bytes - begin) / sizeof(uint64_t);
  // The first ones matter most.
  const uint64_t word =
      input.Below(2) == 0 ? input.Below(std::min<uint64_t>(words, 48)) : input.Below(words);
  EditNumber(input, site.at + begin + word * sizeof(uint64_t), sizeof(uint64_t));
}

void ImageEditor::EditBit(Input& input, const Site& site) {
  // Bits of the pages that the sample uses, mostly.
  const uint64_t bit = input.Below(2) == 0 ? input.Below(1024) : input.Below(site.size_bytes * 8);
  const MediaOffset at = site.at + bit / 8 % site.size_bytes;
  const std::byte changed = pool_.bytes()[at.value] ^ std::byte{1} << (bit % 8);
  Store(at, std::span(&changed, 1));
}

void ImageEditor::CopyOther(Input& input, const Site& site) {
  const Site other = input.Pick(sites(site.kind));
  const uint32_t size = std::min(site.size_bytes, other.size_bytes);
  const std::byte* from = pool_.bytes() + other.at.value;
  const std::vector<std::byte> bytes(from, from + size);
  Store(site.at, bytes);
  if (input.Below(2) == 0) return;
  // As if it had always been here.
  const uint64_t index = site.index;
  const auto place = std::as_bytes(std::span(&index, 1));
  if (site.kind == SiteKind::kInode) Store(site.at + offsetof(media::Inode, number), place);
  if (site.kind >= SiteKind::kTreeNode && site.kind <= SiteKind::kXattrHead) {
    Store(site.at + offsetof(media::BlockHeader, page), place);
  }
}

void ImageEditor::MoveToLane(Input& input, const Site& site) {
  const auto lane = static_cast<uint32_t>(input.Below(media::kLaneCount));
  const bool is_target = site.kind <= SiteKind::kInodeBitmap;
  const auto page = before_.find(RoundDown(site.at.value, kPageSize));
  if (!is_target || page == before_.end()) return;
  SealSite(pool_.bytes(), site);
  auto image = std::make_unique<LaneImage>();
  std::memset(static_cast<void*>(image.get()), 0, sizeof(*image));
  const uint32_t words = site.size_bytes / static_cast<uint32_t>(kWordSize);
  image->payload[0] = PackRun(site.at, words);
  std::memcpy(&image->payload[1], pool_.bytes() + site.at.value, site.size_bytes);
  image->header.sequence = 1000 + lane;
  image->header.length_bytes = (words + 1) * static_cast<uint32_t>(kWordSize);
  image->header.lane_index = lane;
  const size_t size = sizeof(media::LaneRecord) + image->header.length_bytes;
  Store(RecordPlace(lane), std::as_bytes(std::span(image.get(), 1)).first(size));
  const Site record{SiteKind::kLaneRecord, RecordPlace(lane), static_cast<uint32_t>(size), lane};
  to_seal_.insert_or_assign(record.at.value, record);
  std::memcpy(pool_.bytes() + site.at.value, page->second.data() + site.at.value % kPageSize,
              site.size_bytes);
  to_seal_.erase(site.at.value);
}

bool ImageEditor::Edit(Input& input, std::span<const SiteKind> kinds) {
  const uint8_t choice = input.Byte();
  if (choice >= 224 || input.empty()) return false;
  const auto& among = sites(input.Pick(kinds));
  if (among.empty()) return true;
  const Site site = input.Pick(among);
  const bool sealed = choice % 4 != 0;
  switch (choice / 4 % 8) {
    case 0:
    case 1:
      EditField(input, site);
      break;
    case 2:
    case 3:
      EditRecord(input, site);
      break;
    case 4:
      EditRaw(input, site);
      break;
    case 5:
      EditBit(input, site);
      break;
    case 6:
      CopyOther(input, site);
      break;
    default:
      MoveToLane(input, site);
      return true;
  }
  if (sealed) to_seal_.insert_or_assign(site.at.value, site);
  return true;
}

}  // namespace ingot::tests
