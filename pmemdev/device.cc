// SPDX-License-Identifier: BSD-3-Clause
// Opening a pool, guarded reads, and what becomes of faults. Opening replays the journal and puts
// damaged superblock copies back; a crash in it is recovered by opening again.
#include "pmemdev/device.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "pmemdev/base/log.h"

namespace ingot {

Device::~Device() = default;

Result<std::unique_ptr<Device>> Device::Open(std::unique_ptr<Mapping> mapping,
                                             const DeviceOptions& options) {
  const SuperblockScan scan = TRY(ReadSuperblocks(*mapping));
  std::unique_ptr<Device> device = TRY(Assemble(std::move(mapping), scan.best, options));
  TRY(device->OpenJournal(options, scan));
  return device;
}

Result<std::unique_ptr<Device>> Device::Assemble(std::unique_ptr<Mapping> mapping,
                                                 const media::Superblock& superblock,
                                                 const DeviceOptions& options) {
  std::unique_ptr<Device> device(new Device);
  device->mapping_ = std::move(mapping);
  device->superblock_ = superblock;
  device->poisoned_.reserve(kMaxPoisonedPages);
  device->geometry_ = TRY(Geometry::ForRegion(superblock.region_size_bytes));
  device->group_table_ = std::make_unique<GroupTable>(*device->mapping_, device->geometry_,
                                                      device->superblock_.uuid);
  device->persist_ = std::make_unique<Persist>(*device->mapping_);
  // Before whoever met the fault makes an Error of it: for that memory may be short.
  device->mapping_->set_fault_handler([raw = device.get()](const std::byte* address) {
    (void)NoThrow([&] { return raw->ReportFault(address); });
  });
  const uint64_t unknown =
      superblock.features_read_only_compatible & ~media::kFeaturesReadOnlyCompatible;
  if (unknown != 0) {
    device->TurnReadOnly(fmt::format("unknown read-only compatible features {:#x}", unknown));
  }
  TRY(device->OpenPageArray(options));
  return device;
}

Result<void> Device::OpenPageArray(const DeviceOptions& options) {
  PageArrayPlacement placement = options.page_array == PageArrayChoice::kDram
                                     ? PageArrayPlacement::kDram
                                     : PageArrayPlacement::kDevice;
  // On a plain file descriptors would be written back to disk; a read-only device can't be stored
  // to.
  const bool plain_file = mapping_->medium() == Medium::kFile;
  if ((options.page_array == PageArrayChoice::kAuto && plain_file) || !writable()) {
    placement = PageArrayPlacement::kDram;
  }
  page_array_ = TRY(
      PageArray::Create(*mapping_, geometry_, placement, options.page_array_budget_bytes));
  return {};
}

Result<void> Device::OpenJournal(const DeviceOptions& options, const SuperblockScan& scan) {
  journal_ = TRY(Journal::Open(*mapping_, geometry_, *persist_, superblock_));
  if (!writable() || !options.replay) {
    replay_report_ = TRY(journal_->Inspect());
    return {};
  }
  // Before replay, so that nothing was changed yet when the mount is refused.
  const ReplayReport found = TRY(journal_->Inspect());
  if (found.unreadable_lanes != 0) {
    return Failure(EUCLEAN, fmt::format("{} journal lanes are unreadable. Hint: fsck.ingot",
                                        found.unreadable_lanes));
  }
  replay_report_ = TRY(journal_->Replay());
  if (std::ranges::all_of(scan.same, [](bool same) { return same; })) return {};
  // One good copy is enough to run on: a place that can't be written is a warning.
  if (const Result<void> restored = RestoreSuperblocks(*persist_, scan); !restored.has_value()) {
    log::Warning("superblock: not all copies could be restored, reason=\"{}\"",
                 Describe(restored.error()));
  }
  return {};
}

Result<void> Device::Read(LogicalOffset at, std::span<std::byte> to) const {
  if (!geometry_.ContainsWithinGroup(at, to.size())) {
    return Failure(EUCLEAN, fmt::format("logical {} + {}: not in one group", at.value, to.size()));
  }
  if (poison::Copy(to.data(), Pointer(at), to.size())) [[likely]] return {};
  return ReportFault(poison::LastFaultAddress());
}

Result<void> Device::ReportFault(const std::byte* address) const {
  const std::optional<MediaOffset> place = mapping_->Locate(address);
  if (!place.has_value()) return Failure(EIO, "a fault in another region");
  const FaultKind kind = mapping_->ClassifyFault(address);
  const MediaOffset at(RoundDown(place->value, kPageSize));
  const int code = kind == FaultKind::kHostHole ? ENOSPC : EIO;
  // First what protects, then what tells: for that memory may be short.
  if (kind == FaultKind::kMediaError) MarkPoisoned(at);
  if (kind == FaultKind::kHostHole) TurnReadOnly("the host has lost space of the pool");
  bool first_time = true;
  {
    const std::lock_guard lock(mutex_);
    first_time = std::ranges::find(poisoned_, at, &PoisonedPage::at) == poisoned_.end();
    if (first_time && poisoned_.size() < kMaxPoisonedPages) poisoned_.push_back({at, kind});
  }
  if (first_time) {
    log::Failed("fault: offset={} kind={} errno={}", at.value,
                kind == FaultKind::kHostHole ? "host-hole" : "media-error", ErrnoName(code));
  }
  return Failure(code, fmt::format("fault at {} of the region", at.value));
}

void Device::MarkPoisoned(MediaOffset at) const {
  const Result<LogicalPage> page = geometry_.PageAt(at);
  if (!page.has_value()) return;
  // Forgotten, it would be given out again.
  if (bad_pages_.Add(*page) == BadPages::Added::kNoRoom) {
    TurnReadOnly("no memory to remember more bad pages");
  }
  if (page_array_ == nullptr) return;
  // On the device the descriptor may itself be what can't be touched.
  (void)poison::Run([&] {
    PageDescriptor* descriptor = page_array_->Peek(*page);
    if (descriptor != nullptr) descriptor->flags.fetch_or(kPagePoisoned, std::memory_order_relaxed);
  });
}

std::vector<PoisonedPage> Device::poisoned_pages() const {
  const std::lock_guard lock(mutex_);
  return poisoned_;
}

bool Device::writable() const { return !mapping_->read_only() && !persist_->failed(); }

void Device::TurnReadOnly(std::string_view reason) const {
  persist_->Fail();
  {
    const std::lock_guard lock(mutex_);
    if (!read_only_reason_.empty()) return;
    read_only_reason_ = reason;
  }
  log::Failed("read-only: reason=\"{}\"", reason);
}

std::string Device::read_only_reason() const {
  {
    const std::lock_guard lock(mutex_);
    if (!read_only_reason_.empty()) return read_only_reason_;
  }
  if (mapping_->read_only()) return "opened read-only";
  return persist_->failed() ? "the host could not make the pool's data durable" : "";
}

}  // namespace ingot
