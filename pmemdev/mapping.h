// SPDX-License-Identifier: BSD-3-Clause
// A region in memory: the only user of libpmem2 (mapping_view.cc, mapping_functions.cc).
//
// Owns the descriptor, the exclusive lock on it and the mapping. The base is aligned to 2 MiB and
// never moves: address space is reserved ahead, growth maps the tail. With `separate_write_alias`
// the region is mapped twice, read-only for everyone and writable for persist alone, so that a
// store that bypasses persist is a SIGSEGV (test builds). Immutable after Open but for Grow.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "pmemdev/base/ids.h"
#include "pmemdev/base/result.h"
#include "pmemdev/poison.h"

struct pmem2_map;

namespace ingot {

class PersistObserver;
struct MappingViews;

// What makes a store durable (libpmem2's granularity).
enum class Granularity { kByte, kCacheLine, kPage };

// What holds the bytes; said in status.
enum class Medium { kDevDax, kFsDax, kMemory, kFile };  // kMemory: tmpfs, ramfs, memfd

struct MappingOptions {
  bool read_only = false;
  bool separate_write_alias = false;
  bool take_lock = true;                  // false: dump and status of a pool in use
  // Copy on write: what is stored stays in this process and is gone with the mapping (fsck -n). The
  // file is opened for reading; one view; never on devdax, which can't (EINVAL).
  bool private_copy = false;
  uint64_t reserve_bytes = uint64_t{16} << 40;  // address space, for growth
  // Tests: pretend a granularity (kPage on memory exercises the msync path).
  bool force_page_granularity = false;
  // Tests: sees what every Persist on this mapping does, from mkfs and recovery on.
  PersistObserver* observer = nullptr;
  // Tests that open one file again and again, with the same options but for the observer: where the
  // views go when a mapping ends, and come from when the next begins. Their pages stay mapped; the
  // faults of ever new views would be half of such a test's time. Outlives the mappings; no Grow().
  MappingViews* kept_views = nullptr;
};

class MappingView;

class Mapping {
 public:
  // Maps the file or device at `path`. Errors: ENOENT, EACCES, EBUSY (another process holds its
  // lock; the context names its pid where known), EINVAL (no regular file or devdax; smaller than a
  // huge page), ENOMEM. Writes nothing. Read-only mappings share the lock among themselves.
  static Result<std::unique_ptr<Mapping>> Open(const std::string& path,
                                               const MappingOptions& options);
  // The same on a descriptor that the caller opened (memfd, tests); takes ownership of it.
  static Result<std::unique_ptr<Mapping>> FromDescriptor(int fd, const MappingOptions& options);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] const std::byte* base() const { return read_base_; }
  // A multiple of 2 MiB; what the file has beyond the last whole huge page is not mapped.
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_.load(std::memory_order_acquire); }
  [[nodiscard]] Granularity granularity() const { return granularity_; }
  [[nodiscard]] Medium medium() const { return medium_; }
  [[nodiscard]] bool read_only() const { return options_.read_only; }
  [[nodiscard]] PersistObserver* observer() const { return options_.observer; }
  [[nodiscard]] int fd() const { return fd_; }
  // For libpmem2's functions, which depend on nothing but the granularity.
  [[nodiscard]] struct pmem2_map* pmem2() const { return map_; }

  // Told the address of each fault that a load or store of pmemdev met, on the thread that met it
  // and before anything else is done about it. Must not throw. Set before the mapping is shared.
  void set_fault_handler(std::function<void(const std::byte*)> handler) {
    fault_handler_ = std::move(handler);
  }
  void ReportFault(const std::byte* address) const {
    if (fault_handler_) fault_handler_(address);
  }

  // Guarded copy of medium bytes. EUCLEAN: not in the mapping. EIO, ENOSPC: fault, by its kind.
  Result<void> Read(MediaOffset at, std::span<std::byte> to) const;

  // For persist and the page array only. Null if read-only.
  [[nodiscard]] std::byte* writable_base() const { return write_base_; }

  // Makes the host allocate [at, at + size) so that stores there can't hit a hole. A no-op on
  // devices. ENOSPC: the host is full. Durability of the allocation itself is the host's business:
  // a hole after a crash reads as zeros and is allocated again.
  Result<void> AllocateHostSpace(MediaOffset at, uint64_t size_bytes) const;
  // Gives [at, at + size) back to the host; it then reads as zeros. A no-op on devices.
  Result<void> ReleaseHostSpace(MediaOffset at, uint64_t size_bytes) const;

  // True if the host file has a hole (or its end) at that offset. Space that was allocated but
  // never written counts as a hole too: ask only after a fault.
  [[nodiscard]] bool IsHostHole(MediaOffset at) const;

  // The place of an address of the region, through whichever alias; nothing if it lies elsewhere.
  [[nodiscard]] std::optional<MediaOffset> Locate(const std::byte* address) const;
  // What the fault at an address of the region was: a machine check is a media error for certain,
  // anything else is looked up in the host file. Call on the thread that faulted.
  [[nodiscard]] FaultKind ClassifyFault(const std::byte* address) const;

  // Maps what the file has grown by since Open. The base doesn't move. ENOMEM: reservation used up.
  Result<void> Grow();

 private:
  explicit Mapping(const MappingOptions& options);
  // Reserves address space and maps the file's present size into it, once or twice.
  Result<void> MapViews(uint64_t size_bytes);

  MappingOptions options_;
  std::function<void(const std::byte*)> fault_handler_;
  int fd_ = -1;
  Medium medium_ = Medium::kFile;
  Granularity granularity_ = Granularity::kPage;
  std::unique_ptr<MappingView> read_view_;
  std::unique_ptr<MappingView> write_view_;  // only with separate_write_alias
  struct pmem2_map* map_ = nullptr;
  const std::byte* read_base_ = nullptr;
  std::byte* write_base_ = nullptr;
  std::atomic<uint64_t> size_bytes_{0};
};

}  // namespace ingot
