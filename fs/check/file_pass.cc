// SPDX-License-Identifier: BSD-3-Clause
// Extents of one file: inside the space, in order, disjoint, and nothing written behind the end.
#include "fs/check/file_pass.h"

#include <sys/stat.h>

#include <fmt/format.h>

#include "fs/check/tree_walk.h"
#include "fs/core/extent_map.h"

namespace ingot::check {
namespace {

constexpr uint64_t kMaxFilePages = media::kMaxFileSize / kPageSize;

class ExtentCheck {
 public:
  ExtentCheck(Context& context, const media::Inode& inode) : context_(context), inode_(inode) {}

  // True if the record may stay.
  bool Visit(media::Record& record) {
    const Extent extent = Extent::Decode(record);
    if (!context_.MayHold(extent.start, extent.pages))
      return Bad(extent, "outside the pool's space");
    if (record.key >= kMaxFilePages || extent.pages > kMaxFilePages - record.key) {
      return Bad(extent, "behind the largest file");
    }
    if (record.key < end_) return Bad(extent, "overlaps the one before");
    end_ = extent.end().value;
    context_.ClaimData(extent.start, extent.pages);
    pages_ += extent.pages;
    ++context_.counts.extents;
    CheckEnd(extent, record);
    return true;
  }
  [[nodiscard]] uint64_t pages() const { return pages_; }

 private:
  bool Bad(const Extent& extent, const char* what) {
    context_.Report(
        FindingKind::kExtent, At(InodeNumber(inode_.number), extent.start),
        fmt::format("inode {}: extent of {} pages for file page {} at page {}: {}", inode_.number,
                    extent.pages, extent.file_page.value, extent.start.value, what));
    return false;
  }
  // What lies wholly behind the end must read as zeros when the file grows, unless a truncation is
  // still to be completed.
  void CheckEnd(const Extent& extent, media::Record& record) {
    const uint64_t file_end = RoundUp(inode_.size_bytes, kPageSize) / kPageSize;
    const bool truncating = (inode_.flags & media::kInodeOrphan) != 0 ||
                            inode_.body_form == media::BodyForm::kBacked;
    if (extent.unwritten || truncating || extent.end().value <= file_end) return;
    context_.Report(FindingKind::kExtentBeyondEnd, At(InodeNumber(inode_.number), extent.start),
                    fmt::format("inode {}: data of {} pages at file page {} lie behind the end, {} "
                                "bytes",
                                inode_.number, extent.pages, record.key, inode_.size_bytes));
    if (extent.file_page.value < file_end && S_ISLNK(inode_.mode)) {
      // A target has one page; the rest is nobody's in the next round.
      Extent front = extent;
      front.pages = static_cast<uint32_t>(file_end - extent.file_page.value);
      pages_ -= extent.pages - front.pages;
      record = front.Encode();
    } else if (extent.file_page.value < file_end) {
      // The part in front must be kept: the file ends where its data do.
      new_size_ = extent.end().value * kPageSize;
    } else {
      Extent zeros = extent;
      zeros.unwritten = true;
      record = zeros.Encode();
    }
  }

  Context& context_;
  const media::Inode& inode_;
  uint64_t end_ = 0;
  uint64_t pages_ = 0;

 public:
  uint64_t new_size_ = 0;
};

}  // namespace

bool FixPageCount(Context& context, media::Inode& inode, uint64_t pages, bool damaged) {
  if (inode.page_count == pages) return false;
  if (!damaged) {
    context.Report(
        FindingKind::kInodePageCount, At(InodeNumber(inode.number)),
        fmt::format("inode {}: page_count {}, found {}", inode.number, inode.page_count, pages));
  }
  inode.page_count = pages;
  return true;
}

Result<bool> CheckFile(Context& context, media::Inode& inode) {
  const XattrOutcome xattrs = CheckXattrs(context, inode);
  bool changed = xattrs.changed;
  bool damaged = xattrs.changed;
  uint64_t pages = xattrs.pages;
  if (HasTree(inode)) {
    ExtentCheck check(context, inode);
    TreeWalk walk(context, inode, {});
    TRY(walk.Run([&](media::Record& record) -> Result<bool> { return check.Visit(record); }));
    pages += walk.node_pages() + check.pages();
    context.counts.data_pages += check.pages();
    context.counts.metadata_pages += walk.node_pages();
    damaged |= walk.damaged();
    changed |= walk.inode_changed();
    if (check.new_size_ != 0) {
      inode.size_bytes = std::min(check.new_size_, media::kMaxFileSize);
      changed = true;
    }
  }
  changed |= FixPageCount(context, inode, pages, damaged);
  return changed;
}

}  // namespace ingot::check
