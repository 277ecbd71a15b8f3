// SPDX-License-Identifier: BSD-3-Clause
// Slots and names of a directory leaf. Pure: touches nothing but the bytes it is given.
#include "fs/core/directory_leaf.h"

#include <bitset>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot::directory_leaf {
namespace {

using media::DirectoryLeaf;
using media::DirectorySlot;

constexpr uint32_t kSlotSize = sizeof(DirectorySlot);

const char* BytesAt(const DirectoryLeaf& leaf, uint32_t place) {
  return reinterpret_cast<const char*>(&leaf) + place;
}

uint32_t LengthAt(const DirectoryLeaf& leaf, uint32_t place) {
  return static_cast<unsigned char>(*BytesAt(leaf, place));
}

uint32_t SlotsEnd(uint32_t count) {
  return media::kLeafHeaderSize + count * kSlotSize;
}

// A name at that place is inside the page, and isn't empty.
bool IsNameInPage(const DirectoryLeaf& leaf, uint32_t place) {
  if (place < media::kLeafHeaderSize) return false;
  const uint32_t length = LengthAt(leaf, place);
  return length != 0 && place + 1 + length <= kPageSize;
}

uint64_t Pack(InodeNumber inode, uint32_t place, uint8_t type) {
  CHECK(inode.value >> kInodeBits == 0 && type < 16, "inode {} type {}", inode.value, type);
  return inode.value | uint64_t{place / kNameAlignment} << kInodeBits |
         uint64_t{type} << (kInodeBits + kPlaceBits);
}

// Puts the name below the lowest one; there is room.
uint32_t PlaceName(DirectoryLeaf& leaf, std::string_view name) {
  const uint32_t size = NameBytes(name.size());
  leaf.names_begin = static_cast<uint16_t>(leaf.names_begin - size);
  char* to = reinterpret_cast<char*>(&leaf) + leaf.names_begin;
  std::memset(to, 0, size);
  to[0] = static_cast<char>(static_cast<unsigned char>(name.size()));
  std::memcpy(to + 1, name.data(), name.size());
  return leaf.names_begin;
}

// Adds an entry behind all others; there is room between slots and names.
void Append(DirectoryLeaf& leaf, const DirectorySlot& slot, std::string_view name) {
  const uint32_t place = PlaceName(leaf, name);
  leaf.slots[leaf.header.count++] = {slot.key, Pack(InodeOf(slot), place, TypeOf(slot))};
}

// Moves the names together, so that none is dead.
void Compact(DirectoryLeaf& leaf) {
  const DirectoryLeaf old = leaf;
  leaf.header.count = 0;
  Initialise(leaf);
  for (uint32_t i = 0; i < old.header.count; ++i) Append(leaf, old.slots[i], NameAt(old, i));
}

void ForgetName(DirectoryLeaf& leaf, uint32_t index) {
  const uint32_t place = PlaceOf(leaf.slots[index]);
  const uint32_t size = NameBytes(LengthAt(leaf, place));
  if (place == leaf.names_begin) {
    leaf.names_begin = static_cast<uint16_t>(leaf.names_begin + size);
  } else {
    leaf.dead_bytes = static_cast<uint16_t>(leaf.dead_bytes + size);
  }
}

}  // namespace

void Continue(Search& search, const DirectoryLeaf& leaf, KeyRange range) {
  const uint32_t count = leaf.header.count;
  if (leaf.header.magic != media::kDirectoryLeafMagic || leaf.header.level != 0 || count == 0 ||
      count > kMaxEntries) {
    search.damaged = true;
    return;
  }
  const DirectorySlot* slots = leaf.slots.data();
  for (uint32_t i = LowerBound(slots, count, KeyOf(search.hash, 0), range); i < count; ++i) {
    const DirectorySlot slot = slots[i];
    if (HashOfKey(slot.key) != search.hash) return;
    if (slot.key < range.low) {
      search.damaged = true;
      return;
    }
    if ((slot.key & kOrdinalMask) == search.free_ordinal) ++search.free_ordinal;
    const uint32_t place = PlaceOf(slot);
    if (!IsNameInPage(leaf, place)) {
      search.damaged = true;
      return;
    }
    if (LengthAt(leaf, place) == search.name.size() &&
        std::memcmp(BytesAt(leaf, place + 1), search.name.data(), search.name.size()) == 0) {
      search.found = true;
      search.index = i;
      search.slot = slot;
      return;
    }
  }
}

const char* CheckPlace(const DirectoryLeaf& leaf, uint64_t lowest_key) {
  const uint32_t count = leaf.header.count;
  if (count == 0 || count > kMaxEntries) return "count";
  if (leaf.names_begin % kNameAlignment != 0 || leaf.names_begin > kPageSize ||
      leaf.names_begin < SlotsEnd(count)) {
    return "names_begin";
  }
  if (leaf.dead_bytes > kPageSize - leaf.names_begin) return "dead_bytes";
  return leaf.slots[0].key < lowest_key ? "key" : nullptr;
}

const char* Check(const DirectoryLeaf& leaf, uint64_t lowest_key) {
  const uint32_t count = leaf.header.count;
  if (leaf.header.magic != media::kDirectoryLeafMagic || leaf.header.level != 0) return "kind";
  if (count == 0 || count > kMaxEntries) return "count";
  if (leaf.names_begin % kNameAlignment != 0 || leaf.names_begin > kPageSize ||
      leaf.names_begin < SlotsEnd(count)) {
    return "names_begin";
  }
  uint64_t previous = KeyOf(1, 0) - 1;
  uint32_t live = 0;
  std::bitset<kPageSize / kNameAlignment> taken;
  for (uint32_t i = 0; i < count; ++i) {
    const DirectorySlot& slot = leaf.slots[i];
    if (slot.key <= previous || slot.key < lowest_key || HashOfKey(slot.key) >> media::kHashBits) {
      return "key";
    }
    previous = slot.key;
    const uint32_t place = PlaceOf(slot);
    if (place < leaf.names_begin || !IsNameInPage(leaf, place)) return "place of a name";
    const uint32_t size = NameBytes(LengthAt(leaf, place));
    for (uint32_t at = place; at < place + size; at += kNameAlignment) {
      if (taken.test(at / kNameAlignment)) return "names overlap";
      taken.set(at / kNameAlignment);
    }
    live += size;
    if (InodeOf(slot).value == 0) return "inode";
  }
  if (leaf.names_begin + live + leaf.dead_bytes != kPageSize) return "dead_bytes";
  return nullptr;
}

void Initialise(DirectoryLeaf& leaf) {
  leaf.names_begin = kPageSize;
  leaf.dead_bytes = 0;
}

bool HasKey(const DirectoryLeaf& leaf, uint64_t key) {
  const uint32_t index = LowerBound(leaf.slots.data(), leaf.header.count, key, KeyRange{});
  return index < leaf.header.count && leaf.slots[index].key == key;
}

std::string_view NameAt(const DirectoryLeaf& leaf, uint32_t index) {
  const uint32_t place = PlaceOf(leaf.slots[index]);
  return {BytesAt(leaf, place + 1), LengthAt(leaf, place)};
}

uint32_t UsedBytes(const DirectoryLeaf& leaf) {
  return leaf.header.count * kSlotSize + static_cast<uint32_t>(kPageSize) - leaf.names_begin -
         leaf.dead_bytes;
}

void Insert(DirectoryLeaf& leaf, uint64_t key, std::string_view name, InodeNumber inode,
            uint8_t type) {
  CHECK(EntryBytes(name.size()) <= FreeBytes(leaf), "{} of {}", name.size(), FreeBytes(leaf));
  const uint32_t count = leaf.header.count;
  if (leaf.names_begin < SlotsEnd(count) + EntryBytes(name.size())) Compact(leaf);
  const uint32_t index = LowerBound(leaf.slots.data(), count, key, KeyRange{});
  CHECK(index == count || leaf.slots[index].key != key, "key {}", key);
  const uint32_t place = PlaceName(leaf, name);
  std::memmove(&leaf.slots[index] + 1, &leaf.slots[index], (count - index) * kSlotSize);
  leaf.slots[index] = {key, Pack(inode, place, type)};
  leaf.header.count = static_cast<uint16_t>(count + 1);
}

void Erase(DirectoryLeaf& leaf, uint32_t index) {
  const uint32_t count = leaf.header.count;
  CHECK(index < count, "{} of {}", index, count);
  ForgetName(leaf, index);
  std::memmove(&leaf.slots[index], &leaf.slots[index] + 1, (count - index - 1) * kSlotSize);
  leaf.header.count = static_cast<uint16_t>(count - 1);
}

void Retarget(DirectoryLeaf& leaf, uint32_t index, InodeNumber inode, uint8_t type) {
  DirectorySlot& slot = leaf.slots[index];
  slot.target = Pack(inode, PlaceOf(slot), type);
}

void Split(DirectoryLeaf& left, DirectoryLeaf& right) {
  const uint32_t count = left.header.count;
  CHECK(count >= 2 && right.header.count == 0, "{} and {}", count, right.header.count);
  const uint32_t half = UsedBytes(left) / 2;
  uint32_t first_moved = 0;
  for (uint32_t bytes = 0; first_moved < count - 1 && (bytes < half || first_moved == 0);) {
    bytes += EntryBytes(NameAt(left, first_moved).size());
    ++first_moved;
  }
  for (uint32_t i = first_moved; i < count; ++i) Append(right, left.slots[i], NameAt(left, i));
  for (uint32_t i = first_moved; i < count; ++i) ForgetName(left, i);
  left.header.count = static_cast<uint16_t>(first_moved);
}

void Absorb(DirectoryLeaf& left, const DirectoryLeaf& right) {
  CHECK(UsedBytes(right) <= FreeBytes(left), "{} of {}", UsedBytes(right), FreeBytes(left));
  const uint32_t slots_end = SlotsEnd(left.header.count + uint32_t{right.header.count});
  const uint32_t names = UsedBytes(right) - right.header.count * kSlotSize;
  if (left.names_begin < slots_end + names) Compact(left);
  for (uint32_t i = 0; i < right.header.count; ++i) {
    Append(left, right.slots[i], NameAt(right, i));
  }
}

}  // namespace ingot::directory_leaf
