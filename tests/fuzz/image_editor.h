// SPDX-License-Identifier: BSD-3-Clause
// Structured damage: a fuzzer's bytes as edits of the structs of a pool, resealed or not, and the
// way back.
//
// Edits know fields (by the structs' own tables), records, slots and bitmap bits, and prefer values
// that mean something: numbers of other inodes and pages, sizes, limits. Works on the pool's shared
// bytes; Undo() puts them back. Borrows the pool.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "tests/fuzz/input.h"
#include "tests/fuzz/sample_pool.h"
#include "tests/fuzz/scratch_pool.h"

namespace ingot::tests {

class ImageEditor {
 public:
  explicit ImageEditor(ScratchPool& pool);

  // One edit, of one of `kinds`. False: the input says that it was the last.
  bool Edit(Input& input, std::span<const SiteKind> kinds);
  // Seals what edits want sealed; after the last.
  void Seal();
  void Undo();

  // Whole structs, for targets that make their own.
  void Store(MediaOffset at, std::span<const std::byte> bytes);
  [[nodiscard]] const std::vector<Site>& sites(SiteKind kind) const {
    return sites_[static_cast<size_t>(kind)];
  }

 private:
  void Touch(MediaOffset at, uint64_t size_bytes);
  uint64_t Value(Input& input, uint64_t present);
  void EditField(Input& input, const Site& site);
  void EditRaw(Input& input, const Site& site);
  void EditRecord(Input& input, const Site& site);
  void EditBit(Input& input, const Site& site);
  void CopyOther(Input& input, const Site& site);
  // Moves the struct's bytes into a lane that will store them, and puts what was there before back.
  void MoveToLane(Input& input, const Site& site);
  void EditNumber(Input& input, MediaOffset at, uint32_t size_bytes);

  ScratchPool& pool_;
  std::array<std::vector<Site>, static_cast<size_t>(SiteKind::kCount)> sites_;
  std::vector<uint64_t> numbers_;                      // that mean something
  std::map<uint64_t, std::vector<std::byte>> before_;  // pages, as they were
  std::map<uint64_t, Site> to_seal_;                   // by place
};

}  // namespace ingot::tests
