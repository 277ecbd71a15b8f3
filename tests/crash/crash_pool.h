// SPDX-License-Identifier: BSD-3-Clause
// The medium as a crash leaves it: what is durable for certain, and one image at a time on top of
// it, which may be opened, repaired and written to; Undo() takes everything back.
//
// The durable bytes are kept twice, as memory and as the file that images are opened from. Hashes
// are sums over words, so that an image's costs no more than its difference. What lies in page
// arrays isn't looked at: nothing there is ever trusted after a crash. Single-threaded.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "pmemdev/mapping_view.h"
#include "tests/support/memory_model.h"
#include "tests/support/trace.h"

namespace ingot::tests {

class CrashPool {
 public:
  // Of the same size and bytes as a pool file, which stays the caller's.
  explicit CrashPool(int source_fd);
  ~CrashPool();
  CrashPool(const CrashPool&) = delete;

  // The durable bytes become those of the source again.
  void Reset();
  void MakeDurable(std::span<const WordStore> stores);

  // Puts stores on top of the durable bytes, or of the image that is there; the image's hash.
  uint64_t Apply(std::span<const WordStore> stores);
  // To be told of what is stored while an image is open: a mark of ranges that Undo() restores.
  void NoteStores(const Trace& trace);
  void Undo();

  // Of the image with what was noted since, lanes left out: how recoveries are compared.
  [[nodiscard]] uint64_t HashOutsideLanes() const;
  // A descriptor of the image for somebody to own.
  [[nodiscard]] int Duplicate() const;
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }
  // For the mappings of those who open the image, one at a time.
  [[nodiscard]] MappingViews* kept_views() { return &kept_views_; }
  // A file with the image, to be looked at later.
  void SaveImage(const std::string& path) const;

 private:
  [[nodiscard]] uint64_t DurableWord(uint64_t at) const;
  [[nodiscard]] uint64_t ImageWord(uint64_t at) const;

  int source_fd_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  std::byte* image_ = nullptr;                        // of the file
  std::byte* durable_ = nullptr;                      // in memory
  MappingViews kept_views_;                           // of the file
  uint64_t hash_ = 0;                                 // of the durable bytes
  uint64_t image_hash_ = 0;                           // of the image, as long as it was not opened
  std::vector<uint64_t> changed_lines_;               // by durable stores, since Reset
  std::vector<std::pair<uint64_t, uint64_t>> dirty_;  // place, bytes: by the image
};

}  // namespace ingot::tests
