// SPDX-License-Identifier: BSD-3-Clause
// A region in memory: descriptor, lock and views put together. Opening writes nothing to media; a
// crash frees the lock.
#include "pmemdev/mapping.h"

#include <unistd.h>

#include <fmt/format.h>

#include "pmemdev/base/check.h"
#include "pmemdev/medium.h"
#include "pmemdev/mapping_view.h"

namespace ingot {

Mapping::Mapping(const MappingOptions& options) : options_(options) {}

Mapping::~Mapping() {
  if (options_.kept_views != nullptr) {
    *options_.kept_views = {std::move(read_view_), std::move(write_view_)};
  }
  write_view_.reset();
  read_view_.reset();
  if (fd_ >= 0) close(fd_);
}

Result<std::unique_ptr<Mapping>> Mapping::Open(const std::string& path,
                                               const MappingOptions& options) {
  return FromDescriptor(TRY(OpenMedium(path, options.read_only || options.private_copy)), options);
}

Result<std::unique_ptr<Mapping>> Mapping::FromDescriptor(int fd, const MappingOptions& options) {
  std::unique_ptr<Mapping> mapping(new Mapping(options));
  mapping->fd_ = fd;
  mapping->medium_ = TRY(ClassifyMedium(fd));
  if (options.take_lock) TRY(LockMedium(fd, options.read_only || options.private_copy));
  const uint64_t size = RoundDown(TRY(MediumSize(fd, mapping->medium_)), kHugePageSize);
  if (size == 0) return Failure(EINVAL, "smaller than a huge page (2 MiB)");
  TRY(mapping->MapViews(size));
  return mapping;
}

Result<void> Mapping::MapViews(uint64_t size_bytes) {
  MappingView::Options view;
  view.medium = medium_;
  view.force_page_granularity = options_.force_page_granularity;
  view.private_copy = options_.private_copy;
  view.needed_bytes = size_bytes;
  view.reserve_bytes = options_.reserve_bytes;

  const bool two_views =
      options_.separate_write_alias && !options_.read_only && !options_.private_copy;
  view.writable = !options_.read_only && !two_views;
  if (options_.kept_views != nullptr && options_.kept_views->read != nullptr) {
    read_view_ = std::move(options_.kept_views->read);
    write_view_ = std::move(options_.kept_views->write);
    CHECK(!options_.private_copy && read_view_->mapped_bytes() == size_bytes &&
              (write_view_ != nullptr) == two_views,
          "the kept views are of other options");
  } else {
    read_view_ = TRY(MappingView::Reserve(fd_, view));
    TRY(read_view_->MapUpTo(size_bytes));
    if (two_views) {
      view.writable = true;
      write_view_ = TRY(MappingView::Reserve(fd_, view));
      TRY(write_view_->MapUpTo(size_bytes));
    }
  }
  read_base_ = read_view_->base();
  if (!options_.read_only) write_base_ = (two_views ? write_view_ : read_view_)->base();
  map_ = (two_views ? write_view_ : read_view_)->first_map();
  granularity_ = read_view_->granularity();
  // Only libpmem2, having mapped it, knows whether a file's pages are the medium's.
  const Granularity natural = read_view_->natural_granularity();
  if (medium_ == Medium::kFile && natural != Granularity::kPage && !options_.private_copy) {
    medium_ = Medium::kFsDax;
  }
  size_bytes_.store(size_bytes, std::memory_order_release);
  return {};
}

Result<void> Mapping::Grow() {
  const uint64_t size = RoundDown(TRY(MediumSize(fd_, medium_)), kHugePageSize);
  if (size <= size_bytes()) return {};
  CHECK(options_.kept_views == nullptr, "the descriptor of kept views is closed");
  TRY(read_view_->MapUpTo(size));
  if (write_view_ != nullptr) TRY(write_view_->MapUpTo(size));
  size_bytes_.store(size, std::memory_order_release);
  return {};
}

Result<void> Mapping::Read(MediaOffset at, std::span<std::byte> to) const {
  if (at.value > size_bytes() || to.size() > size_bytes() - at.value) {
    return Failure(EUCLEAN, fmt::format("offset {} + {} is outside the region of {} bytes",
                                        at.value, to.size(), size_bytes()));
  }
  if (poison::Copy(to.data(), read_base_ + at.value, to.size())) [[likely]] return {};
  const std::byte* address = poison::LastFaultAddress();
  const FaultKind kind = ClassifyFault(address);
  ReportFault(address);
  return Failure(kind == FaultKind::kHostHole ? ENOSPC : EIO,
                 fmt::format("reading the region at {}", at.value));
}

Result<void> Mapping::AllocateHostSpace(MediaOffset at, uint64_t size_bytes) const {
  if (medium_ == Medium::kDevDax || options_.private_copy) return {};
  Result<void> allocated = AllocateFileSpace(fd_, at, size_bytes);
  // A host without fallocate gives no promise; its holes are caught when stores fault.
  if (allocated.error_code() == EOPNOTSUPP) return {};
  // A quota is as good as a full host.
  if (allocated.error_code() == EDQUOT) return Failure(ENOSPC, allocated.error().context);
  return allocated;
}

Result<void> Mapping::ReleaseHostSpace(MediaOffset at, uint64_t size_bytes) const {
  if (medium_ == Medium::kDevDax || options_.private_copy) return {};
  return PunchFileSpace(fd_, at, size_bytes);
}

bool Mapping::IsHostHole(MediaOffset at) const {
  return medium_ != Medium::kDevDax && IsFileHole(fd_, at);
}

std::optional<MediaOffset> Mapping::Locate(const std::byte* address) const {
  const auto place = reinterpret_cast<uintptr_t>(address);
  for (const std::byte* base : {read_base_, static_cast<const std::byte*>(write_base_)}) {
    const auto begin = reinterpret_cast<uintptr_t>(base);
    if (base != nullptr && place >= begin && place - begin < size_bytes()) {
      return MediaOffset(place - begin);
    }
  }
  return std::nullopt;
}

FaultKind Mapping::ClassifyFault(const std::byte* address) const {
  if (address == poison::LastFaultAddress() && poison::LastFaultWasMachineCheck()) {
    return FaultKind::kMediaError;
  }
  const std::optional<MediaOffset> at = Locate(address);
  return at.has_value() && IsHostHole(*at) ? FaultKind::kHostHole : FaultKind::kMediaError;
}

}  // namespace ingot
