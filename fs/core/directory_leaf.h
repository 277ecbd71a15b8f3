// SPDX-License-Identifier: BSD-3-Clause
// One leaf of a directory: pure functions over 4 KiB, whose layout fs/format.h describes.
//
// Search works in place on the medium, safe for any content. Check must have passed before an
// editing function sees a copy: those rely on sorted slots and names that lie inside the page.
#pragma once

#include <cstdint>
#include <string_view>

#include "fs/core/sorted_search.h"
#include "fs/format.h"
#include "pmemdev/base/ids.h"

namespace ingot::directory_leaf {

inline constexpr uint32_t kNameAlignment = 8;
// With the shortest names.
inline constexpr uint32_t kMaxEntries =
    (kPageSize - media::kLeafHeaderSize) / (sizeof(media::DirectorySlot) + kNameAlignment);
inline constexpr uint32_t kUsableBytes = kPageSize - media::kLeafHeaderSize;
inline constexpr uint64_t kOrdinalMask = (uint64_t{1} << media::kOrdinalBits) - 1;

// What the name alone takes, and the entry with its slot.
[[nodiscard]] constexpr uint32_t NameBytes(uint64_t length) {
  return static_cast<uint32_t>(RoundUp(1 + length, kNameAlignment));
}
[[nodiscard]] constexpr uint32_t EntryBytes(uint64_t length) {
  return static_cast<uint32_t>(sizeof(media::DirectorySlot)) + NameBytes(length);
}

[[nodiscard]] constexpr uint64_t HashOfKey(uint64_t key) {
  return key >> media::kOrdinalBits;
}
[[nodiscard]] constexpr uint64_t KeyOf(uint64_t hash, uint64_t ordinal) {
  return hash << media::kOrdinalBits | ordinal;
}

// What a slot's target packs.
inline constexpr uint32_t kInodeBits = 51;
inline constexpr uint32_t kPlaceBits = 9;
[[nodiscard]] constexpr InodeNumber InodeOf(const media::DirectorySlot& slot) {
  return InodeNumber(slot.target & ((uint64_t{1} << kInodeBits) - 1));
}
[[nodiscard]] constexpr uint32_t PlaceOf(const media::DirectorySlot& slot) {  // byte in the page
  return static_cast<uint32_t>(slot.target >> kInodeBits & ((1u << kPlaceBits) - 1)) *
         kNameAlignment;
}
[[nodiscard]] constexpr uint8_t TypeOf(const media::DirectorySlot& slot) {
  return static_cast<uint8_t>(slot.target >> (kInodeBits + kPlaceBits));
}

// --- in place -----------------------------------------------------------------------------------
// The search for a name among the entries of its hash, which may go on in the next leaf.
struct Search {
  uint64_t hash = 0;
  std::string_view name;
  // Results:
  bool damaged = false;
  bool found = false;
  uint32_t index = 0;           // if found
  media::DirectorySlot slot{};  // if found
  uint64_t free_ordinal = 0;    // the lowest that no entry seen so far has, in order of keys
};
// `range`: from the key of the leaf's record on; the upper end is a hint.
void Continue(Search& search, const media::DirectoryLeaf& leaf, KeyRange range);

// --- on a copy ----------------------------------------------------------------------------------
// Null if the leaf is sound, else what is wrong. `lowest_key`: that of its tree record.
[[nodiscard]] const char* Check(const media::DirectoryLeaf& leaf, uint64_t lowest_key);
// The same for a leaf that Check has passed before: only what costs nothing to look at.
[[nodiscard]] const char* CheckPlace(const media::DirectoryLeaf& leaf, uint64_t lowest_key);
// A new leaf's header beyond the block's.
void Initialise(media::DirectoryLeaf& leaf);

[[nodiscard]] bool HasKey(const media::DirectoryLeaf& leaf, uint64_t key);
[[nodiscard]] std::string_view NameAt(const media::DirectoryLeaf& leaf, uint32_t index);
// Bytes of entries (slots and names), and what an insertion could get after Compact.
[[nodiscard]] uint32_t UsedBytes(const media::DirectoryLeaf& leaf);
[[nodiscard]] inline uint32_t FreeBytes(const media::DirectoryLeaf& leaf) {
  return kUsableBytes - UsedBytes(leaf);
}

// The key is not there and FreeBytes suffices. Compacts where needed.
void Insert(media::DirectoryLeaf& leaf, uint64_t key, std::string_view name, InodeNumber inode,
            uint8_t type);
void Erase(media::DirectoryLeaf& leaf, uint32_t index);
void Retarget(media::DirectoryLeaf& leaf, uint32_t index, InodeNumber inode, uint8_t type);
// Moves the upper half (by bytes) of at least two entries into `right`, which is empty.
void Split(media::DirectoryLeaf& left, media::DirectoryLeaf& right);
// Moves all entries of `right`, whose keys are greater, into `left`, which has room.
void Absorb(media::DirectoryLeaf& left, const media::DirectoryLeaf& right);

}  // namespace ingot::directory_leaf
