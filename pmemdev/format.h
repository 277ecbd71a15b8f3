// SPDX-License-Identifier: BSD-3-Clause
// What pmemdev keeps on the medium, byte for byte: superblock, lane header, journal record header
// and group entry. docs/format.md says the same in words; a change here is a change of format.
//
// Fields are little-endian and fixed-width, without padding. Nothing read from these structs is
// trusted before its checksum and ranges were validated on a DRAM copy.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "pmemdev/base/fields.h"
#include "pmemdev/base/ids.h"

namespace ingot::media {

static_assert(std::endian::native == std::endian::little, "media fields are little-endian");

using Uuid = std::array<uint8_t, 16>;

inline constexpr uint64_t kSuperblockMagic = 0x314D50544F474E49ULL;  // "INGOTPM1"
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint64_t kLaneMagic = 0x454E414C544F474EULL;  // "NGOTLANE"

inline constexpr uint64_t kLabelSize = kHugePageSize;          // first and last huge page
inline constexpr uint64_t kSuperblockCopySpacing = 1 << 20;    // copies 0 and 1: offset 0 and 1 MiB
inline constexpr uint32_t kSuperblockCopies = 3;               // copy 2: the last huge page
inline constexpr uint64_t kLaneSize = 64 << 10;
inline constexpr uint32_t kLaneCount = 64;
inline constexpr uint64_t kLanesSize = kLaneSize * kLaneCount;  // 4 MiB, two huge pages
inline constexpr uint64_t kGroupTableSize = kHugePageSize;
inline constexpr uint64_t kPageArraySize = kHugePageSize;       // 32,768 descriptors of 64 B
inline constexpr uint64_t kGroupSize = kPageArraySize + kGroupDataSize;  // 130 MiB

// Incompatible feature: the pool is a directory, and the region only part of it. The device layer
// hands the bit on; what lies beside the region is fs/core's business.
inline constexpr uint64_t kFeatureDirectoryPool = 1 << 0;

// Feature bits that this program knows, of each kind.
inline constexpr uint64_t kFeaturesCompatible = 0;
inline constexpr uint64_t kFeaturesReadOnlyCompatible = 0;
inline constexpr uint64_t kFeaturesIncompatible = kFeatureDirectoryPool;

// Static facts of a pool. Three equal copies; a copy is whole if magic and checksum are, and the
// whole copy with the highest sequence wins. The struct keeps its meaning in every later version,
// so that an unknown version or feature can be refused by name.
struct Superblock {
  uint64_t magic;
  uint32_t format_version;
  uint32_t checksum;  // BlockChecksum of the struct, seed 0
  uint64_t sequence;  // grows by one with each rewrite of the copies
  Uuid uuid;
  uint64_t features_compatible;            // unknown bits: use the pool
  uint64_t features_read_only_compatible;  // unknown bits: mount read-only
  uint64_t features_incompatible;          // unknown bits: refuse
  uint64_t region_size_bytes;              // a multiple of 2 MiB
  uint64_t logical_page_count;             // the last group may be short
  uint32_t page_size_bytes;                // 4096; others are refused by name
  uint32_t lane_count;
  int64_t created_seconds;  // Unix time
  uint64_t hash_seed;       // seeds directory hashes, random per pool
  std::array<char, 32> label;  // for people; zero-filled
};
template <>
inline constexpr auto kFieldsOf<Superblock> = std::array{
    INGOT_FIELD(Superblock, magic, kHex),
    INGOT_FIELD(Superblock, format_version, kUnsigned),
    INGOT_FIELD(Superblock, checksum, kChecksum),
    INGOT_FIELD(Superblock, sequence, kUnsigned),
    INGOT_FIELD(Superblock, uuid, kUuid),
    INGOT_FIELD(Superblock, features_compatible, kHex),
    INGOT_FIELD(Superblock, features_read_only_compatible, kHex),
    INGOT_FIELD(Superblock, features_incompatible, kHex),
    INGOT_FIELD(Superblock, region_size_bytes, kUnsigned),
    INGOT_FIELD(Superblock, logical_page_count, kUnsigned),
    INGOT_FIELD(Superblock, page_size_bytes, kUnsigned),
    INGOT_FIELD(Superblock, lane_count, kUnsigned),
    INGOT_FIELD(Superblock, created_seconds, kSigned),
    INGOT_FIELD(Superblock, hash_seed, kHex),
    INGOT_FIELD(Superblock, label, kBytes),
};
static_assert(sizeof(Superblock) == 136 && FieldsCover(kFieldsOf<Superblock>, sizeof(Superblock)));

// First cache line of a lane: written by mkfs only. With the group entries it is what a pool whose
// superblocks are all lost is recognised by.
struct LaneHeader {
  uint64_t magic;
  uint32_t format_version;
  uint32_t checksum;  // BlockChecksum of the struct, seed = lane index
  Uuid uuid;
  uint32_t lane_index;
  uint32_t lane_count;
  uint64_t hash_seed;  // copies of the superblock's, for its re-creation
  int64_t created_seconds;
  uint64_t features_incompatible;
};
template <>
inline constexpr auto kFieldsOf<LaneHeader> = std::array{
    INGOT_FIELD(LaneHeader, magic, kHex),
    INGOT_FIELD(LaneHeader, format_version, kUnsigned),
    INGOT_FIELD(LaneHeader, checksum, kChecksum),
    INGOT_FIELD(LaneHeader, uuid, kUuid),
    INGOT_FIELD(LaneHeader, lane_index, kUnsigned),
    INGOT_FIELD(LaneHeader, lane_count, kUnsigned),
    INGOT_FIELD(LaneHeader, hash_seed, kHex),
    INGOT_FIELD(LaneHeader, created_seconds, kSigned),
    INGOT_FIELD(LaneHeader, features_incompatible, kHex),
};
static_assert(sizeof(LaneHeader) == kCacheLineSize &&
              FieldsCover(kFieldsOf<LaneHeader>, sizeof(LaneHeader)));

// Second cache line of a lane begins the record: this header, then `length_bytes` of payload.
// The payload is a sequence of runs: one word (media offset / 8) << 11 | (words - 1), then the
// words.
struct LaneRecord {
  uint64_t checksum;  // XXH3-64 of the rest of the header and the payload, seeded by UUID; 0: none
  uint64_t sequence;
  uint32_t length_bytes;
  uint32_t lane_index;
  uint64_t reserved;
};
template <>
inline constexpr auto kFieldsOf<LaneRecord> = std::array{
    INGOT_FIELD(LaneRecord, checksum, kChecksum),
    INGOT_FIELD(LaneRecord, sequence, kUnsigned),
    INGOT_FIELD(LaneRecord, length_bytes, kUnsigned),
    INGOT_FIELD(LaneRecord, lane_index, kUnsigned),
    INGOT_FIELD(LaneRecord, reserved, kHex),
};
static_assert(sizeof(LaneRecord) == 32 && FieldsCover(kFieldsOf<LaneRecord>, sizeof(LaneRecord)));

inline constexpr uint64_t kLaneRecordOffset = kCacheLineSize;
inline constexpr uint64_t kLanePayloadSize = kLaneSize - kLaneRecordOffset - sizeof(LaneRecord);
inline constexpr uint32_t kRunCountBits = 11;
inline constexpr uint32_t kMaxRunWords = 1 << kRunCountBits;

enum GroupFlags : uint32_t {
  kGroupUninitialised = 1 << 0,  // bitmaps never written; all but the first three pages are free
};

// One 128 MiB group, as far as mount needs to know it. Belongs to the group's lock.
struct GroupEntry {
  uint64_t free_huge_mask;  // bit i: huge page i of the group is wholly free
  uint32_t flags;
  uint32_t checksum;  // BlockChecksum of the struct, seed = group index
  uint32_t free_pages;
  uint32_t page_count;        // pages of the group: 32,768, less in a short last group
  uint32_t free_inode_slots;  // slots of inode pages that hold no inode
  uint32_t orphans;           // inodes with one of fs/format.h's kInodeToRecover
  uint32_t allocated_checksum;  // CRC32C of the allocation bitmap page
  uint32_t inode_checksum;      // CRC32C of the inode-page bitmap page
  uint32_t format_version;
  uint32_t group_index;  // low 32 bits
  Uuid uuid;
};
template <>
inline constexpr auto kFieldsOf<GroupEntry> = std::array{
    INGOT_FIELD(GroupEntry, free_huge_mask, kHex),
    INGOT_FIELD(GroupEntry, flags, kHex),
    INGOT_FIELD(GroupEntry, checksum, kChecksum),
    INGOT_FIELD(GroupEntry, free_pages, kUnsigned),
    INGOT_FIELD(GroupEntry, page_count, kUnsigned),
    INGOT_FIELD(GroupEntry, free_inode_slots, kUnsigned),
    INGOT_FIELD(GroupEntry, orphans, kUnsigned),
    INGOT_FIELD(GroupEntry, allocated_checksum, kHex),
    INGOT_FIELD(GroupEntry, inode_checksum, kHex),
    INGOT_FIELD(GroupEntry, format_version, kUnsigned),
    INGOT_FIELD(GroupEntry, group_index, kUnsigned),
    INGOT_FIELD(GroupEntry, uuid, kUuid),
};
static_assert(sizeof(GroupEntry) == kCacheLineSize &&
              FieldsCover(kFieldsOf<GroupEntry>, sizeof(GroupEntry)));

inline constexpr uint64_t kGroupsPerTable = kGroupTableSize / sizeof(GroupEntry);  // 32,768

// Places inside a group, in pages: the group's first inode page, its two bitmaps, then free space.
inline constexpr uint32_t kFirstInodePage = 0;
inline constexpr uint32_t kAllocatedBitmapPage = 1;
inline constexpr uint32_t kInodeBitmapPage = 2;
inline constexpr uint32_t kReservedPagesPerGroup = 3;

}  // namespace ingot::media
