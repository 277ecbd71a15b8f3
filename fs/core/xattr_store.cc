// SPDX-License-Identifier: BSD-3-Clause
// Where the blob of extended attributes lies: read, and written anew elsewhere.
//
// A blob of up to 160 bytes stays in the tail if there is room beside the present body. Making room
// by moving the body out was rejected: it costs the same page as a head does, and slows the body.
// Crash: pages are written before the transaction that shows them.
#include <algorithm>
#include <array>
#include <cstring>

#include "fs/core/xattrs.h"
#include "pmemdev/base/checksum.h"

namespace ingot {
namespace {

constexpr size_t kMaxInlineBytes = 160;
// Groups that the pages of one blob may lie in, head included: the old and the new blob together
// must fit what one transaction may change.
constexpr size_t kMaxGroupsPerBlob = Allocator::kMaxGroupsPerTransaction / 2 - 1;

constexpr uint64_t kRunPageMask = (uint64_t{1} << 48) - 1;
constexpr uint32_t kRunPagesShift = 48;
constexpr uint64_t kRunPagesMask = 0x7FFF;

uint64_t EncodeRun(LogicalPage first, uint32_t pages) {
  return first.value | uint64_t{pages - 1} << kRunPagesShift;
}

Extent DecodeRun(FilePage at, uint64_t run) {
  return Extent{.file_page = at,
                .start = LogicalPage(run & kRunPageMask),
                .pages = static_cast<uint32_t>((run >> kRunPagesShift & kRunPagesMask) + 1)};
}

BlockIdentity HeadIdentity(const media::Inode& inode) {
  return {BlockKind::kXattrHead, InodeNumber(inode.number), inode.generation};
}

tl::unexpected<Error> Damaged(const media::Inode& inode, const char* what) {
  return Failure(EUCLEAN, fmt::format("inode {}: xattrs: {}", inode.number, what));
}

uint64_t PagesFor(uint64_t bytes) { return RoundUp(bytes, kPageSize) / kPageSize; }

// A run for the next pages of a blob that lies in so many groups already; for all of them, if they
// may come to one more group only.
Result<Claim> TakeRun(Allocator& allocator, ClaimRequest request, size_t groups) {
  request.exact = groups + 1 >= kMaxGroupsPerBlob;
  Result<Claim> claim = allocator.Take(request);
  if (!request.exact || claim.error_code() != ENOSPC) return claim;
  request.exact = false;
  return allocator.Take(request);
}

}  // namespace

struct Xattrs::Head {
  alignas(kCacheLineSize) std::array<std::byte, kPageSize> page;
  media::XattrHead fields;
  std::vector<Extent> runs;  // of blob pages; none: the blob is in the head
};

Result<void> Xattrs::ReadHead(const media::Inode& inode, Head& head) const {
  const LogicalPage at(inode.xattr_page);
  const std::byte* page = TRY(core_.reader.Verified(at, HeadIdentity(inode)));
  TRY(core_.device.ReadInPlace([&] { std::memcpy(head.page.data(), page, kPageSize); }));
  std::memcpy(&head.fields, head.page.data(), sizeof(head.fields));
  const uint32_t count = head.fields.header.count;
  if (count == 0) {
    if (head.fields.blob_bytes > media::kXattrInHeadBytes) return Damaged(inode, "size");
    return {};
  }
  if (count > media::kMaxXattrRuns || head.fields.blob_bytes > media::kMaxXattrTotalSize) {
    return Damaged(inode, "size");
  }
  FilePage next{};
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t run;
    std::memcpy(&run, head.page.data() + sizeof(head.fields) + i * sizeof(run), sizeof(run));
    const Extent extent = DecodeRun(next, run);
    if (!core_.device.geometry().ContainsWithinGroup(OffsetOf(extent.start),
                                                     extent.pages * kPageSize)) {
      return Damaged(inode, "run");
    }
    head.runs.push_back(extent);
    next += extent.pages;
  }
  if (next.value != PagesFor(head.fields.blob_bytes)) return Damaged(inode, "runs");
  return {};
}

Result<std::vector<std::byte>> Xattrs::LoadBlob(const media::Inode& inode) const {
  std::vector<std::byte> blob;
  if (inode.xattr_bytes != 0) {
    if (inode.xattr_bytes > media::kInodeTailSize) return Damaged(inode, "size");
    blob.assign(inode.tail.end() - inode.xattr_bytes, inode.tail.end());
    return blob;
  }
  if (inode.xattr_page == 0) return blob;

  Head head;
  TRY(ReadHead(inode, head));
  blob.resize(head.fields.blob_bytes);
  if (head.runs.empty()) {
    std::copy_n(head.page.begin() + sizeof(media::XattrHead), blob.size(), blob.begin());
  }
  std::span<std::byte> to(blob);
  for (const Extent& run : head.runs) {
    const size_t size_bytes = std::min<size_t>(run.pages * kPageSize, to.size());
    TRY(core_.device.Read(OffsetOf(run.start), to.first(size_bytes)));
    to = to.subspan(size_bytes);
  }
  if (Crc32c(blob) != head.fields.blob_checksum) return Damaged(inode, "checksum");
  return blob;
}

Result<std::vector<Extent>> Xattrs::Pages(const media::Inode& inode) const {
  if (inode.xattr_page == 0) return std::vector<Extent>{};
  Head head;
  TRY(ReadHead(inode, head));
  std::vector<Extent> pages = std::move(head.runs);
  pages.push_back(Extent{.file_page = {}, .start = LogicalPage(inode.xattr_page), .pages = 1});
  return pages;
}

Result<void> Xattrs::FreeAll(Transaction& transaction, media::Inode& inode) {
  std::fill(inode.tail.end() - inode.xattr_bytes, inode.tail.end(), std::byte{0});
  inode.xattr_bytes = 0;
  for (const Extent& extent : TRY(Pages(inode))) {
    TRY(transaction.Free(extent.start, extent.pages));
    if (inode.page_count < extent.pages) return Damaged(inode, "page count");
    inode.page_count -= extent.pages;
  }
  inode.xattr_page = 0;
  return {};
}

Result<void> Xattrs::StoreBlob(Transaction& transaction, media::Inode& inode,
                               std::span<const std::byte> blob, bool from_reserve) {
  if (blob.size() > media::kMaxXattrTotalSize) return Failure(E2BIG);
  TRY(FreeAll(transaction, inode));
  if (blob.empty()) return {};
  const size_t room = media::kInodeTailSize - inode.body_bytes;
  if (blob.size() > std::min(kMaxInlineBytes, room)) {
    return StoreInHead(transaction, inode, blob, from_reserve);
  }
  std::copy(blob.begin(), blob.end(), inode.tail.end() - static_cast<ptrdiff_t>(blob.size()));
  inode.xattr_bytes = static_cast<uint16_t>(blob.size());
  return {};
}

Result<void> Xattrs::StoreInHead(Transaction& transaction, media::Inode& inode,
                                 std::span<const std::byte> blob, bool from_reserve) {
  std::vector<uint64_t> runs;
  if (blob.size() > media::kXattrInHeadBytes) {
    runs = TRY(StoreRuns(transaction, inode, blob, from_reserve));
  }
  const InodeNumber number(inode.number);
  const LogicalPage goal =
      runs.empty() ? PageOf(number) : LogicalPage(runs[0] & kRunPageMask);
  Claim claim = TRY(core_.allocator->Take({.goal = goal,
                                           .purpose = ClaimPurpose::kMetadata,
                                           .exact = true,
                                           .from_reserve = from_reserve}));
  const LogicalPage page = claim.first();
  TRY(transaction.Allocate(std::move(claim), number, ClaimPurpose::kMetadata));
  std::byte* block = transaction.NewBlock(page, HeadIdentity(inode), 0);

  media::XattrHead head;
  std::memcpy(&head, block, sizeof(head));
  head.header.count = static_cast<uint16_t>(runs.size());
  head.blob_bytes = static_cast<uint32_t>(blob.size());
  head.blob_checksum = Crc32c(blob);
  std::memcpy(block, &head, sizeof(head));
  if (runs.empty()) {
    std::memcpy(block + sizeof(head), blob.data(), blob.size());
  } else {
    std::memcpy(block + sizeof(head), runs.data(), runs.size() * sizeof(uint64_t));
  }
  inode.xattr_page = page.value;
  ++inode.page_count;
  return {};
}

Result<std::vector<uint64_t>> Xattrs::StoreRuns(Transaction& transaction, media::Inode& inode,
                                                std::span<const std::byte> blob,
                                                bool from_reserve) {
  const InodeNumber number(inode.number);
  std::vector<uint64_t> runs;
  std::vector<GroupIndex> groups;
  LogicalPage goal = PageOf(number);
  while (!blob.empty()) {
    Claim claim = TRY(TakeRun(*core_.allocator,
                              {.pages = PagesFor(blob.size()),
                               .goal = goal,
                               .purpose = ClaimPurpose::kMetadata,
                               .from_reserve = from_reserve},
                              groups.size()));
    const LogicalPage first = claim.first();
    const uint32_t pages = claim.count();
    const GroupIndex group = GroupOf(first);
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
    // So scattered is the free space that one transaction couldn't take or free it all.
    if (groups.size() > kMaxGroupsPerBlob || runs.size() == media::kMaxXattrRuns) {
      return Failure(ENOSPC);
    }
    const size_t size_bytes = std::min<size_t>(pages * kPageSize, blob.size());
    const MediaOffset to = Geometry::ToMedia(first);
    TRY(transaction.stream().CopyUnfenced(to, blob.first(size_bytes)));
    if (size_bytes < pages * kPageSize) {
      TRY(transaction.stream().ZeroUnfenced(to + size_bytes, pages * kPageSize - size_bytes));
    }
    TRY(transaction.Allocate(std::move(claim), number, ClaimPurpose::kMetadata));
    runs.push_back(EncodeRun(first, pages));
    inode.page_count += pages;
    blob = blob.subspan(size_bytes);
    goal = first + pages;
  }
  return runs;
}

}  // namespace ingot
