// SPDX-License-Identifier: BSD-3-Clause
// Pages with two owners: metadata that proved itself keeps its page, then the lowest inode; the
// others' ranges become holes, through the filesystem's own transactions. A promotion's old
// extents, which are only still to be freed, are forgotten whole.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "fs/check/backing_pass.h"
#include "fs/check/file_pass.h"
#include "fs/check/inode_pass.h"
#include "fs/check/tree_walk.h"
#include "fs/core/core.h"

namespace ingot::check {
namespace {

constexpr size_t kMaxClaims = 1'000'000;  // those beyond are found in the next round

struct DataClaim {
  LogicalPage page;
  InodeNumber inode;
  FilePage file_page;
  friend auto operator<=>(const DataClaim&, const DataClaim&) = default;
};

// Calls `visit(const media::Inode&, const Extent&)` for every extent of every file.
template <typename Visit>
Result<void> ForEachExtent(Context& context, Visit&& visit) {
  std::vector<uint64_t> numbers;
  for (const auto& [number, facts] : context.inodes) {
    if (facts.type == DT_REG || facts.type == DT_LNK) numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  for (const uint64_t number : numbers) {
    Result<media::Inode> inode = context.reader.ReadInodeUnchecked(InodeNumber(number));
    if (!inode || FatalInodeFault(context, InodeNumber(number), *inode) != nullptr) continue;
    if (!HasTree(*inode)) continue;
    TreeWalk walk(context, *inode, {.claim = false, .report = false, .fix = false});
    TRY(walk.Run([&](media::Record& record) -> Result<bool> {
      const Extent extent = Extent::Decode(record);
      if (!context.MayHold(extent.start, extent.pages)) return true;
      TRY(visit(*inode, extent));
      return true;
    }));
  }
  return {};
}

void Lose(Context& context, const DataClaim& loser, InodeNumber keeper) {
  context.Report(
      FindingKind::kPageShared, At(loser.inode, loser.page),
      keeper.value == 0
          ? fmt::format("inode {}: file page {} lies on metadata at page {}", loser.inode.value,
                        loser.file_page.value, loser.page.value)
          : fmt::format("inode {}: file page {} at page {} belongs to inode {}", loser.inode.value,
                        loser.file_page.value, loser.page.value, keeper.value));
  context.shared.push_back({loser.inode, loser.file_page, 1});
}

void MergeRanges(std::vector<SharedRange>& ranges) {
  std::ranges::sort(ranges);
  std::vector<SharedRange> merged;
  for (const SharedRange& range : ranges) {
    if (!merged.empty() && merged.back().inode == range.inode &&
        merged.back().first + merged.back().pages == range.first) {
      merged.back().pages += range.pages;
    } else {
      merged.push_back(range);
    }
  }
  ranges = std::move(merged);
}

Result<void> PunchRange(Context& context, Core& core, const SharedRange& range) {
  FilePage at = range.first;
  uint64_t left = range.pages;
  while (left > 0) {
    const ExclusiveInodeLocks lock(core.locks, range.inode);
    Transaction transaction(*core.allocator, core.reader);
    media::Inode* inode = TRY(transaction.EditInode(range.inode));
    const ExtentMap::Removed removed = TRY(core.extents.Remove(transaction, *inode, at, left));
    for (const Extent& piece : removed.pieces) {
      inode->page_count -= std::min<uint64_t>(inode->page_count, piece.pages);
    }
    TRY(transaction.Commit());
    if (removed.done == 0) return Failure(EOVERFLOW, "punching a shared range");
    at += removed.done;
    left -= removed.done;
  }
  ++context.fixed;
  return {};
}

// What a promotion left to be freed never keeps a page from a file that uses it.
Result<void> ForgetSharedLeftovers(Context& context) {
  uint64_t last = 0;
  return ForEachExtent(
      context, [&](const media::Inode& inode, const Extent& extent) -> Result<void> {
        const bool is_shared = context.conflicts.Intersects(extent.start, extent.pages);
        if (inode.body_form != media::BodyForm::kBacked || !is_shared) return {};
        if (std::exchange(last, inode.number) == inode.number) return {};
        context.Report(FindingKind::kPageShared, At(InodeNumber(inode.number), extent.start),
                       fmt::format("inode {}: page {}, still to be freed, belongs to another",
                                   inode.number, extent.start.value));
        if (!context.repairing()) return {};
        media::Inode without = inode;
        ForgetLeftovers(without);
        ++context.fixed;
        return context.writer->WriteInode(without);
      });
}

}  // namespace

Result<void> FindSharers(Context& context) {
  context.shared.clear();
  if (context.conflicts.empty()) return {};
  TRY(ForgetSharedLeftovers(context));
  // All claims on the lowest pages; those from `limit` on are found in the next round.
  std::vector<DataClaim> claims;
  LogicalPage limit(UINT64_MAX);
  size_t compact_at = 2 * kMaxClaims;
  TRY(ForEachExtent(context, [&](const media::Inode& inode, const Extent& extent) -> Result<void> {
    if (inode.body_form == media::BodyForm::kBacked) return {};
    if (!context.conflicts.Intersects(extent.start, extent.pages)) return {};
    for (uint32_t i = 0; i < extent.pages && extent.start + i < limit; ++i) {
      if (!context.conflicts.Contains(extent.start + i)) continue;
      claims.push_back({extent.start + i, InodeNumber(inode.number), extent.file_page + i});
      if (claims.size() < compact_at) continue;
      const auto middle = claims.begin() + static_cast<std::ptrdiff_t>(kMaxClaims);
      std::ranges::nth_element(claims, middle);
      limit = middle->page + 1;
      std::erase_if(claims, [limit](const DataClaim& claim) { return claim.page >= limit; });
      compact_at = std::max(2 * kMaxClaims, 2 * claims.size());
    }
    return {};
  }));
  std::ranges::sort(claims);
  const DataClaim* keeper = nullptr;
  for (const DataClaim& claim : claims) {
    if (context.metadata.Contains(claim.page)) {
      Lose(context, claim, InodeNumber(0));
    } else if (keeper != nullptr && keeper->page == claim.page) {
      Lose(context, claim, keeper->inode);
    } else {
      keeper = &claim;
    }
  }
  MergeRanges(context.shared);
  return {};
}

Result<void> PunchShared(Context& context) {
  Core core(context.device, TRY(Allocator::Open(context.device)), VolumeOptions{});
  for (const SharedRange& range : context.shared) TRY(PunchRange(context, core, range));
  return {};
}

Result<void> ReadAllData(Context& context) {
  std::vector<std::byte> buffer(kPageSize);
  return ForEachExtent(
      context, [&](const media::Inode& inode, const Extent& extent) -> Result<void> {
        for (uint32_t i = 0; i < extent.pages; ++i) {
          const LogicalPage page = extent.start + i;
          if (context.device.Read(OffsetOf(page), buffer)) continue;
          context.Report(FindingKind::kDataUnreadable, At(InodeNumber(inode.number), page),
                         fmt::format("inode {}: file page {} at page {} can't be read",
                                     inode.number, extent.file_page.value + i, page.value));
          if (!context.repairing()) continue;
          ++context.fixed;
          TRY(context.writer->ZeroPage(page));
        }
        return {};
      });
}

}  // namespace ingot::check
