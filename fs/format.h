// SPDX-License-Identifier: BSD-3-Clause
// What the filesystem keeps in the logical space, byte for byte: inode, block header, tree node and
// its records, directory leaf, extended attributes. docs/format.md says the same in words; a change
// here is a change of format. The device layer's part is pmemdev/format.h.
//
// Fields are little-endian and fixed-width, without padding; reserved ones are zero. Nothing read
// from these structs is trusted before it was validated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "pmemdev/base/fields.h"
#include "pmemdev/base/ids.h"

namespace ingot::media {

inline constexpr uint32_t kInodeMagic = 0x444F4E49;          // "INOD"
inline constexpr uint32_t kTreeNodeMagic = 0x45455254;       // "TREE"
inline constexpr uint32_t kDirectoryLeafMagic = 0x46414544;  // "DEAF"
inline constexpr uint32_t kXattrMagic = 0x52545458;          // "XTTR"
inline constexpr uint32_t kLedgerMagic = 0x4744454C;         // "LEDG"

inline constexpr uint64_t kInodeSize = 512;
inline constexpr uint64_t kInodesPerPage = kPageSize / kInodeSize;
inline constexpr uint64_t kRootInode = 1;
inline constexpr uint64_t kMaxFileSize = uint64_t{1} << 62;  // 4 EiB: last byte at offset 2^62 - 1
inline constexpr uint32_t kMaxNameLength = 255;
inline constexpr uint32_t kMaxLinks = 0x7FFFFFFF;
inline constexpr uint32_t kMaxXattrValueSize = 65536;
inline constexpr uint32_t kMaxXattrTotalSize = 512 << 10;  // all names and values of one inode

enum InodeFlags : uint32_t {
  kInodeOrphan = 1 << 0,      // no name, or being truncated
  kInodeImmutable = 1 << 1,   // FS_IMMUTABLE_FL
  kInodeAppendOnly = 1 << 2,  // FS_APPEND_FL
  kInodeNoAtime = 1 << 3,     // FS_NOATIME_FL
  kInodeNoDump = 1 << 4,      // FS_NODUMP_FL, kept for its users
  kInodeSync = 1 << 5,        // FS_SYNC_FL: always so
  kInodeDirSync = 1 << 6,     // FS_DIRSYNC_FL: always so
  kInodeDax = 1 << 7,         // FS_XFLAG_DAX: backed from creation; inherited
  kInodeAtomic = 1 << 8,      // data copy-on-write, each request whole or not at all; inherited
  kInodeProjectInherit = 1 << 9,
  kInodeMayDemote = 1 << 10,  // backed, but perhaps so short that it should lie in extents again
};
// The next mount looks after inodes with any of these; its group's entry counts them.
inline constexpr uint32_t kInodeToRecover = kInodeOrphan | kInodeMayDemote;
// Not the users' to see or set.
inline constexpr uint32_t kInodeInternalFlags = kInodeToRecover;

enum class BodyForm : uint8_t {
  kEmpty = 0,   // no data, no records
  kInline = 1,  // body_bytes bytes of data (or a symlink's target)
  kTree = 2,    // body_bytes / 16 records: the root of a tree of tree_height levels below it
  kBacked = 3,  // data in backing file `backing_file`; with kInodeOrphan, body_bytes and
                // tree_height tell of extents that are still to be freed, as for kTree
};

inline constexpr uint32_t kInodeTailSize = 336;

// A file of any type. Its place is its number: logical address / 512. Belongs to the lock of its
// inode page. Free while `magic` is zero: magic and checksum share the one word that makes it
// valid.
struct Inode {
  uint32_t magic;
  uint32_t checksum;  // BlockChecksum of the struct, seed = number
  uint64_t number;
  uint32_t generation;  // random and nonzero per use; 0 for the root
  uint32_t mode;        // type and permissions, as st_mode
  uint32_t uid;
  uint32_t gid;
  uint32_t links;
  uint32_t flags;  // InodeFlags
  uint64_t size_bytes;
  uint64_t
      page_count;  // pages of the logical space that are this inode's: data, nodes, leaves, xattrs
  int64_t atime_seconds;
  int64_t mtime_seconds;
  int64_t ctime_seconds;
  int64_t birth_seconds;
  uint32_t atime_nanoseconds;
  uint32_t mtime_nanoseconds;
  uint32_t ctime_nanoseconds;
  uint32_t birth_nanoseconds;
  uint64_t parent;        // directories: inode of the parent; else 0
  uint64_t device;        // block and character devices: dev_t as the kernel encodes it; else 0
  uint64_t backing_file;  // kBacked: its number, never 0; else 0
  uint64_t xattr_page;    // head page of external extended attributes, 0 if none
  uint64_t entry_count;   // directories: entries without "." and ".."
  uint32_t project;
  BodyForm body_form;
  uint8_t tree_height;   // levels below the records in the tail: 0 = they are leaf records
  uint16_t body_bytes;   // used bytes at the front of the tail
  uint16_t xattr_bytes;  // used bytes at the end of the tail: inline extended attributes
  uint16_t reserved16;
  uint32_t reserved32;
  std::array<uint64_t, 2> reserved;
  std::array<std::byte, kInodeTailSize> tail;
};
template <>
inline constexpr auto kFieldsOf<Inode> = std::array{
    INGOT_FIELD(Inode, magic, kHex),
    INGOT_FIELD(Inode, checksum, kChecksum),
    INGOT_FIELD(Inode, number, kUnsigned),
    INGOT_FIELD(Inode, generation, kUnsigned),
    INGOT_FIELD(Inode, mode, kHex),
    INGOT_FIELD(Inode, uid, kUnsigned),
    INGOT_FIELD(Inode, gid, kUnsigned),
    INGOT_FIELD(Inode, links, kUnsigned),
    INGOT_FIELD(Inode, flags, kHex),
    INGOT_FIELD(Inode, size_bytes, kUnsigned),
    INGOT_FIELD(Inode, page_count, kUnsigned),
    INGOT_FIELD(Inode, atime_seconds, kSigned),
    INGOT_FIELD(Inode, mtime_seconds, kSigned),
    INGOT_FIELD(Inode, ctime_seconds, kSigned),
    INGOT_FIELD(Inode, birth_seconds, kSigned),
    INGOT_FIELD(Inode, atime_nanoseconds, kUnsigned),
    INGOT_FIELD(Inode, mtime_nanoseconds, kUnsigned),
    INGOT_FIELD(Inode, ctime_nanoseconds, kUnsigned),
    INGOT_FIELD(Inode, birth_nanoseconds, kUnsigned),
    INGOT_FIELD(Inode, parent, kUnsigned),
    INGOT_FIELD(Inode, device, kHex),
    INGOT_FIELD(Inode, backing_file, kUnsigned),
    INGOT_FIELD(Inode, xattr_page, kUnsigned),
    INGOT_FIELD(Inode, entry_count, kUnsigned),
    INGOT_FIELD(Inode, project, kUnsigned),
    INGOT_FIELD(Inode, body_form, kUnsigned),
    INGOT_FIELD(Inode, tree_height, kUnsigned),
    INGOT_FIELD(Inode, body_bytes, kUnsigned),
    INGOT_FIELD(Inode, xattr_bytes, kUnsigned),
    INGOT_FIELD(Inode, reserved16, kHex),
    INGOT_FIELD(Inode, reserved32, kHex),
    INGOT_FIELD(Inode, reserved, kBytes),
    INGOT_FIELD(Inode, tail, kBytes),
};
static_assert(sizeof(Inode) == kInodeSize && FieldsCover(kFieldsOf<Inode>, sizeof(Inode)));
static_assert(offsetof(Inode, tail) == 176);

// One record of a tree: in an inode's tail, or in a node.
//   file data, leaf:    key = file page, value = ExtentValue
//   directory, leaf:    key = lowest entry key of the leaf (0 in the first), value = leaf page
//   any, inner:         key = lower bound of the keys below (in a node's first: the key that leads
//                       to the node; 0 in the first of the root), value = child page
struct Record {
  uint64_t key;
  uint64_t value;
  friend bool operator==(const Record&, const Record&) = default;
};
inline constexpr uint32_t kRecordSize = sizeof(Record);
inline constexpr uint32_t kMaxRootRecords = kInodeTailSize / kRecordSize;  // 21
// Inline attributes leave room for one record, so that every inode can have a tree.
inline constexpr uint32_t kMaxInlineXattrBytes = kInodeTailSize - kRecordSize;  // 320

// ExtentValue: start page in bits 0..47, length - 1 in bits 48..62, unwritten in bit 63. An extent
// lies in one group. An unwritten one is allocated and reads as zeros.
inline constexpr uint32_t kMaxExtentPages = 1 << 15;

// Every 4 KiB metadata block begins with this.
struct BlockHeader {
  uint32_t magic;
  uint32_t checksum;  // BlockChecksum of the page, seed = page
  uint64_t page;      // its own place
  uint64_t owner;     // inode
  uint32_t owner_generation;
  uint16_t level;  // tree nodes: 0 = leaf records
  uint16_t count;  // records, entries or runs
};
template <>
inline constexpr auto kFieldsOf<BlockHeader> = std::array{
    INGOT_FIELD(BlockHeader, magic, kHex),
    INGOT_FIELD(BlockHeader, checksum, kChecksum),
    INGOT_FIELD(BlockHeader, page, kUnsigned),
    INGOT_FIELD(BlockHeader, owner, kUnsigned),
    INGOT_FIELD(BlockHeader, owner_generation, kUnsigned),
    INGOT_FIELD(BlockHeader, level, kUnsigned),
    INGOT_FIELD(BlockHeader, count, kUnsigned),
};
static_assert(sizeof(BlockHeader) == 32 &&
              FieldsCover(kFieldsOf<BlockHeader>, sizeof(BlockHeader)));

inline constexpr uint32_t kNodeRecords = (kPageSize - sizeof(BlockHeader)) / kRecordSize;  // 254

struct TreeNode {
  BlockHeader header;
  std::array<Record, kNodeRecords> records;  // sorted by key, `header.count` of them
};
static_assert(sizeof(TreeNode) == kPageSize);

// A directory's entries whose keys fall between two records of its tree. Slots grow from the front,
// sorted by key; names from the end, 8-byte aligned: one length byte, the bytes, zeros. Key: hash
// of the name << 16 | ordinal. The hash is Hash64(name, superblock.hash_seed ^ directory's inode
// number * kDirectorySeedFactor modulo 2^64) >> 17, or 1 where that is 0. The ordinal, the lowest
// one free at the insertion, tells names of equal hash apart and never changes: the key is also the
// readdir cookie. Names lie in [names_begin, 4096), without overlap; what no slot refers to there
// is counted in dead_bytes.
struct DirectorySlot {
  uint64_t key;
  uint64_t
      target;  // inode in bits 0..50, place of the name / 8 in bits 51..59, type in bits 60..63
};
struct DirectoryLeaf {
  BlockHeader header;
  uint16_t names_begin;  // offset in the page of the lowest name
  uint16_t dead_bytes;   // bytes of names that are no longer referred to
  uint32_t reserved;
  std::array<DirectorySlot, 253> slots;
  uint64_t last_words;
};
static_assert(sizeof(DirectorySlot) == 16 && sizeof(DirectoryLeaf) == kPageSize + 0);
inline constexpr uint32_t kLeafHeaderSize = offsetof(DirectoryLeaf, slots);
static_assert(kLeafHeaderSize == 40);
inline constexpr uint32_t kOrdinalBits = 16;
inline constexpr uint32_t kHashBits = 47;
inline constexpr uint64_t kDirectorySeedFactor = 0x9E3779B97F4A7C15;  // odd: 2^64 / golden ratio

// Extended attributes: a blob of entries, each this header, the name (with its prefix, no zero
// byte), the value, and zeros to the next multiple of 8. The blob lies at the end of the inode's
// tail, or in the head page behind XattrHead, or in the runs of whole pages that the head lists.
struct XattrEntry {
  uint32_t value_bytes;
  uint16_t name_bytes;
  uint16_t reserved;
};
static_assert(sizeof(XattrEntry) == 8);

struct XattrHead {
  BlockHeader header;  // count = runs; 0: the blob follows this struct
  uint32_t blob_bytes;
  uint32_t blob_checksum;  // CRC32C of the blob
};
static_assert(sizeof(XattrHead) == 40);
inline constexpr uint32_t kXattrInHeadBytes = kPageSize - sizeof(XattrHead);  // 4,056
// A run: first page in bits 0..47, pages - 1 in bits 48..62.
inline constexpr uint32_t kMaxXattrRuns = kXattrInHeadBytes / 8;  // 507

// In directory pools: which backing files may exist although no inode has them. A number is here,
// or is one inode's `backing_file`, or was never handed out, or its file is gone for good. One
// block, at a fixed place, owned by no inode (owner, owner_generation, level and count are 0);
// belongs to the ledger's lock. docs/backed-files.md.
inline constexpr uint32_t kLedgerPage = 3;  // of group 0; page 0 to 2 are reserved in every group
inline constexpr uint32_t kLedgerPlaces = 507;
// Numbers are below this, so that JSON has them exactly: a million a second for 285 years.
inline constexpr uint64_t kMaxBackingNumber = uint64_t{1} << 53;
struct BackingLedger {
  BlockHeader header;
  uint64_t next_number;  // the lowest that was never handed out; from 1 to kMaxBackingNumber
  std::array<uint64_t, kLedgerPlaces> numbers;  // in any order; 0: an empty place
};
static_assert(sizeof(BackingLedger) == kPageSize);

}  // namespace ingot::media
