// SPDX-License-Identifier: BSD-3-Clause
// libpmem2 in three steps, and the one exception: tmpfs, ramfs and memfd. libpmem2 calls them page
// granular, so each flush would be an msync (1.2 us) that does nothing; their bytes live in the
// memory that cache lines are written back to, so they are mapped here and handed to libpmem2 as an
// existing mapping of cache-line granularity (0.2 us). Only they. Writes nothing to media.
#include "pmemdev/mapping_view.h"

#include <libpmem2.h>
#include <sys/mman.h>

#include <algorithm>

#include <fmt/format.h>

#include "pmemdev/base/check.h"
#include "pmemdev/poison.h"

#if defined(__SANITIZE_ADDRESS__)
#define INGOT_LEAK_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INGOT_LEAK_SANITIZER 1
#endif
#endif
#ifdef INGOT_LEAK_SANITIZER
// libpmem2 1.12 forgets the 144 bytes of a reservation's interval tree when it deletes it.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libpmem2.so\n"; }
extern "C" const char* __lsan_default_options();
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
#endif

namespace ingot {
namespace {

// libpmem2 answers -errno or codes of its own, all below -100,000. (pmem2_err_to_errno is declared
// but not exported by Debian 12's 1.12.)
tl::unexpected<Error> PmemFailure(const char* what, int code) {
  const int error = code > PMEM2_E_UNKNOWN ? -code : EINVAL;
  return Failure(error, fmt::format("{}: {}", what, pmem2_errormsg()));
}

struct ConfigDeleter {
  void operator()(pmem2_config* config) const { pmem2_config_delete(&config); }
};

Granularity FromPmem(pmem2_granularity granularity) {
  switch (granularity) {
    case PMEM2_GRANULARITY_BYTE: return Granularity::kByte;
    case PMEM2_GRANULARITY_CACHE_LINE: return Granularity::kCacheLine;
    case PMEM2_GRANULARITY_PAGE: return Granularity::kPage;
  }
  return Granularity::kPage;
}

}  // namespace

Result<std::unique_ptr<MappingView>> MappingView::Reserve(int fd, const Options& options) {
  std::unique_ptr<MappingView> view(new MappingView(fd, options));
  if (const int code = pmem2_source_from_fd(&view->source_, fd); code != 0) {
    if (options.medium == Medium::kDevDax) return Failure(EINVAL, "a character device, no devdax");
    return PmemFailure("pmem2_source_from_fd", code);
  }
  TRY(view->ReserveAddresses());
  return view;
}

MappingView::~MappingView() {
  if (base_ != nullptr) poison::UnregisterRegion(base_);
  for (struct pmem2_map* map : maps_) pmem2_map_delete(&map);
  // With what MapMemory() put there.
  if (base_ != nullptr && MapsMemory()) (void)munmap(base_ - lead_bytes_, reserved_bytes_);
  if (reservation_ != nullptr) pmem2_vm_reservation_delete(&reservation_);
  if (source_ != nullptr) pmem2_source_delete(&source_);
}

Result<void> MappingView::ReserveAddresses() {
  size_t source_alignment = 0;
  if (const int code = pmem2_source_alignment(source_, &source_alignment); code != 0) {
    return PmemFailure("pmem2_source_alignment", code);
  }
  alignment_ = std::max<uint64_t>(source_alignment, kHugePageSize);
  const uint64_t needed = RoundUp(options_.needed_bytes, alignment_);
  uint64_t wanted = std::max(needed, RoundUp(options_.reserve_bytes, alignment_));
  // RLIMIT_AS or a small address space: less room to grow is better than no mount.
  Result<uintptr_t> reserved = ReserveBytes(wanted + alignment_);
  while (!reserved && wanted != needed) {
    wanted = std::max(needed, RoundUp(wanted / 2, alignment_));
    reserved = ReserveBytes(wanted + alignment_);
  }
  const uintptr_t start = TRY(std::move(reserved));
  lead_bytes_ = RoundUp(start, alignment_) - start;
  capacity_bytes_ = wanted;
  base_ = reinterpret_cast<std::byte*>(start + lead_bytes_);
  poison::RegisterRegion(base_, capacity_bytes_);
  return {};
}

Result<uintptr_t> MappingView::ReserveBytes(uint64_t size_bytes) {
  reserved_bytes_ = size_bytes;
  if (MapsMemory()) {
    // Not by libpmem2: 1.12 leaves up to 2 GiB of addresses behind each reservation that it
    // deletes, and a process that opens pools by the thousand runs out of them.
    void* const at = mmap(nullptr, size_bytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return FailureFromErrno("reserving address space");
    return reinterpret_cast<uintptr_t>(at);
  }
  const int code = pmem2_vm_reservation_new(&reservation_, nullptr, size_bytes);
  if (code != 0) return PmemFailure("pmem2_vm_reservation_new", code);
  return reinterpret_cast<uintptr_t>(pmem2_vm_reservation_get_address(reservation_));
}

Result<void> MappingView::MapUpTo(uint64_t size_bytes) {
  CHECK(size_bytes % kHugePageSize == 0, "size {}", size_bytes);
  if (size_bytes > capacity_bytes_) {
    return Failure(ENOMEM, fmt::format("{} bytes of address space reserved, {} needed",
                                       capacity_bytes_, size_bytes));
  }
  if (size_bytes <= mapped_bytes_) return {};
  // First: a map that could not be noted would stay in libpmem2's table, and its place be refused
  // to the next one.
  maps_.reserve(maps_.size() + 1);
  const uint64_t from = mapped_bytes_;
  const uint64_t length = size_bytes - from;
  struct pmem2_map* map = nullptr;
  if (MapsMemory()) {
    map = TRY(MapMemory(from, length));
  } else {
    map = TRY(MapByConfig(from, length));
  }
  const Granularity granularity = FromPmem(pmem2_map_get_store_granularity(map));
  CHECK(maps_.empty() || granularity == natural_granularity_, "the tail's granularity is {}",
        static_cast<int>(granularity));
  natural_granularity_ = granularity;
  maps_.push_back(map);
  mapped_bytes_ = size_bytes;
  // Hints: refusals don't matter. A region in a core file would be its whole contents.
  (void)madvise(base_ + from, length, MADV_HUGEPAGE);
  (void)madvise(base_ + from, length, MADV_DONTDUMP);
  return {};
}

Result<struct pmem2_map*> MappingView::MapMemory(uint64_t from, uint64_t size_bytes) const {
  const int protection = options_.writable ? PROT_READ | PROT_WRITE : PROT_READ;
  // Reserved swap for each private page would refuse pools larger than memory.
  const int sharing = options_.private_copy ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
  void* at = mmap(base_ + from, size_bytes, protection, sharing | MAP_FIXED, fd_,
                  static_cast<off_t>(from));
  if (at == MAP_FAILED) return FailureFromErrno("mmap of the region");
  struct pmem2_map* map = nullptr;
  const int code = pmem2_map_from_existing(&map, source_, at, size_bytes,
                                           PMEM2_GRANULARITY_CACHE_LINE);
  if (code != 0) return PmemFailure("pmem2_map_from_existing", code);
  return map;
}

Result<struct pmem2_map*> MappingView::MapByConfig(uint64_t from, uint64_t size_bytes) const {
  pmem2_config* raw_config = nullptr;
  if (const int code = pmem2_config_new(&raw_config); code != 0) {
    return PmemFailure("pmem2_config_new", code);
  }
  const std::unique_ptr<pmem2_config, ConfigDeleter> config(raw_config);
  const unsigned protection =
      options_.writable ? PMEM2_PROT_READ | PMEM2_PROT_WRITE : PMEM2_PROT_READ;
  for (const int code :
       {pmem2_config_set_required_store_granularity(raw_config, PMEM2_GRANULARITY_PAGE),
        pmem2_config_set_offset(raw_config, from), pmem2_config_set_length(raw_config, size_bytes),
        pmem2_config_set_sharing(raw_config, PMEM2_SHARED),
        pmem2_config_set_protection(raw_config, protection),
        pmem2_config_set_vm_reservation(raw_config, reservation_, lead_bytes_ + from)}) {
    if (code != 0) return PmemFailure("pmem2_config", code);
  }
  struct pmem2_map* map = nullptr;
  if (const int code = pmem2_map_new(&map, raw_config, source_); code != 0) {
    return PmemFailure("pmem2_map_new", code);
  }
  return map;
}

}  // namespace ingot
