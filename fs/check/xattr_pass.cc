// SPDX-License-Identifier: BSD-3-Clause
// Extended attributes: the blob, wherever it lies, taken apart.
//
// All or nothing: half of a set could leave a file with fewer restrictions than it had with the
// other half, so a set that isn't whole is dropped, and said so.
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "fs/check/file_pass.h"
#include "fs/core/posix_acl.h"
#include "fs/core/xattr_blob.h"
#include "pmemdev/base/checksum.h"

namespace ingot::check {
namespace {

constexpr uint64_t kRunPageMask = (uint64_t{1} << 48) - 1;
constexpr uint32_t kRunPagesShift = 48;

struct Run {
  LogicalPage first;
  uint32_t pages;
};

// Null, or what is wrong.
const char* BlobFault(std::span<const std::byte> blob) {
  if (blob.empty()) return "empty blob";
  const Result<std::vector<XattrView>> entries = ParseXattrs(blob);
  if (!entries) return "an entry doesn't fit its blob";
  std::vector<std::string_view> names;
  for (const XattrView& entry : *entries) {
    if (!CheckXattrName(entry.name)) return "impossible name";
    // A directory with a default list that can't be read takes no new names.
    const bool is_list = entry.name == kAccessAclName || entry.name == kDefaultAclName;
    if (is_list && !PosixAcl::Parse(entry.value)) return "impossible access list";
    names.push_back(entry.name);
  }
  std::ranges::sort(names);
  if (std::ranges::adjacent_find(names) != names.end()) return "the same name twice";
  if (!std::ranges::equal(EncodeXattrs(*entries), blob)) return "padding";
  return nullptr;
}

class ExternalXattrs {
 public:
  ExternalXattrs(Context& context, const media::Inode& inode) : context_(context), inode_(inode) {}

  // Null, or what is wrong.
  const char* Load() {
    head_page_ = LogicalPage(inode_.xattr_page);
    if (!context_.MayHold(head_page_, 1)) return "head outside the pool's space";
    const BlockIdentity identity{BlockKind::kXattrHead, InodeNumber(inode_.number),
                                 inode_.generation};
    if (!context_.reader.Copy(head_page_, identity, page_)) return "head can't be believed";
    std::memcpy(&head_, page_.data(), sizeof(head_));
    if (head_.header.level != 0) return "level of the head";
    const char* fault = head_.header.count == 0 ? LoadFromHead() : LoadFromRuns();
    if (fault != nullptr) return fault;
    if (Crc32c(blob_) != head_.blob_checksum) return "checksum of the blob";
    if (context_.metadata.Contains(head_page_) || std::ranges::any_of(runs_, [&](const Run& run) {
          return context_.metadata.Intersects(run.first, run.pages);
        })) {
      return "a page is another block as well";
    }
    return BlobFault(blob_);
  }
  // Notes all pages as owned; returns how many.
  uint64_t Claim() {
    uint64_t pages = 1;
    bool disjoint = context_.ClaimMetadata(head_page_);
    for (const Run& run : runs_) {
      pages += run.pages;
      for (uint32_t i = 0; i < run.pages; ++i) disjoint &= context_.ClaimMetadata(run.first + i);
    }
    return disjoint ? pages : 0;
  }

 private:
  const char* LoadFromHead() {
    if (head_.blob_bytes > media::kXattrInHeadBytes) return "size";
    blob_.assign(page_.begin() + sizeof(head_), page_.begin() + sizeof(head_) + head_.blob_bytes);
    return nullptr;
  }
  const char* LoadFromRuns() {
    const uint32_t count = head_.header.count;
    if (count > media::kMaxXattrRuns || head_.blob_bytes > media::kMaxXattrTotalSize) return "size";
    uint64_t left = RoundUp(head_.blob_bytes, kPageSize) / kPageSize;
    blob_.resize(head_.blob_bytes);
    std::span<std::byte> to(blob_);
    for (uint32_t i = 0; i < count; ++i) {
      uint64_t word;
      std::memcpy(&word, page_.data() + sizeof(head_) + i * sizeof(word), sizeof(word));
      const Run run{LogicalPage(word & kRunPageMask),
                    static_cast<uint32_t>(word >> kRunPagesShift) + 1};
      if (run.pages > left || !context_.MayHold(run.first, run.pages)) return "run";
      left -= run.pages;
      const size_t size_bytes = std::min<size_t>(run.pages * kPageSize, to.size());
      if (!context_.device.Read(OffsetOf(run.first), to.first(size_bytes))) return "unreadable";
      to = to.subspan(size_bytes);
      runs_.push_back(run);
    }
    return left == 0 ? nullptr : "runs";
  }

  Context& context_;
  const media::Inode& inode_;
  LogicalPage head_page_;
  std::array<std::byte, kPageSize> page_;
  media::XattrHead head_;
  std::vector<Run> runs_;
  std::vector<std::byte> blob_;
};

}  // namespace

XattrOutcome CheckXattrs(Context& context, media::Inode& inode) {
  XattrOutcome outcome;
  if (inode.xattr_bytes == 0 && inode.xattr_page == 0) return outcome;
  const char* fault = nullptr;
  const size_t inline_bytes = std::min<size_t>(inode.xattr_bytes, media::kInodeTailSize);
  const bool overlaps = inode.xattr_bytes + uint32_t{inode.body_bytes} > media::kInodeTailSize;
  if (inode.xattr_bytes != 0) {
    fault = overlaps || inode.xattr_page != 0
                ? "size"
                : BlobFault(std::span(inode.tail).last(inline_bytes));
  } else {
    ExternalXattrs external(context, inode);
    fault = external.Load();
    if (fault == nullptr) {
      outcome.pages = external.Claim();
      if (outcome.pages == 0) fault = "a page twice";
      context.counts.metadata_pages += outcome.pages;
    }
  }
  if (fault == nullptr) return outcome;
  context.Report(FindingKind::kXattr, At(InodeNumber(inode.number)),
                 fmt::format("inode {}: extended attributes: {}", inode.number, fault));
  if (!overlaps) {
    std::ranges::fill(std::span(inode.tail).last(inline_bytes), std::byte{});
  }
  inode.xattr_bytes = 0;
  inode.xattr_page = 0;
  outcome.pages = 0;
  outcome.changed = true;
  return outcome;
}

}  // namespace ingot::check
