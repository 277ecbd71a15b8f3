// SPDX-License-Identifier: BSD-3-Clause
// Searching a tree, in place on the medium or with a transaction's edits. Changes nothing.
#include "fs/core/tree.h"
#include "fs/core/tree_node.h"

namespace ingot {
namespace {

std::optional<media::Record> RecordOf(const std::optional<Tree::Covering>& covering) {
  if (!covering) return std::nullopt;
  return covering->record;
}

tl::unexpected<Error> OutOfOrder(const media::Inode& inode) {
  return Failure(EUCLEAN, fmt::format("inode {}: tree out of order", inode.number));
}

}  // namespace

Result<std::optional<Tree::Covering>> Tree::FindCovering(const BlockSource& source,
                                                         uint64_t key) const {
  uint64_t next_key = kNoKey;
  // The key may lie between its node's lower bound and first record: then the node before has the
  // answer, and that one is not empty.
  for (const bool first_try : {true, false}) {
    const LeafPlace place = TRY(Descend(source, key, nullptr));
    std::optional<media::Record> found;
    uint64_t behind_key = place.range.high;
    TRY(InspectLeaf(source, place, [&](std::span<const media::Record> records) {
      const auto count = static_cast<uint32_t>(records.size());
      const uint32_t behind = UpperBound(records.data(), count, key, place.range);
      if (behind < count) behind_key = records[behind].key;
      if (behind > 0) found = records[behind - 1];
    }));
    if (first_try) next_key = behind_key;
    if (found) return Covering{*found, next_key};
    if (place.range.low == 0) return std::nullopt;
    key = place.range.low - 1;
  }
  return OutOfOrder(source.inode());
}

Result<std::optional<media::Record>> Tree::FindAtOrAfter(const BlockSource& source,
                                                         uint64_t key) const {
  for (int tries = 0; tries < 2; ++tries) {
    const LeafPlace place = TRY(Descend(source, key, nullptr));
    std::optional<media::Record> found;
    TRY(InspectLeaf(source, place, [&](std::span<const media::Record> records) {
      const auto count = static_cast<uint32_t>(records.size());
      const uint32_t at = LowerBound(records.data(), count, key, place.range);
      if (at < count) found = records[at];
    }));
    if (found || place.range.high == kNoKey) return found;
    key = place.range.high;  // the next node begins there, and is not empty
  }
  return OutOfOrder(source.inode());
}

Result<size_t> Tree::Read(const BlockSource& source, uint64_t key,
                          std::span<media::Record> to) const {
  size_t done = 0;
  for (bool first = true; done < to.size(); first = false) {
    const LeafPlace place = TRY(Descend(source, key, nullptr));
    const size_t before = done;
    bool starts_earlier = false;
    TRY(InspectLeaf(source, place, [&](std::span<const media::Record> records) {
      const auto count = static_cast<uint32_t>(records.size());
      uint32_t at = 0;
      if (first) {
        const uint32_t behind = UpperBound(records.data(), count, key, place.range);
        starts_earlier = behind == 0 && place.range.low != 0;
        at = behind == 0 ? 0 : behind - 1;
      } else {
        at = LowerBound(records.data(), count, key, place.range);
      }
      const size_t copied = std::min<size_t>(count - at, to.size() - done);
      std::copy_n(records.begin() + at, copied, to.begin() + static_cast<std::ptrdiff_t>(done));
      done += copied;
    }));
    if (starts_earlier) {  // rare: with the last record of the node before
      const std::optional<Covering> start = TRY(FindCovering(source, place.range.low - 1));
      if (!start) return OutOfOrder(source.inode());
      to[0] = start->record;
      done = 1;
      key = place.range.low;
      continue;
    }
    if (place.range.high == kNoKey || done == to.size()) break;
    if (done == before || place.range.high <= key) return OutOfOrder(source.inode());
    key = place.range.high;
  }
  return done;
}

Result<std::optional<media::Record>> Tree::FindAtOrBefore(const media::Inode& inode,
                                                          uint64_t key) const {
  return RecordOf(TRY(FindCovering(BlockSource(reader_, nullptr, inode), key)));
}

Result<std::optional<media::Record>> Tree::FindAtOrBefore(Transaction& transaction,
                                                          const media::Inode& inode,
                                                          uint64_t key) const {
  return RecordOf(TRY(FindCovering(BlockSource(reader_, &transaction, inode), key)));
}

Result<std::optional<media::Record>> Tree::FindAtOrAfter(const media::Inode& inode,
                                                         uint64_t key) const {
  return FindAtOrAfter(BlockSource(reader_, nullptr, inode), key);
}

Result<std::optional<media::Record>> Tree::FindAtOrAfter(Transaction& transaction,
                                                         const media::Inode& inode,
                                                         uint64_t key) const {
  return FindAtOrAfter(BlockSource(reader_, &transaction, inode), key);
}

Result<size_t> Tree::Read(const media::Inode& inode, uint64_t key,
                          std::span<media::Record> to) const {
  return Read(BlockSource(reader_, nullptr, inode), key, to);
}

Result<size_t> Tree::Read(Transaction& transaction, const media::Inode& inode, uint64_t key,
                          std::span<media::Record> to) const {
  return Read(BlockSource(reader_, &transaction, inode), key, to);
}

}  // namespace ingot
