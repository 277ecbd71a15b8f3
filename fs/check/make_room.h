// SPDX-License-Identifier: BSD-3-Clause
// Room in a hash table for one more, so that memory can run out without harm.
//
// Abseil's tables are not made for that: one that was to grow and could not is in no state to be
// used or destroyed. So they are never left to grow by themselves: a greater one is made beside the
// old, which loses its place only once that has succeeded. For tables from which nothing is erased.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

namespace ingot::check {

// After it the next insertion needs no memory of the table's own. std::bad_alloc: the table is as
// before.
template <typename Table>
void MakeRoomForOne(Table& table) {
  constexpr size_t kFewest = 16;
  // Abseil fills seven eighths, or one place less than all of the smallest.
  const size_t capacity = table.capacity();
  if (table.size() + 1 < capacity - capacity / 8) return;
  union Unborn {  // is not destroyed by itself: if it could not get its memory it must not be
    Unborn() : table() {}
    ~Unborn() {}
    Table table;
  } bigger;
  bigger.table.reserve(std::max(2 * table.size(), kFewest));
  bigger.table.insert(std::make_move_iterator(table.begin()), std::make_move_iterator(table.end()));
  std::swap(table, bigger.table);
  std::destroy_at(&bigger.table);
}

}  // namespace ingot::check
