// SPDX-License-Identifier: BSD-3-Clause
// Bases on which the rarer paths are taken: whole huge pages, splits and merges of leaves, no
// space.
#include <linux/falloc.h>
#include <linux/fs.h>

#include "tests/crash/operations_internal.h"

namespace ingot::tests::crash {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::vector<Operation> LargeHistory() {
  std::vector<Operation> made;
  for (const char* path : {"/grows", "/huge", "/small", "/holes"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0644});
  }
  made.push_back({.kind = Kind::kWrite, .path = "/grows", .size = kMiB - 1, .seed = 1});
  made.push_back({.kind = Kind::kWrite, .path = "/huge", .size = 2 * kMiB + 1, .seed = 2});
  made.push_back({.kind = Kind::kWrite, .path = "/small", .size = 300, .seed = 3});
  for (uint64_t i = 0; i < 40; ++i) {
    made.push_back(
        {.kind = Kind::kWrite, .path = "/holes", .offset = i * 12'288, .size = 100, .seed = i});
  }
  return made;
}

void AddLarge(Operations& list) {
  const auto write = [&list](const char* path, uint64_t offset, uint64_t size) {
    AddTorn(list, fmt::format("write {} at {} of {}", size, offset, path),
            {.kind = Kind::kWrite, .path = path, .offset = offset, .size = size, .seed = 8}, offset,
            offset + size, true);
  };
  AddTorn(list, "append over 1 MiB",
          {.kind = Kind::kAppend, .path = "/grows", .size = 4097, .seed = 5}, kMiB - 1);
  AddTorn(list, "append to huge", {.kind = Kind::kAppend, .path = "/huge", .size = 65, .seed = 6},
          2 * kMiB + 1);
  AddTorn(list, "append 2 MiB - 1",
          {.kind = Kind::kAppend, .path = "/small", .size = 2 * kMiB - 1, .seed = 7}, 300,
          UINT64_MAX, true);
  // Whole huge pages are short here: the last window goes to fragments, and comes back.
  AddClosed(list, "append 2 MiB and close",
            {.kind = Kind::kAppend, .path = "/small", .size = 2 * kMiB + 9000, .seed = 9}, 300,
            UINT64_MAX, true);
  AddClosed(list, "append 1.5 MiB to huge and close",
            {.kind = Kind::kAppend, .path = "/huge", .size = 3 * kMiB / 2, .seed = 10},
            2 * kMiB + 1, UINT64_MAX, true);
  write("/huge", 0, 2 * kMiB + 1);
  write("/huge", 2 * kMiB - 3, 7);
  write("/grows", 100'001, 65);
  write("/holes", 4096, 20'000);
  write("/small", 3 * kMiB + 5, 63);
  for (const uint64_t size : {uint64_t{0}, uint64_t{5}, 2 * kMiB, 3 * kMiB}) {
    AddTorn(list, fmt::format("truncate huge to {}", size),
            {.kind = Kind::kTruncate, .path = "/huge", .size = size}, 0, 0);
  }
  AddTorn(list, "truncate holes", {.kind = Kind::kTruncate, .path = "/holes", .size = 70'001}, 0,
          0);
  AddTorn(list, "fallocate 4 MiB", {.kind = Kind::kFallocate, .path = "/small", .size = 4 * kMiB},
          0, UINT64_MAX, true);
  AddTorn(list, "punch a huge page",
          {.kind = Kind::kFallocate, .path = "/huge", .size = 2 * kMiB, .flags = kPunch}, 0,
          2 * kMiB);
  AddTorn(
      list, "punch inside",
      {.kind = Kind::kFallocate, .path = "/huge", .offset = 5000, .size = kMiB, .flags = kPunch},
      5000, 5000 + kMiB);
  AddTorn(list, "zero inside",
          {.kind = Kind::kFallocate,
           .path = "/huge",
           .offset = 5000,
           .size = kMiB,
           .flags = FALLOC_FL_ZERO_RANGE},
          5000, 5000 + kMiB);
  AddTorn(list, "copy 1.5 MiB",
          {.kind = Kind::kCopyRange, .path = "/huge", .path2 = "/small", .size = 3 * kMiB / 2}, 0,
          UINT64_MAX, true);
  Add(list, "unlink huge", {.kind = Kind::kUnlink, .path = "/huge"});
  Add(list, "unlink holes", {.kind = Kind::kUnlink, .path = "/holes"});
  Add(list, "rename over huge", {.kind = Kind::kRename, .path = "/small", .path2 = "/huge"});
  Add(list, "creat", {.kind = Kind::kCreate, .path = "/new", .mode = 0644});
}

std::string Long(int number) {
  return fmt::format("/d/{:0>250}", number);
}

// /d has two leaves, both nearly full, and every inode slot of its pages is used.
std::vector<Operation> CrowdedHistory() {
  std::vector<Operation> made;
  made.push_back({.kind = Kind::kMkdir, .path = "/d", .mode = 0755});
  made.push_back({.kind = Kind::kMkdir, .path = "/e", .mode = 0755});
  for (int i = 0; i < 27; ++i) {
    made.push_back({.kind = Kind::kCreate, .path = Long(i), .mode = 0644});
  }
  return made;
}

void AddCrowded(Operations& list) {
  for (int i = 100; i < 108; ++i) {
    Add(list, fmt::format("creat {}", i), {.kind = Kind::kCreate, .path = Long(i), .mode = 0644});
  }
  Add(list, "mkdir", {.kind = Kind::kMkdir, .path = Long(110), .mode = 0755});
  Add(list, "symlink", {.kind = Kind::kSymlink, .path = Long(111), .name = "x"});
  for (int i = 0; i < 8; ++i) {
    Add(list, fmt::format("unlink {}", i), {.kind = Kind::kUnlink, .path = Long(i)});
    Add(list, fmt::format("rename {}", i),
        {.kind = Kind::kRename, .path = Long(i), .path2 = Long(120 + i)});
  }
  Add(list, "move out", {.kind = Kind::kRename, .path = Long(9), .path2 = "/e/out"});
  Add(list, "exchange",
      {.kind = Kind::kRename, .path = Long(10), .path2 = "/e", .flags = RENAME_EXCHANGE});
  Add(list, "link", {.kind = Kind::kLink, .path = Long(11), .path2 = Long(130)});
}

// All but a few pages of the pool are a file's.
std::vector<Operation> FullHistory() {
  std::vector<Operation> made;
  for (const char* path : {"/fill", "/a", "/b"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0644});
  }
  made.push_back({.kind = Kind::kWrite, .path = "/a", .size = 9000, .seed = 1});
  made.push_back({.kind = Kind::kMkdir, .path = "/d", .mode = 0755});
  return made;
}

void AddFull(Operations& list) {
  Add(list, "creat", {.kind = Kind::kCreate, .path = "/d/new", .mode = 0644});
  Add(list, "mkdir", {.kind = Kind::kMkdir, .path = "/d/dir", .mode = 0755});
  Add(list, "unlink", {.kind = Kind::kUnlink, .path = "/a"});
  Add(list, "unlink the filler", {.kind = Kind::kUnlink, .path = "/fill"});
  Add(list, "symlink", {.kind = Kind::kSymlink, .path = "/d/s", .name = std::string(3000, 's')});
  AddTorn(list, "append", {.kind = Kind::kAppend, .path = "/a", .size = 70'000, .seed = 2}, 9000,
          UINT64_MAX, true);
  AddTorn(list, "append a little", {.kind = Kind::kAppend, .path = "/b", .size = 4097, .seed = 2},
          0, UINT64_MAX, true);
  AddTorn(list, "truncate", {.kind = Kind::kTruncate, .path = "/a", .size = 1}, 0, 0);
  AddTorn(list, "truncate the filler", {.kind = Kind::kTruncate, .path = "/fill", .size = kMiB + 7},
          0, 0);
  AddTorn(list, "punch the filler",
          {.kind = Kind::kFallocate,
           .path = "/fill",
           .offset = kMiB,
           .size = kMiB / 2,
           .flags = kPunch},
          kMiB, 3 * kMiB / 2);
  Add(list, "setxattr",
      {.kind = Kind::kSetXattr, .path = "/b", .name = "user.x", .size = 5000, .seed = 3});
  Add(list, "rename over", {.kind = Kind::kRename, .path = "/b", .path2 = "/a"});
}

}  // namespace

std::vector<Operation> OtherHistory(Base base) {
  if (base == Base::kLarge) return LargeHistory();
  if (base == Base::kCrowded) return CrowdedHistory();
  return FullHistory();
}

Operations OtherOperations(Base base) {
  Operations list;
  if (base == Base::kLarge) AddLarge(list);
  if (base == Base::kCrowded) AddCrowded(list);
  if (base == Base::kFull) AddFull(list);
  return list;
}

}  // namespace ingot::tests::crash
