// SPDX-License-Identifier: BSD-3-Clause
// A memfd region with formatted lanes and nothing else, written to behind the code's back by
// pwrite.
#pragma once

#include <unistd.h>

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "pmemdev/journal.h"
#include "pmemdev/journal_record.h"
#include "pmemdev/mapping.h"
#include "pmemdev/persist.h"
#include "tests/pmemdev/trace_crashes.h"
#include "tests/support/test_region.h"

namespace ingot::tests {

inline constexpr uint64_t kRegionSize = uint64_t{16} << 20;

// A region and its journal. Reopen() is a remount.
class JournalRegion {
 public:
  explicit JournalRegion(const MappingOptions& options = TestMappingOptions()) {
    mapping_ = MemoryMapping(kRegionSize, options);
    geometry_ = Geometry::ForRegion(kRegionSize).value();
    superblock_.lane_count = media::kLaneCount;
    superblock_.uuid = {1, 2, 3, 4, 5, 6, 7, 8};
    persist_ = std::make_unique<Persist>(*mapping_);
    EXPECT_TRUE(Journal::Format(*persist_, superblock_).has_value());
    Reopen();
  }

  void Reopen() {
    journal_.reset();
    persist_ = std::make_unique<Persist>(*mapping_);
    journal_ = Journal::Open(*mapping_, geometry_, *persist_, superblock_).value();
  }

  [[nodiscard]] Journal& journal() { return *journal_; }
  [[nodiscard]] Persist& persist() { return *persist_; }
  [[nodiscard]] const Mapping& mapping() const { return *mapping_; }
  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] media::Superblock& superblock() { return superblock_; }
  [[nodiscard]] uint64_t seed() const { return RecordSeed(superblock_.uuid); }

  // The n-th word of the first group's data.
  [[nodiscard]] static MediaOffset DataWord(uint64_t n) {
    return Geometry::DataOf(GroupIndex(0)) + n * kWordSize;
  }

  [[nodiscard]] uint64_t Peek(MediaOffset at) const {
    uint64_t word = 0;
    EXPECT_EQ(pread(mapping_->fd(), &word, sizeof(word), static_cast<off_t>(at.value)),
              ssize_t{sizeof(word)});
    return word;
  }
  void Poke(MediaOffset at, const void* bytes, size_t size_bytes) {
    ASSERT_EQ(pwrite(mapping_->fd(), bytes, size_bytes, static_cast<off_t>(at.value)),
              static_cast<ssize_t>(size_bytes));
  }
  void Poke(MediaOffset at, uint64_t word) { Poke(at, &word, sizeof(word)); }
  void Poke(const WordMap& words) {
    for (const auto& [at, word] : words) Poke(MediaOffset(at), word);
  }
  // What the places named by `words` hold now.
  [[nodiscard]] WordMap PeekAll(const WordMap& words) const {
    WordMap now;
    for (const auto& [at, unused] : words) now[at] = Peek(MediaOffset(at));
    return now;
  }

  // A record made by hand: what Commit would write to `lane`.
  using Runs = std::vector<std::pair<MediaOffset, std::vector<uint64_t>>>;
  [[nodiscard]] static std::unique_ptr<LaneImage> MakeRecord(uint32_t lane, const Runs& runs) {
    auto image = std::make_unique<LaneImage>();
    image->header = {};
    image->header.sequence = 77;
    image->header.lane_index = lane;
    size_t at = 0;
    for (const auto& [place, words] : runs) {
      image->payload[at++] = PackRun(place, static_cast<uint32_t>(words.size()));
      for (const uint64_t word : words) image->payload[at++] = word;
    }
    image->header.length_bytes = static_cast<uint32_t>(at * kWordSize);
    return image;
  }
  void Reseal(LaneImage& image) const {
    // A length beyond the lane can't be hashed; it's refused before its checksum matters.
    if (image.header.length_bytes > media::kLanePayloadSize) return;
    image.header.checksum = RecordChecksum(image, seed());
  }
  void PokeRecord(uint32_t lane, const LaneImage& image) {
    Poke(RecordPlace(lane), &image, sizeof(image));
  }

 private:
  std::unique_ptr<Mapping> mapping_;
  Geometry geometry_;
  media::Superblock superblock_{};
  std::unique_ptr<Persist> persist_;
  std::unique_ptr<Journal> journal_;
};

}  // namespace ingot::tests
