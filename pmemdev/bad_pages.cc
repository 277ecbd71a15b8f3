// SPDX-License-Identifier: BSD-3-Clause
// A sorted vector: faults are rare and slow, questions are not. Nothing of it is on media.
#include "pmemdev/bad_pages.h"

#include <algorithm>

#include "pmemdev/base/result.h"

namespace ingot {

BadPages::Place BadPages::LowerBound(LogicalPage first) const {
  return std::lower_bound(pages_.begin(), pages_.end(), first);
}

BadPages::Added BadPages::Add(LogicalPage page) {
  const std::lock_guard lock(mutex_);
  const Place place = LowerBound(page);
  if (place != pages_.end() && *place == page) return Added::kKnown;
  if (pages_.size() == pages_.capacity()) return Added::kNoRoom;
  pages_.insert(place, page);
  count_.store(pages_.size(), std::memory_order_release);
  // More room long before it is needed: each further page tries again.
  if (pages_.size() > pages_.capacity() / 2) {
    (void)NoThrow([this]() -> Result<void> {
      pages_.reserve(pages_.capacity() * 2);
      return {};
    });
  }
  return Added::kNew;
}

uint64_t BadPages::GoodFrom(LogicalPage first, uint64_t pages) const {
  if (!any()) [[likely]] return pages;
  const std::shared_lock lock(mutex_);
  const Place bad = LowerBound(first);
  return bad == pages_.end() ? pages : std::min<uint64_t>(pages, *bad - first);
}

uint64_t BadPages::BadFrom(LogicalPage first, uint64_t pages) const {
  if (!any()) [[likely]] return 0;
  const std::shared_lock lock(mutex_);
  uint64_t count = 0;
  for (Place at = LowerBound(first); count < pages && at != pages_.end(); ++at, ++count) {
    if (*at != first + count) break;
  }
  return count;
}

uint64_t BadPages::CountIn(LogicalPage first, uint64_t pages) const {
  if (!any()) [[likely]] return 0;
  const std::shared_lock lock(mutex_);
  return static_cast<uint64_t>(LowerBound(first + pages) - LowerBound(first));
}

}  // namespace ingot
