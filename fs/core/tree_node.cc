// SPDX-License-Identifier: BSD-3-Clause
// The way down a tree and the editing of one node's records; see tree_node.h.
#include "fs/core/tree_node.h"

#include <cstring>

#include "fs/core/tree.h"
#include "pmemdev/base/check.h"

namespace ingot {
namespace {

// The tail is bytes on media and holds records when the body is a tree.
const media::Record* RecordsIn(const media::Inode& inode) {
  static_assert(offsetof(media::Inode, tail) % alignof(media::Record) == 0);
  return reinterpret_cast<const media::Record*>(inode.tail.data());
}

struct Followed {
  uint32_t index = 0;
  LogicalPage child;
};

// Picks the record that leads to `key` and narrows `range` to it. The first record answers for
// everything before the second. `records` is not empty.
Followed Follow(std::span<const media::Record> records, uint64_t key, KeyRange& range) {
  const auto count = static_cast<uint32_t>(records.size());
  const uint32_t behind = UpperBound(records.data(), count, key, range);
  const uint32_t index = behind == 0 ? 0 : behind - 1;
  if (index + 1 < count) range.high = records[index + 1].key;
  if (index > 0) range.low = records[index].key;
  return {index, LogicalPage(records[index].value)};
}

}  // namespace

uint32_t TailCapacity(const media::Inode& inode) {
  const uint32_t used = std::min<uint32_t>(inode.xattr_bytes, media::kInodeTailSize);
  return (media::kInodeTailSize - used) / media::kRecordSize;
}

tl::unexpected<Error> DamagedNode(const media::Inode& inode, LogicalPage page,
                                  std::string_view what) {
  return Failure(EUCLEAN,
                 fmt::format("inode {}: tree node {}: {}", inode.number, page.value, what));
}

Result<std::span<const media::Record>> TailRecords(const media::Inode& inode) {
  if (inode.body_form != media::BodyForm::kTree) return std::span<const media::Record>();
  if (inode.tree_height > kMaxTreeHeight || inode.body_bytes % media::kRecordSize != 0 ||
      inode.body_bytes == 0 || inode.body_bytes > media::kInodeTailSize) [[unlikely]] {
    return Failure(EUCLEAN, fmt::format("inode {}: root of its tree", inode.number));
  }
  return std::span(RecordsIn(inode), inode.body_bytes / media::kRecordSize);
}

Result<LeafPlace> Descend(const BlockSource& source, uint64_t key, TreePath* path) {
  const std::span<const media::Record> tail = TRY(TailRecords(source.inode()));
  LeafPlace place;
  if (path != nullptr) path->push_back({});
  if (tail.empty() || source.inode().tree_height == 0) return place;
  Followed followed = Follow(tail, key, place.range);
  for (uint32_t level = source.inode().tree_height; level-- > 0;) {
    if (path != nullptr) {
      path->back().index = followed.index;
      path->push_back({followed.child, 0});
    }
    place.page = followed.child;
    if (level == 0) break;
    TRY(InspectNode(source, place.page, level, [&](std::span<const media::Record> records) {
      followed = Follow(records, key, place.range);
    }));
  }
  place.in_tail = false;
  return place;
}

RecordList::RecordList(media::Inode& inode)
    : records_(const_cast<media::Record*>(RecordsIn(inode))),
      capacity_(TailCapacity(inode)),
      inode_(&inode) {}

uint32_t RecordList::count() const {
  if (node_ != nullptr) return node_->header.count;
  return inode_->body_form == media::BodyForm::kTree ? inode_->body_bytes / media::kRecordSize : 0;
}

void RecordList::SetCount(uint32_t count) {
  if (node_ != nullptr) {
    node_->header.count = static_cast<uint16_t>(count);
    return;
  }
  inode_->body_bytes = static_cast<uint16_t>(count * media::kRecordSize);
  inode_->body_form = count == 0 ? media::BodyForm::kEmpty : media::BodyForm::kTree;
  if (count == 0) inode_->tree_height = 0;
}

void RecordList::Insert(uint32_t index, media::Record record) {
  const uint32_t old_count = count();
  CHECK(index <= old_count && old_count < capacity_, "{} of {}, room for {}", index, old_count,
        capacity_);
  std::memmove(records_ + index + 1, records_ + index, (old_count - index) * sizeof(media::Record));
  records_[index] = record;
  SetCount(old_count + 1);
}

void RecordList::Erase(uint32_t index) {
  const uint32_t old_count = count();
  CHECK(index < old_count, "{} of {}", index, old_count);
  std::memmove(records_ + index, records_ + index + 1,
               (old_count - index - 1) * sizeof(media::Record));
  SetCount(old_count - 1);
}

void RecordList::MoveTo(RecordList& to, uint32_t index) {
  const uint32_t moved = count() - index;
  const uint32_t before = to.count();
  CHECK(index <= count() && before + moved <= to.capacity_, "{} to {} of {}", moved, before,
        to.capacity_);
  std::memcpy(to.records_ + before, records_ + index, moved * sizeof(media::Record));
  to.SetCount(before + moved);
  SetCount(index);
}

}  // namespace ingot
