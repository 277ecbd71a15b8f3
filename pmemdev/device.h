// SPDX-License-Identifier: BSD-3-Clause
// The facade over the device layer: one opened pool region. It knows no files.
//
// Owns mapping, persist, journal, group table and page array. Open() replays the journal, so
// whoever gets a Device sees a consistent image. Thread-safe after Open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pmemdev/bad_pages.h"
#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/geometry.h"
#include "pmemdev/group_table.h"
#include "pmemdev/journal.h"
#include "pmemdev/mapping.h"
#include "pmemdev/page_array.h"
#include "pmemdev/persist.h"
#include "pmemdev/poison.h"
#include "pmemdev/superblock.h"

namespace ingot {

struct DeviceFormatOptions {
  std::string label;         // at most 31 bytes
  media::Uuid uuid{};        // all zero: random
  uint64_t hash_seed = 0;    // 0: random
  int64_t created_seconds = 0;  // 0: now
  uint64_t features_incompatible = 0;
};

enum class PageArrayChoice { kAuto, kDevice, kDram };  // kAuto: dram for plain files, else device

struct DeviceOptions {
  MappingOptions mapping;
  PageArrayChoice page_array = PageArrayChoice::kAuto;
  uint64_t page_array_budget_bytes = uint64_t{32} << 20;
  // False: leave valid lanes alone (fsck -n, dump). A read-only device never replays; its readers
  // see the image without the pending transactions, and replay_report() says how many there are.
  bool replay = true;
};

struct PoisonedPage {
  MediaOffset at;
  FaultKind kind;
};

class Device {
 public:
  // Writes a new, empty device layer onto `mapping`: group tables, lanes, and last the superblocks.
  // Takes O(group table) time. Destroys what was there; the caller has asked. A crash leaves no
  // valid pool.
  static Result<void> Format(const Mapping& mapping, const DeviceFormatOptions& options);
  // The same, and opens it. What `fill` stores is there before the superblocks are: a crash leaves
  // no valid pool, or all of it. Errors of `fill` are handed on.
  static Result<std::unique_ptr<Device>> Create(std::unique_ptr<Mapping> mapping,
                                                const DeviceFormatOptions& options,
                                                const std::function<Result<void>(Device&)>& fill);

  // Opens: superblock, journal replay, damaged superblock copies rewritten (both only if writable).
  // Errors: those of Mapping::Open and ReadSuperblocks; EUCLEAN if a lane is unreadable and the
  // device is to be writable.
  static Result<std::unique_ptr<Device>> Open(std::unique_ptr<Mapping> mapping,
                                              const DeviceOptions& options);
  ~Device();

  [[nodiscard]] const media::Superblock& superblock() const { return superblock_; }
  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] const Mapping& mapping() const { return *mapping_; }
  [[nodiscard]] Persist& persist() { return *persist_; }
  [[nodiscard]] Journal& journal() { return *journal_; }
  [[nodiscard]] const GroupTable& group_table() const { return *group_table_; }
  [[nodiscard]] PageArray& page_array() { return *page_array_; }
  [[nodiscard]] const ReplayReport& replay_report() const { return replay_report_; }

  // Where logical bytes lie in memory, for reply vectors and guarded leaf reads. Contiguous to the
  // group's end.
  [[nodiscard]] const std::byte* Pointer(LogicalOffset at) const {
    return mapping_->base() + Geometry::ToMedia(at).value;
  }

  // Guarded copy out of the logical space, within one group. EIO: the page is poisoned (it is
  // marked and reported). ENOSPC: the host lost it. EUCLEAN: the range is not in the logical space.
  Result<void> Read(LogicalOffset at, std::span<std::byte> to) const;

  // Runs a pure leaf function over medium bytes; see poison::Run. EIO as for Read.
  template <typename Leaf>
  Result<void> ReadInPlace(Leaf&& leaf) const {
    if (poison::Run(std::forward<Leaf>(leaf))) [[likely]] return {};
    return ReportFault(poison::LastFaultAddress());
  }

  // A fault at an address of the region was caught: classify, remember the page, log. Returns the
  // error that it means. Whatever memory is lacking for, the page is remembered; if it can't be,
  // the device turns read-only. (Mapping's and Persist's faults come here by themselves.)
  Result<void> ReportFault(const std::byte* address) const;
  // What was reported, wherever in the region; for people.
  [[nodiscard]] std::vector<PoisonedPage> poisoned_pages() const;
  // Media errors in the logical space; none is left out.
  [[nodiscard]] const BadPages& bad_pages() const { return bad_pages_; }
  // It faulted in this mount, whether its descriptor could be told or not.
  [[nodiscard]] bool IsBad(LogicalPage page) const {
    return bad_pages_.any() && bad_pages_.CountIn(page, 1) != 0;
  }

  // False if mapped read-only, and after a failed msync, a lost host or a lane that could not be
  // completed; `reason` says which.
  [[nodiscard]] bool writable() const;
  void TurnReadOnly(std::string_view reason) const;
  [[nodiscard]] std::string read_only_reason() const;

 private:
  Device() = default;
  // All parts, but for the journal; touches nothing on media.
  static Result<std::unique_ptr<Device>> Assemble(std::unique_ptr<Mapping> mapping,
                                                  const media::Superblock& superblock,
                                                  const DeviceOptions& options);
  Result<void> OpenJournal(const DeviceOptions& options, const SuperblockScan& scan);
  Result<void> OpenPageArray(const DeviceOptions& options);
  void MarkPoisoned(MediaOffset at) const;

  std::unique_ptr<Mapping> mapping_;
  Geometry geometry_;
  media::Superblock superblock_{};
  std::unique_ptr<Persist> persist_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<GroupTable> group_table_;
  std::unique_ptr<PageArray> page_array_;
  ReplayReport replay_report_;

  static constexpr size_t kMaxPoisonedPages = 4096;  // listed; more are in the log only
  mutable BadPages bad_pages_;
  mutable std::mutex mutex_;  // guards what is below
  mutable std::vector<PoisonedPage> poisoned_;
  mutable std::string read_only_reason_;
};

}  // namespace ingot
