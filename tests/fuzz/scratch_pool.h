// SPDX-License-Identifier: BSD-3-Clause
// A small pool in memory that each input finds as it was made.
//
// Two ways: products that only need one mapping get a copy-on-write one, and what they store is
// gone with it; where bytes must outlive a mapping, Reset() puts the file's data ranges back, which
// a small pool has few of. Not thread-safe; the descriptor stays the pool's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pmemdev/mapping.h"

namespace ingot::tests {

class ScratchPool {
 public:
  // Takes over a memfd; its present bytes are what Reset() gives back.
  explicit ScratchPool(int fd);
  ~ScratchPool();
  ScratchPool(const ScratchPool&) = delete;

  // The file's bytes are those it was made of, wherever it was stored to; holes are holes again.
  void Reset();

  // Mapped twice, so that a store past persist is a crash, or read-only.
  [[nodiscard]] std::unique_ptr<Mapping> Map(bool read_only = false) const;
  [[nodiscard]] std::unique_ptr<Mapping> MapPrivately() const;

  // The harness's own view, writable: what is changed here has to be put back by hand or Reset().
  [[nodiscard]] std::byte* bytes() const { return bytes_; }
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  struct Range {
    uint64_t at;
    std::vector<std::byte> bytes;
  };
  [[nodiscard]] std::unique_ptr<Mapping> MapWith(const MappingOptions& options) const;

  int fd_;
  uint64_t size_bytes_ = 0;
  std::byte* bytes_ = nullptr;
  std::vector<Range> ranges_;  // of data, as they were made
};

}  // namespace ingot::tests
