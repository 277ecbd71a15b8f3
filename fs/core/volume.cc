// SPDX-License-Identifier: BSD-3-Clause
// Putting the parts together. Format is one transaction: a crash leaves no root, which Open
// refuses.
#include "fs/core/volume.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "fs/core/shared_space.h"
#include "pmemdev/base/check.h"

namespace ingot {
namespace {

constexpr uint32_t kRootMode = S_IFDIR | 0755;

Result<void> ValidateRoot(const BlockReader& reader) {
  constexpr const char* kHint = "root directory is damaged. Hint: run fsck.ingot";
  const Result<media::Inode> root = reader.ReadInodeAnew(Volume::kRoot);
  if (!root) {
    if (root.error_code() == ESTALE) return Failure(EUCLEAN, kHint);
    return Failure(root.error_code(), root.error().context + ": " + kHint);
  }
  if (!S_ISDIR(root->mode) || root->links < 2 || root->parent != media::kRootInode) {
    return Failure(EUCLEAN, kHint);
  }
  return {};
}

bool IsDirectoryPool(const Device& device) {
  return (device.superblock().features_incompatible & media::kFeatureDirectoryPool) != 0;
}

Result<void> FormatLedger(Core& core, Transaction& transaction) {
  Claim claim = TRY(core.allocator->Take(
      {.goal = BackingLedger::kPage, .purpose = ClaimPurpose::kMetadata, .exact = true}));
  CHECK(claim.first() == BackingLedger::kPage, "the ledger at page {}", claim.first().value);
  TRY(transaction.Allocate(std::move(claim), InodeNumber(0), ClaimPurpose::kMetadata));
  std::byte* block = transaction.NewBlock(BackingLedger::kPage, BackingLedger::kIdentity, 0);
  const uint64_t first_number = 1;
  std::memcpy(block + offsetof(media::BackingLedger, next_number), &first_number,
              sizeof(first_number));
  return {};
}

}  // namespace

Volume::~Volume() = default;

Result<void> Volume::Format(Device& device, const Caller& owner) {
  Core core(device, TRY(Allocator::Open(device)), VolumeOptions{});
  TRY(core.CheckWritable());
  const ExclusiveInodeLocks lock(core.locks, kRoot);
  Transaction transaction(*core.allocator, core.reader);
  media::Inode* root = TRY(transaction.NewInode(kRoot));
  root->generation = 0;
  root->mode = kRootMode;
  root->uid = owner.uid;
  root->gid = owner.gid;
  root->links = 2;
  root->parent = kRoot.value;
  const Time now = CurrentTime();
  SetModified(*root, now);
  root->atime_seconds = root->birth_seconds = now.seconds;
  root->atime_nanoseconds = root->birth_nanoseconds = now.nanoseconds;
  if (IsDirectoryPool(device)) TRY(FormatLedger(core, transaction));
  return transaction.Commit();
}

Result<std::unique_ptr<Volume>> Volume::Open(std::unique_ptr<Device> device,
                                             const VolumeOptions& options,
                                             std::unique_ptr<BackingDirectory> directory) {
  if (IsDirectoryPool(*device) != (directory != nullptr)) {
    return Failure(EINVAL, directory != nullptr
                               ? "a device pool's region among the files of a directory pool"
                               : "it is part of a directory pool. Hint: name the directory");
  }
  std::unique_ptr<Allocator> allocator = TRY(Allocator::Open(*device));
  std::unique_ptr<Volume> volume(new Volume());
  volume->device_ = std::move(device);
  volume->core_ = std::make_unique<Core>(*volume->device_, std::move(allocator), options);
  Core& core = *volume->core_;
  TRY(ValidateRoot(core.reader));
  if (directory != nullptr) {
    core.backing = TRY(BackingFiles::Open(std::move(directory), *core.allocator, core.reader));
  }
  volume->data_ = std::make_unique<FileData>(core);
  volume->xattrs_ = std::make_unique<Xattrs>(core);
  volume->data_->set_xattrs(volume->xattrs_.get());
  volume->orphans_ = std::make_unique<Orphans>(core, *volume->data_, *volume->xattrs_);
  volume->names_ =
      std::make_unique<Names>(core, *volume->data_, *volume->xattrs_, *volume->orphans_);
  volume->attributes_ =
      std::make_unique<AttributeOperations>(core, *volume->data_, *volume->xattrs_);
  return volume;
}

VolumeStatistics Volume::Statistics() const {
  const SpaceCounts counts = core_->allocator->Count();
  const uint64_t available = counts.free_pages - std::min(counts.free_pages, counts.reserve_pages);
  // Inode pages are made as they are needed: any page could be one.
  const uint64_t groups = core_->device.geometry().group_count();
  VolumeStatistics statistics{
      .total_bytes = counts.total_pages * kPageSize,
      .free_bytes = counts.free_pages * kPageSize,
      .available_bytes = available * kPageSize,
      .total_inodes = (counts.total_pages + groups) * media::kInodesPerPage - 1,
      .free_inodes = counts.free_inode_slots + available * media::kInodesPerPage,
      .free_huge_pages = counts.free_huge_pages,
  };
  if (core_->backing == nullptr) return statistics;
  // Without an answer of the host the region's own counts have to do.
  if (const auto shared = CountSharedSpace(*device_, counts)) {
    statistics.total_bytes = shared->total_bytes;
    statistics.free_bytes = shared->free_bytes;
    statistics.available_bytes = shared->available_bytes;
  }
  // Without new backing files all that comes has to fit into the region, which may be smaller.
  if (core_->direct.load(std::memory_order_relaxed) != DirectMode::kNever) return statistics;
  const auto limit = [](uint64_t& bytes, uint64_t pages) {
    bytes = std::min(bytes, pages * kPageSize);
  };
  limit(statistics.total_bytes, counts.total_pages);
  limit(statistics.free_bytes, counts.free_pages);
  limit(statistics.available_bytes, available);
  return statistics;
}

}  // namespace ingot
