// SPDX-License-Identifier: BSD-3-Clause
// One leaf: read, judged entry by entry, rebuilt if need be.
#include "fs/check/leaf_check.h"

#include <dirent.h>

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "fs/check/inode_pass.h"
#include "pmemdev/base/checksum.h"

namespace ingot::check {
namespace {

namespace leafs = directory_leaf;
using media::DirectoryLeaf;
using media::DirectorySlot;

uint64_t HashOf(const Context& context, InodeNumber directory, std::string_view name) {
  const uint64_t seed =
      context.device.superblock().hash_seed ^ (directory.value * media::kDirectorySeedFactor);
  const uint64_t hash = Hash64(std::as_bytes(std::span(name)), seed);
  return std::max<uint64_t>(1, hash >> (64 - media::kHashBits));
}

bool IsName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

// The name that the slot points at; empty if that isn't inside the leaf's names.
std::string_view SafeNameAt(const DirectoryLeaf& leaf, uint32_t index) {
  const uint32_t place = leafs::PlaceOf(leaf.slots[index]);
  const uint32_t slots_end =
      media::kLeafHeaderSize + leaf.header.count * static_cast<uint32_t>(sizeof(DirectorySlot));
  if (place < slots_end || place >= kPageSize) return {};
  const auto length = static_cast<uint32_t>(reinterpret_cast<const unsigned char*>(&leaf)[place]);
  if (place + 1 + length > kPageSize) return {};
  return leafs::NameAt(leaf, index);
}

// Names that share bytes, or whose padding isn't zero. All places are inside the leaf.
bool AreNamesTidy(const DirectoryLeaf& leaf) {
  std::array<bool, kPageSize / leafs::kNameAlignment> taken{};
  const auto* bytes = reinterpret_cast<const std::byte*>(&leaf);
  for (uint32_t i = 0; i < leaf.header.count; ++i) {
    const uint32_t place = leafs::PlaceOf(leaf.slots[i]);
    const auto length = static_cast<uint32_t>(leafs::NameAt(leaf, i).size());
    const uint32_t end = place + leafs::NameBytes(length);
    for (uint32_t at = place; at < end; at += leafs::kNameAlignment) {
      if (std::exchange(taken[at / leafs::kNameAlignment], true)) return false;
    }
    if (std::any_of(bytes + place + 1 + length, bytes + end,
                    [](std::byte byte) { return byte != std::byte{}; })) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string Printable(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F && byte != '\\') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", byte);
    }
  }
  return text;
}

void LeafCheck::Bad(LogicalPage page, std::string_view what) {
  damaged_ = true;
  context_.Report(
      FindingKind::kDirectoryLeaf, At(number_, page),
      fmt::format("directory {}: leaf at page {}: {}", number_.value, page.value, what));
}

LeafCheck::Verdict LeafCheck::Drop(FindingKind kind, LogicalPage page, std::string_view name,
                                   std::string_view what) {
  damaged_ = true;
  context_.Report(
      kind, At(number_, page),
      fmt::format("directory {}: entry '{}': {}", number_.value, Printable(name), what));
  return Verdict::kDrop;
}

bool LeafCheck::Load(LogicalPage page, DirectoryLeaf& leaf, bool& rewrite) {
  if (const auto read = context_.device.Read(OffsetOf(page), WritableBytesOf(leaf)); !read) {
    Bad(page, Describe(read.error()));
    return false;
  }
  const media::BlockHeader& header = leaf.header;
  if (header.magic != media::kDirectoryLeafMagic || header.page != page.value ||
      header.owner != number_.value || header.owner_generation != directory_.generation) {
    Bad(page, "is none of this directory");
    return false;
  }
  const uint32_t crc =
      BlockChecksum(BytesOf(leaf), offsetof(media::BlockHeader, checksum), page.value);
  if (header.checksum != crc) {
    Bad(page, "checksum");
    rewrite = true;
  }
  if (header.count == 0 || header.count > leafs::kMaxEntries) {
    Bad(page, fmt::format("{} entries", header.count));
    if (header.count == 0) return false;
    leaf.header.count = leafs::kMaxEntries;
    rewrite = true;
  }
  return true;
}

void LeafCheck::CheckBookkeeping(LogicalPage page, const DirectoryLeaf& leaf, Bounds bounds,
                                 bool& rewrite) {
  const char* wrong = leafs::Check(leaf, bounds.low);
  if (wrong == nullptr && leaf.reserved != 0) wrong = "reserved";
  if (wrong == nullptr && !AreNamesTidy(leaf)) wrong = "names overlap, or their padding isn't zero";
  if (wrong == nullptr) return;
  // Where an entry was named already, this would only say it again.
  if (!rewrite) Bad(page, wrong);
  rewrite = true;
}

bool LeafCheck::IsDuplicate(uint64_t key, std::string_view name) {
  const uint64_t hash = leafs::HashOfKey(key);
  if (hash != hash_) {
    names_.clear();
    hash_ = hash;
  }
  return !names_.emplace(name).second;
}

// A directory has one name. Of two that name in the directory that it knows as its parent stays.
bool LeafCheck::BecomesParent(uint64_t key, DirectoryFacts& child) {
  DirectoryFacts* here = context_.FindDirectory(number_);
  if (child.found_parent.value != 0) {
    if (child.found_parent == child.parent || number_ != child.parent) return false;
    // The other one goes, in the next round.
    context_.Report(
        FindingKind::kEntrySecondParent, At(child.found_parent),
        fmt::format("directory {}: entry with key {:#x} is a second name of directory {}",
                    child.found_parent.value, child.found_key, child.number.value));
    context_.drop_entries.insert({child.found_parent.value, child.found_key});
    if (context_.repairing()) ++context_.fixed;
    if (DirectoryFacts* other = context_.FindDirectory(child.found_parent)) --other->subdirectories;
    --context_.inodes[child.number.value].found;
  }
  child.found_parent = number_;
  child.found_key = key;
  if (here != nullptr) ++here->subdirectories;
  return true;
}

LeafCheck::Verdict LeafCheck::JudgeTarget(LogicalPage page, uint64_t key, std::string_view name,
                                          InodeNumber target, uint8_t& type) {
  auto found = context_.inodes.find(target.value);
  if (found == context_.inodes.end()) {
    // An error of storing shows again when the directory is written.
    const Result<bool> adopted = AdoptInodePage(context_, target);
    if (adopted && *adopted) found = context_.inodes.find(target.value);
  }
  if (found == context_.inodes.end()) {
    return Drop(FindingKind::kEntryDangling, page, name,
                fmt::format("inode {} doesn't exist", target.value));
  }
  if (found->second.type == DT_DIR) {
    DirectoryFacts* child = context_.FindDirectory(target);
    if (child == nullptr || target.value == media::kRootInode || !BecomesParent(key, *child)) {
      return Drop(FindingKind::kEntrySecondParent, page, name,
                  fmt::format("a second name of directory {}", target.value));
    }
  }
  ++found->second.found;
  if (type == found->second.type) return Verdict::kGood;
  (void)Drop(FindingKind::kEntryType, page, name,
             fmt::format("type {} instead of {}", type, found->second.type));
  type = found->second.type;
  return Verdict::kWrongType;
}

LeafCheck::Verdict LeafCheck::Judge(LogicalPage page, const DirectoryLeaf& leaf, uint32_t index,
                                    Bounds bounds, uint8_t& type) {
  const DirectorySlot& slot = leaf.slots[index];
  const std::string_view name = SafeNameAt(leaf, index);
  if (!IsName(name)) return Drop(FindingKind::kEntryDamaged, page, name, "impossible name");
  if (leafs::HashOfKey(slot.key) != HashOf(context_, number_, name)) {
    return Drop(FindingKind::kEntryDamaged, page, name, "doesn't hash to its key");
  }
  if (slot.key < bounds.low || slot.key >= bounds.high || slot.key <= previous_key_) {
    return Drop(FindingKind::kEntryDamaged, page, name, "out of order");
  }
  if (context_.drop_entries.contains({number_.value, slot.key})) return Verdict::kDrop;
  if (IsDuplicate(slot.key, name)) {
    return Drop(FindingKind::kEntryDuplicate, page, name, "is there twice");
  }
  type = leafs::TypeOf(slot);
  const Verdict verdict = JudgeTarget(page, slot.key, name, leafs::InodeOf(slot), type);
  if (verdict != Verdict::kDrop) previous_key_ = slot.key;
  return verdict;
}

Result<void> LeafCheck::Rebuild(LogicalPage page, const DirectoryLeaf& old,
                                const DirectoryLeaf& kept) {
  DirectoryLeaf leaf{};
  leaf.header = old.header;
  leaf.header.level = 0;
  leaf.header.count = 0;
  leafs::Initialise(leaf);
  for (uint32_t i = 0; i < kept.header.count; ++i) {
    const DirectorySlot& slot = kept.slots[i];
    const char* place = reinterpret_cast<const char*>(&old) + leafs::PlaceOf(slot);
    const std::string_view name(place + 1, static_cast<unsigned char>(*place));
    // Overlapping names can be more than fits.
    if (leafs::EntryBytes(name.size()) > leafs::FreeBytes(leaf)) break;
    leafs::Insert(leaf, slot.key, name, leafs::InodeOf(slot), leafs::TypeOf(slot));
  }
  ++context_.fixed;
  return context_.writer->WriteBlock(page, WritableBytesOf(leaf));
}

Result<bool> LeafCheck::Run(LogicalPage page, uint64_t low, uint64_t high) {
  DirectoryLeaf leaf;
  bool rewrite = false;
  if (!Load(page, leaf, rewrite)) return false;
  if (!context_.ClaimMetadata(page)) {
    context_.Report(FindingKind::kPageShared, At(number_, page),
                    fmt::format("directory {}: leaf at page {} is another block as well",
                                number_.value, page.value));
    damaged_ = true;
    return false;
  }
  ++context_.counts.metadata_pages;
  DirectoryLeaf kept;
  kept.header.count = 0;
  for (uint32_t i = 0; i < leaf.header.count; ++i) {
    uint8_t type = 0;
    const Verdict verdict = Judge(page, leaf, i, {low, high}, type);
    rewrite |= verdict != Verdict::kGood;
    if (verdict == Verdict::kDrop) continue;
    DirectorySlot slot = leaf.slots[i];
    if (verdict == Verdict::kWrongType) {
      slot.target = (slot.target & ~(uint64_t{15} << 60)) | uint64_t{type} << 60;
    }
    kept.slots[kept.header.count++] = slot;
  }
  entries_ += kept.header.count;
  context_.counts.entries += kept.header.count;
  if (kept.header.count == 0) return false;
  CheckBookkeeping(page, leaf, {low, high}, rewrite);
  if (rewrite && context_.repairing()) TRY(Rebuild(page, leaf, kept));
  return true;
}

}  // namespace ingot::check
