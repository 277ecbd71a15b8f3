// SPDX-License-Identifier: BSD-3-Clause
// user.ingot.map: where a file's bytes lie, and how much of it could be mapped by huge pages.
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "fs/fuse/introspection.h"
#include "fs/fuse/session.h"
#include "fs/fuse/json_text.h"

namespace ingot {
namespace {

// An attribute's value ends at 64 KiB; an extent takes up to 120 bytes of text.
constexpr size_t kMaxExtentsShown = 450;
constexpr size_t kExtentsAtOnce = 1024;

// Bytes of `extent` in huge pages that are whole, aligned and congruent in file and medium.
uint64_t HugeBytesOf(const Extent& extent) {
  if ((extent.start.value - extent.file_page.value) % kPagesPerHugePage != 0) return 0;
  const uint64_t first = RoundUp(extent.file_page.value, kPagesPerHugePage);
  const uint64_t end = RoundDown(extent.end().value, kPagesPerHugePage);
  return end > first ? (end - first) * kPageSize : 0;
}

bool Continues(const Extent& last, const Extent& next) {
  return next.file_page == last.end() && next.start == last.start + last.pages &&
         GroupOf(next.start) == GroupOf(last.start);
}

// Sums over all extents of a file, merged where only the kind differs.
struct MapSums {
  uint64_t extents = 0;
  uint64_t data_bytes = 0;
  uint64_t unwritten_bytes = 0;
  uint64_t huge_bytes = 0;
  Extent open{};  // being merged

  void Add(const Extent& extent) {
    ++extents;
    (extent.unwritten ? unwritten_bytes : data_bytes) += extent.pages * kPageSize;
    if (open.pages != 0 && Continues(open, extent)) {
      open.pages += extent.pages;
      return;
    }
    huge_bytes += HugeBytesOf(open);
    open = extent;
  }
  void End() { huge_bytes += HugeBytesOf(std::exchange(open, Extent{})); }
};

void Describe(JsonText& report, const Extent& extent) {
  report.BeginObject();
  report.Add("offset", extent.file_page.value * kPageSize);
  report.Add("bytes", extent.pages * kPageSize);
  report.Add("media", Geometry::ToMedia(OffsetOf(extent.start)).value);
  if (extent.unwritten) report.Add("unwritten", true);
  report.EndObject();
}

std::string WhyNotDirect(Session& session, const Attributes& attributes) {
  if (session.passthrough() == nullptr) {
    return "a device pool has no backing files; mappings go through the page cache";
  }
  const std::string why_not = session.passthrough()->WhyNot();
  if (!why_not.empty()) return why_not;
  if (attributes.is_backed) return "";
  return "the file is in the extent store. Hint: chattr +x FILE";
}

}  // namespace

Result<std::string> MapReport(Session& session, InodeNumber inode) {
  Volume& volume = session.volume();
  const Attributes attributes = TRY(volume.attributes().Get(inode));
  if (!S_ISREG(attributes.mode)) return Failure(ENODATA);
  MapSums sums;
  std::vector<Extent> shown;
  FilePage next{};
  for (;;) {
    const auto extents = TRY(volume.data().Extents(inode, next, kExtentsAtOnce));
    for (const Extent& extent : extents) {
      sums.Add(extent);
      if (shown.size() < kMaxExtentsShown) shown.push_back(extent);
    }
    if (extents.size() < kExtentsAtOnce) break;
    next = extents.back().end();
  }
  sums.End();

  JsonText report;
  report.BeginObject();
  report.Add("inode", inode.value);
  report.Add("size_bytes", attributes.size_bytes);
  report.Add("data_bytes", sums.data_bytes);
  report.Add("unwritten_bytes", sums.unwritten_bytes);
  report.Add("huge_page_bytes", sums.huge_bytes);
  report.Add("inline",
             sums.extents == 0 && attributes.size_bytes != 0 && attributes.page_count == 0 &&
                 !attributes.is_backed);
  const std::string why_not = WhyNotDirect(session, attributes);
  report.Add("direct", why_not.empty());
  if (!why_not.empty()) report.Add("why_not_direct", why_not);
  report.Add("extent_count", sums.extents);
  report.BeginArray("extents");
  for (const Extent& extent : shown) Describe(report, extent);
  report.EndArray();
  report.EndObject();
  return report.Take();
}

}  // namespace ingot
