// SPDX-License-Identifier: BSD-3-Clause
// One view of a region's file in memory: reserved address space into which the file is mapped.
//
// With mapping_functions.cc the only user of libpmem2: source -> config -> map, inside a libpmem2
// reservation. The base is aligned and never moves; MapUpTo() maps what the file has grown by.
// Internal to Mapping. Not thread-safe but for the accessors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pmemdev/base/result.h"
#include "pmemdev/mapping.h"

struct pmem2_map;
struct pmem2_source;
struct pmem2_vm_reservation;

namespace ingot {

class MappingView {
 public:
  struct Options {
    Medium medium = Medium::kFile;  // kMemory and kDevDax are known beforehand, the rest are files
    bool writable = false;
    bool force_page_granularity = false;
    bool private_copy = false;   // stores stay in this process: see MappingOptions
    uint64_t needed_bytes = 0;   // address space: at least this much
    uint64_t reserve_bytes = 0;  // and this much if it can be had
  };

  // Reserves address space; maps nothing yet. `fd` is borrowed. ENOMEM: no address space. EINVAL: a
  // character device that is no devdax.
  static Result<std::unique_ptr<MappingView>> Reserve(int fd, const Options& options);
  ~MappingView();
  MappingView(const MappingView&) = delete;
  MappingView& operator=(const MappingView&) = delete;

  // Maps the file's bytes up to `size_bytes`, a multiple of 2 MiB. ENOMEM: more than was reserved.
  Result<void> MapUpTo(uint64_t size_bytes);

  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] uint64_t mapped_bytes() const { return mapped_bytes_; }
  [[nodiscard]] uint64_t capacity_bytes() const { return capacity_bytes_; }
  // What libpmem2 says, and what is to be used: the same unless page granularity is forced.
  [[nodiscard]] Granularity natural_granularity() const { return natural_granularity_; }
  [[nodiscard]] Granularity granularity() const {
    return options_.force_page_granularity ? Granularity::kPage : natural_granularity_;
  }
  [[nodiscard]] struct pmem2_map* first_map() const { return maps_.empty() ? nullptr : maps_[0]; }

 private:
  MappingView(int fd, const Options& options) : fd_(fd), options_(options) {}
  // Mapped by us and handed to libpmem2, or by libpmem2.
  [[nodiscard]] bool MapsMemory() const {
    return options_.medium == Medium::kMemory || options_.private_copy;
  }
  Result<void> ReserveAddresses();
  // The start of so many free bytes of address space, which are ours from now on.
  Result<uintptr_t> ReserveBytes(uint64_t size_bytes);
  Result<struct pmem2_map*> MapMemory(uint64_t from, uint64_t size_bytes) const;
  Result<struct pmem2_map*> MapByConfig(uint64_t from, uint64_t size_bytes) const;

  int fd_;
  Options options_;
  struct pmem2_source* source_ = nullptr;
  struct pmem2_vm_reservation* reservation_ = nullptr;  // null if MapsMemory()
  uint64_t reserved_bytes_ = 0;
  std::vector<struct pmem2_map*> maps_;
  std::byte* base_ = nullptr;
  uint64_t alignment_ = 0;
  uint64_t lead_bytes_ = 0;  // from the reservation's start to the aligned base
  uint64_t capacity_bytes_ = 0;
  uint64_t mapped_bytes_ = 0;
  Granularity natural_granularity_ = Granularity::kPage;
};

// Of one mapping: `write` only with separate_write_alias.
struct MappingViews {
  std::unique_ptr<MappingView> read;
  std::unique_ptr<MappingView> write;
};

}  // namespace ingot
