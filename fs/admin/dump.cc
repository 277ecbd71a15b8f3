// SPDX-License-Identifier: BSD-3-Clause
// dump of the device layer's structures: superblock, groups, journal.
#include "fs/admin/dump.h"

#include <cstring>

#include <fmt/format.h>

#include "fs/core/backing_ledger.h"
#include "fs/core/page_bitmap.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/lane_header.h"

namespace ingot::admin {
namespace {

// Reads T at a place of the medium; a problem is noted and returned as the state.
template <typename T>
bool ReadAt(RawPool& pool, MediaOffset at, T& object, Json& json) {
  const Result<void> read = pool.mapping().Read(at, WritableBytesOf(object));
  if (read.has_value()) return true;
  json["state"] = "unreadable";
  pool.Note(fmt::format("offset {}: {}", at.value, Describe(read.error())));
  return false;
}

// One of a group's two bitmap pages: how many bits are set, and whether the entry's checksum
// agrees.
Json DescribeBitmap(RawPool& pool, GroupIndex group, uint32_t index, uint32_t checksum,
                    uint32_t page_count) {
  Json json;
  PageBitmap bitmap;
  const LogicalPage page = FirstPageOf(group) + index;
  json["page"] = page.value;
  const auto bytes = WritableBytesOf(bitmap);
  if (const auto read = pool.ReadPage(page, bytes); !read.has_value()) {
    json["state"] = "unreadable";
    pool.Note(fmt::format("group {}: bitmap: {}", group.value, Describe(read.error())));
    return json;
  }
  const bool agrees = Crc32c(bytes) == checksum;
  json["state"] = agrees ? "whole" : "damaged";
  if (!agrees) {
    pool.Note(fmt::format("group {}: bitmap at page {}: checksum", group.value, page.value));
  }
  json["bits_set"] = kPagesPerGroup - CountClear(bitmap);
  Json runs = Json::array();
  for (uint32_t at = NextSet(bitmap, 0); at < page_count && runs.size() < 64;) {
    uint32_t end = at;
    while (end < page_count && TestBit(bitmap, end)) ++end;
    runs.push_back({{"first", at}, {"pages", end - at}});
    at = NextSet(bitmap, end);
  }
  json["first_runs"] = std::move(runs);
  return json;
}

// Numbers in their order, without the empty places between them.
Json DescribeLedger(RawPool& pool) {
  media::BackingLedger ledger;
  Json json;
  json["page"] = BackingLedger::kPage.value;
  const auto bytes = WritableBytesOf(ledger);
  if (const auto read = pool.ReadPage(BackingLedger::kPage, bytes); !read.has_value()) {
    json["state"] = "unreadable";
    pool.Note(fmt::format("ledger of backing files: {}", Describe(read.error())));
    return json;
  }
  const uint32_t crc = BlockChecksum(bytes, offsetof(media::BlockHeader, checksum),
                                     BackingLedger::kPage.value);
  const bool is_whole =
      ledger.header.magic == media::kLedgerMagic && ledger.header.checksum == crc;
  json["state"] = is_whole ? "whole" : "damaged";
  if (!is_whole) pool.Note("ledger of backing files: magic or checksum");
  json["header"] = Describe(ledger.header);
  json["next_number"] = ledger.next_number;
  Json numbers = Json::array();
  for (const uint64_t number : ledger.numbers) {
    if (number != 0) numbers.push_back(number);
  }
  json["numbers"] = std::move(numbers);
  return json;
}

// Null for a lane that holds nothing.
Json DescribeLane(RawPool& pool, const Journal& journal, uint32_t lane) {
  Json json;
  json["lane"] = lane;
  json["offset"] = Geometry::Lane(lane).value;
  const Result<media::LaneHeader> header = ReadLaneHeader(pool.mapping(), lane);
  if (!header.has_value()) {
    json["header"] = Describe(header.error());
    pool.Note(fmt::format("lane {}: header: {}", lane, Describe(header.error())));
  }
  media::LaneRecord record{};
  if (!ReadAt(pool, Geometry::Lane(lane) + media::kLaneRecordOffset, record, json)) return json;
  if (record.checksum == 0) {
    if (header.has_value()) return nullptr;
    json["state"] = "empty";
    return json;
  }
  json["record"] = Describe(record);
  const Result<std::vector<Journal::Run>> runs = journal.Decode(lane);
  if (!runs.has_value()) {
    const bool torn = runs.error_code() == ENOENT;
    json["state"] = torn ? "torn" : "damaged";
    if (!torn) pool.Note(fmt::format("lane {}: {}", lane, Describe(runs.error())));
    return json;
  }
  json["state"] = "valid";
  Json list = Json::array();
  for (const Journal::Run& run : *runs) {
    Json words = Json::array();
    for (const uint64_t word : run.words) words.push_back(fmt::format("{:#018x}", word));
    list.push_back({{"offset", run.at.value}, {"words", std::move(words)}});
  }
  json["runs"] = std::move(list);
  return json;
}

}  // namespace

Result<Json> DumpSuperblock(RawPool& pool) {
  Json copies = Json::array();
  for (uint32_t copy = 0; copy < media::kSuperblockCopies; ++copy) {
    Json json;
    const MediaOffset at = Geometry::SuperblockCopy(copy, pool.geometry().region_size_bytes());
    json["copy"] = copy;
    json["offset"] = at.value;
    media::Superblock superblock{};
    if (ReadAt(pool, at, superblock, json)) {
      media::Superblock sealed = superblock;
      Seal(sealed);
      const bool whole = superblock.magic == media::kSuperblockMagic &&
                         superblock.checksum == sealed.checksum;
      json["state"] = whole ? "whole" : "damaged";
      json["fields"] = Describe(superblock);
    }
    copies.push_back(std::move(json));
  }
  return Json{{"copies", std::move(copies)}, {"problems", pool.problems()}};
}

Result<Json> DumpGroup(RawPool& pool, GroupIndex group) {
  const uint64_t count = pool.geometry().group_count();
  if (group.value >= count) {
    return Failure(ENOENT, fmt::format("there is no group {}, the last one is {}", group.value,
                                       count - 1));
  }
  const GroupTable table(pool.mapping(), pool.geometry(), pool.superblock().uuid);
  const media::GroupEntry entry = TRY(table.ReadUnchecked(group));
  Json json;
  json["group"] = group.value;
  json["entry_offset"] = Geometry::GroupEntryAt(group).value;
  json["page_array_offset"] = Geometry::PageArrayOf(group).value;
  json["data_offset"] = Geometry::DataOf(group).value;
  json["first_page"] = FirstPageOf(group).value;
  json["entry"] = Describe(entry);
  if (const auto valid = table.Validate(group, entry); !valid.has_value()) {
    pool.Note(valid.error().context);
  }
  if ((entry.flags & media::kGroupUninitialised) == 0) {
    const uint32_t pages = pool.geometry().PagesIn(group);
    json["allocated"] =
        DescribeBitmap(pool, group, media::kAllocatedBitmapPage, entry.allocated_checksum, pages);
    json["inode_pages"] =
        DescribeBitmap(pool, group, media::kInodeBitmapPage, entry.inode_checksum, pages);
  }
  const uint64_t features = pool.superblock().features_incompatible;
  if (GroupOf(BackingLedger::kPage) == group && (features & media::kFeatureDirectoryPool) != 0) {
    json["ledger"] = DescribeLedger(pool);
  }
  json["problems"] = pool.problems();
  return json;
}

Result<Json> DumpJournal(RawPool& pool) {
  Persist persist(pool.mapping());
  media::Superblock superblock = pool.superblock();
  superblock.lane_count = media::kLaneCount;
  const std::unique_ptr<Journal> journal =
      TRY(Journal::Open(pool.mapping(), pool.geometry(), persist, superblock));
  Json lanes = Json::array();
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    Json json = DescribeLane(pool, *journal, lane);
    if (!json.is_null()) lanes.push_back(std::move(json));
  }
  Json json;
  json["lanes"] = media::kLaneCount;
  json["empty"] = media::kLaneCount - lanes.size();
  json["not_empty"] = std::move(lanes);
  json["problems"] = pool.problems();
  return json;
}

}  // namespace ingot::admin
