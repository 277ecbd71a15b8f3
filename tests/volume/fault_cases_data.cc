// SPDX-License-Identifier: BSD-3-Clause
// Contents: written, truncated, preallocated, punched and copied, in each form that a file has.
#include <linux/falloc.h>

#include "tests/volume/fault_cases.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct WriteOf {
  std::string path;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  bool append = false;
  bool tears = false;
};

FaultCase Write(std::string name, WriteOf what) {
  const auto bytes = std::make_shared<std::string>(MakeBytes(77, what.size_bytes));
  return {std::move(name),
          [=](Volume& volume, Fault& fault, uint64_t done) {
            const InodeNumber inode = InodeAt(volume, what.path);
            const auto rest = std::as_bytes(std::span(*bytes)).subspan(done);
            const Armed armed(fault);
            return NoThrow([&] {
              return volume.data().Write(inode, what.offset + done, rest, {.append = what.append});
            });
          },
          what.size_bytes, what.tears};
}

FaultCase Truncate(std::string name, std::string path, uint64_t size_bytes) {
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber inode = InodeAt(volume, path);
            const Armed armed(fault);
            return Counted(
                NoThrow([&] { return volume.data().Truncate(inode, size_bytes, false); }));
          }};
}

FaultCase Fallocate(std::string name, std::string path, uint32_t mode, uint64_t offset,
                    uint64_t size_bytes) {
  // Parts of pages are zeroed in place.
  const bool tears = mode != 0 && (offset | (offset + size_bytes)) % kPageSize != 0;
  return {std::move(name),
          [=](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber inode = InodeAt(volume, path);
            const Armed armed(fault);
            return Counted(NoThrow(
                [&] { return volume.data().Fallocate(inode, mode, offset, size_bytes); }));
          },
          0, tears};
}

struct CopyOf {
  std::string from;
  uint64_t from_offset = 0;
  std::string to;
  uint64_t to_offset = 0;
  uint64_t size_bytes = 0;
};

FaultCase Copy(std::string name, CopyOf what) {
  return {std::move(name),
          [=](Volume& volume, Fault& fault, uint64_t done) {
            const InodeNumber from = InodeAt(volume, what.from);
            const InodeNumber to = InodeAt(volume, what.to);
            const Armed armed(fault);
            return NoThrow([&] {
              return volume.data().CopyRange(from, what.from_offset + done, to,
                                             what.to_offset + done, what.size_bytes - done);
            });
          },
          what.size_bytes, true};
}

void AddWrites(std::vector<FaultCase>& cases) {
  cases.push_back(Write("write_inline", {"/d/inline", 0, 100}));
  cases.push_back(Write("write_that_leaves_the_inode", {"/d/inline", 0, 9000, false, true}));
  cases.push_back(Write("write_behind_the_end", {"/d/inline", 100'000, 100}));
  cases.push_back(Write("write_that_makes_a_node", {"/d/full", kMiB, 4096}));
  cases.push_back(Write("write_into_a_hole", {"/d/many", 4096, 4096}));
  cases.push_back(Write("write_over_holes_and_data", {"/d/many", 4096, 400'000, false, true}));
  cases.push_back(Write("overwrite", {"/d/whole", 5000, 20'000, false, true}));
  cases.push_back(Write("append", {"/d/many", 0, 5000, true}));
  cases.push_back(Write("append_that_crosses_1_mib", {"/d/whole", 0, 500'000, true}));
  cases.push_back(Write("write_of_whole_huge_pages", {"/d/inline", 4 * kMiB, 5 * kMiB}));
  cases.push_back(Write("write_into_preallocated_space", {"/d/reserved", 50'000, 50'000}));
  cases.push_back(Write("write_that_drops_a_capability", {"/d/capable", 100, 4096, false, true}));
  cases.push_back(Write("atomic_write_by_the_log", {"/d/atomic", 5000, 3000}));
  cases.push_back(Write("atomic_write_of_copies", {"/d/atomic", 5000, 200'000}));
  cases.push_back(Write("atomic_append", {"/d/atomic", 0, 50'000, true}));
  cases.push_back(Write("atomic_write_in_a_huge_page", {"/d/huge", 70'001, 100'000}));
}

void AddTruncations(std::vector<FaultCase>& cases) {
  cases.push_back(Truncate("truncate_inline", "/d/inline", 33));
  cases.push_back(Truncate("truncate_up_inline", "/d/inline", 330));
  cases.push_back(Truncate("truncate_up_out_of_the_inode", "/d/inline", 10'000));
  cases.push_back(Truncate("truncate_up", "/d/many", 3 * kMiB + 1));
  cases.push_back(Truncate("truncate_into_a_page", "/d/many", 12'289));
  cases.push_back(Truncate("truncate_to_nothing", "/d/whole", 0));
  cases.push_back(Truncate("truncate_in_several_transactions", "/pieces", 8193));
  cases.push_back(Truncate("truncate_that_drops_a_capability", "/d/capable", 5000));
}

void AddFallocations(std::vector<FaultCase>& cases) {
  constexpr uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  constexpr uint32_t kZero = FALLOC_FL_ZERO_RANGE;
  cases.push_back(Fallocate("fallocate", "/d/many", 0, 0, 3 * kMiB));
  cases.push_back(Fallocate("fallocate_inline", "/d/inline", 0, 0, 320));
  cases.push_back(Fallocate("fallocate_out_of_the_inode", "/d/inline", 0, 0, 70'000));
  cases.push_back(
      Fallocate("fallocate_keep_size", "/d/full", FALLOC_FL_KEEP_SIZE, 100'000, 400'000));
  cases.push_back(Fallocate("fallocate_in_several_transactions", "/pieces", 0, 0, 8 * kMiB));
  cases.push_back(Fallocate("punch", "/d/whole", kPunch, 200'000, 4096));
  cases.push_back(Fallocate("punch_inline", "/d/inline", kPunch, 10, 100));
  cases.push_back(Fallocate("punch_of_pieces", "/d/full", kPunch, 10'000, 90'000));
  cases.push_back(Fallocate("punch_atomic", "/d/atomic", kPunch, 9001, 70'000));
  cases.push_back(Fallocate("zero_range", "/d/whole", kZero, 100'001, 300'000));
  cases.push_back(Fallocate("zero_range_that_extends", "/d/whole", kZero, 700'001, 500'000));
  cases.push_back(Fallocate("zero_range_behind_the_end", "/d/many", kZero, 2 * kMiB, 9000));
  cases.push_back(Fallocate("zero_range_inline", "/d/inline", kZero, 100, 230));
  cases.push_back(Fallocate("zero_range_keep_size", "/d/full", kZero | FALLOC_FL_KEEP_SIZE, 5000,
                            300'000));
}

void AddCopies(std::vector<FaultCase>& cases) {
  cases.push_back(Copy("copy", {"/d/whole", 1000, "/d/inline", 0, 300'000}));
  cases.push_back(Copy("copy_inline", {"/d/inline", 0, "/d/full", 5000, 300}));
  cases.push_back(Copy("copy_of_holes", {"/d/many", 0, "/d/whole", 5000, 300'000}));
  cases.push_back(Copy("copy_of_holes_behind_the_end", {"/d/many", 0, "/d/inline", 300, 90'000}));
  cases.push_back(Copy("copy_within", {"/d/whole", 0, "/d/whole", 800'000, 700'000}));
  cases.push_back(Copy("copy_that_drops_a_capability", {"/d/whole", 0, "/d/capable", 0, 9000}));
}

}  // namespace

void AddDataFaultCases(std::vector<FaultCase>& cases) {
  AddWrites(cases);
  AddTruncations(cases);
  AddFallocations(cases);
  AddCopies(cases);
  cases.push_back(OnInode("read", "/d/many", [](Volume& volume, InodeNumber inode) -> Result<void> {
    ReadView view;
    return volume.data().Read(inode, 0, kMiB, view);
  }));
  cases.push_back(OnInode("extents", "/d/many", [](Volume& volume, InodeNumber inode) {
    return volume.data().Extents(inode, FilePage(0), 1000);
  }));
}

}  // namespace ingot::tests
