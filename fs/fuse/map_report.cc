// SPDX-License-Identifier: BSD-3-Clause
// user.ingot.map: where a file's bytes lie, and how much of it could be mapped by huge pages.
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "fs/core/huge_pages.h"
#include "fs/fuse/introspection.h"
#include "fs/fuse/json_text.h"
#include "fs/fuse/session.h"

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
  const InodeNumber inode = attributes.inode;
  if (session.passthrough() == nullptr) {
    return "a device pool has no backing files; mappings go through the page cache";
  }
  const std::string why_not = session.passthrough()->WhyNot();
  if (!why_not.empty()) return why_not;
  if (!attributes.is_backed) {
    return "the file is in the extent store. Hint: ingot direct on FILE";
  }
  if (session.passthrough()->IsHeldBack(inode)) {
    return "it was opened before it had a backing file. Hint: close all handles of it";
  }
  const auto file = session.volume().data().BackingFileOf(inode);
  if (!file) return Describe(file.error());
  if ((*file)->IsMappedFromMedium()) return "";
  return "the host has no DAX: mappings are of its page cache. Hint: ingot doctor";
}

// The greatest power of two, up to 2 MiB, by which bytes lie on the medium as in the file.
uint64_t AlignmentOf(std::span<const Extent> extents) {
  uint64_t distances = kHugePageSize;
  for (const Extent& extent : extents) {
    distances |= (extent.start.value - extent.file_page.value) * kPageSize;
  }
  return distances & (~distances + 1);
}

// A backed file as the kernel maps it.
Result<void> DescribeBacked(JsonText& report, Session& session, const Attributes& attributes) {
  const std::shared_ptr<BackingFile> file =
      TRY(session.volume().data().BackingFileOf(attributes.inode));
  report.Add("backing_file", file->number());
  report.Add("data_bytes", std::min(attributes.size_bytes, attributes.page_count * kPageSize));
  const Result<HugePageCount> counts = CountHugePages(*file);
  if (!counts) {
    report.Add("huge_pages_unknown", ErrnoName(counts.error().code));
    return {};
  }
  report.Add("huge_page_bytes", counts->huge_bytes);
  const bool all_huge = counts->data_bytes == counts->huge_bytes;
  report.Add("alignment_bytes", all_huge ? kHugePageSize : kPageSize);
  return {};
}

void DescribeExtents(JsonText& report, const Attributes& attributes, const MapSums& sums,
                     std::span<const Extent> shown) {
  report.Add("data_bytes", sums.data_bytes);
  report.Add("unwritten_bytes", sums.unwritten_bytes);
  report.Add("huge_page_bytes", sums.huge_bytes);
  report.Add("alignment_bytes", AlignmentOf(shown));
  report.Add("inline",
             sums.extents == 0 && attributes.size_bytes != 0 && attributes.page_count == 0);
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
  if (attributes.is_backed) {
    TRY(DescribeBacked(report, session, attributes));
  } else {
    DescribeExtents(report, attributes, sums, shown);
  }
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
