// SPDX-License-Identifier: BSD-3-Clause
// Bad pages against a plain set, and what becomes of them when there is no memory.
#include "pmemdev/bad_pages.h"

#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "pmemdev/base/log.h"
#include "tests/support/failing_memory.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

using Added = BadPages::Added;

TEST(BadPages, AnswersAsAPlainSetDoes) {
  BadPages bad;
  std::set<uint64_t> model;
  std::mt19937_64 random(1);
  EXPECT_FALSE(bad.any());
  EXPECT_EQ(bad.GoodFrom(LogicalPage(7), 100), 100u);
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t first = random() % 1000;
    const uint64_t pages = random() % 60;
    if (step % 50 == 0) {
      EXPECT_EQ(bad.Add(LogicalPage(first)),
                model.insert(first).second ? Added::kNew : Added::kKnown);
      EXPECT_EQ(bad.count(), model.size());
    }
    const auto next = model.lower_bound(first);
    const auto end = model.lower_bound(first + pages);
    EXPECT_EQ(bad.GoodFrom(LogicalPage(first), pages),
              next == model.end() ? pages : std::min(pages, *next - first));
    EXPECT_EQ(bad.CountIn(LogicalPage(first), pages),
              static_cast<uint64_t>(std::distance(next, end)));
    uint64_t run = 0;
    while (run < pages && model.contains(first + run)) ++run;
    EXPECT_EQ(bad.BadFrom(LogicalPage(first), pages), run);
    std::vector<uint64_t> visited;
    bad.ForEachIn(LogicalPage(first), pages,
                  [&](LogicalPage page) { visited.push_back(page.value); });
    EXPECT_TRUE(std::equal(visited.begin(), visited.end(), next, end));
    if (HasFailure()) return;
  }
}

TEST(BadPages, MakeRoomInTime) {
  BadPages bad;
  for (uint64_t i = 0; i < 3 * BadPages::kRoom; ++i) {
    // Memory is short now and then: that costs nothing.
    const FailingMemory memory(1, i % 100 == 0 ? FailingMemory::Failures::kOne
                                               : FailingMemory::Failures::kAllFromThere);
    if (bad.Add(LogicalPage(i * 7)) != Added::kNew) break;
  }
  EXPECT_EQ(bad.count(), BadPages::kRoom) << "all the room that was made ahead";
  EXPECT_EQ(bad.Add(LogicalPage(0)), Added::kKnown);
  EXPECT_EQ(bad.Add(LogicalPage(1)), Added::kNoRoom);

  BadPages more;
  for (uint64_t i = 0; i < 3 * BadPages::kRoom; ++i) {
    ASSERT_EQ(more.Add(LogicalPage(i * 7)), Added::kNew) << i;
  }
  EXPECT_EQ(more.CountIn(LogicalPage(0), 1'000'000), 3 * BadPages::kRoom);
}

// A page that can't be remembered must not be given out again: nothing is, from then on.
TEST(BadPages, OneTooManyTurnsTheDeviceReadOnly) {
  const auto device = FormattedDevice(uint64_t{64} << 20);
  const std::string bytes(uint64_t{32} << 20, 'x');  // a hole would be the host's loss
  ASSERT_EQ(pwrite(device->mapping().fd(), bytes.data(), bytes.size(),
                   static_cast<off_t>(Geometry::ToMedia(LogicalPage(0)).value)),
            static_cast<ssize_t>(bytes.size()));
  log::ToStderr(log::Level::kOff);
  const auto report = [&](uint64_t page) {
    const FailingMemory memory(1, FailingMemory::Failures::kAllFromThere);
    (void)NoThrow([&] { return device->ReportFault(device->Pointer(LogicalOffset(page * 4096))); });
  };
  for (uint64_t i = 0; i < BadPages::kRoom; ++i) report(i);
  EXPECT_EQ(device->bad_pages().count(), BadPages::kRoom);
  EXPECT_TRUE(device->writable());
  report(BadPages::kRoom);
  EXPECT_FALSE(device->writable());
  log::ToStderr(log::Level::kWarning);
}

}  // namespace
}  // namespace ingot::tests
