// SPDX-License-Identifier: BSD-3-Clause
// Weights and shapes of random operations.
#include "tests/model/generator.h"

#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>

#include <array>

namespace ingot::tests {
namespace {

struct Weight {
  Kind kind;
  uint32_t weight;
};
constexpr std::array kWeights = {
    Weight{Kind::kCreate, 90},        Weight{Kind::kMkdir, 25},    Weight{Kind::kMknod, 5},
    Weight{Kind::kSymlink, 15},       Weight{Kind::kLink, 20},     Weight{Kind::kUnlink, 60},
    Weight{Kind::kRmdir, 15},         Weight{Kind::kRename, 50},   Weight{Kind::kWrite, 120},
    Weight{Kind::kAppend, 90},        Weight{Kind::kRead, 110},    Weight{Kind::kTruncate, 30},
    Weight{Kind::kFallocate, 35},     Weight{Kind::kSeek, 15},     Weight{Kind::kCopyRange, 20},
    Weight{Kind::kSetXattr, 25},      Weight{Kind::kGetXattr, 20}, Weight{Kind::kRemoveXattr, 12},
    Weight{Kind::kListXattr, 8},      Weight{Kind::kChmod, 15},    Weight{Kind::kChown, 8},
    Weight{Kind::kSetTimes, 10},      Weight{Kind::kStat, 60},     Weight{Kind::kReadLink, 10},
    Weight{Kind::kReadDirectory, 12},
};

// Sizes at which something changes: words, lines, pages, the tail's room, 1 MiB, huge pages.
constexpr std::array<uint64_t, 16> kEdges = {
    0, 1, 7, 8, 63, 65, 335, 336, 337, 4095, 4096, 4097, 8192, 1 << 20, (1 << 20) + 1, 2 << 20};

}  // namespace

Operation Generator::Next() {
  uint32_t total = 0;
  for (const Weight& weight : kWeights) total += weight.weight;
  uint64_t dice = Below(total);
  Operation operation;
  for (const Weight& weight : kWeights) {
    if (dice < weight.weight) {
      operation.kind = weight.kind;
      break;
    }
    dice -= weight.weight;
  }
  operation.path = Path();
  operation.path2 = Path();
  operation.seed = random_();
  operation.mode = static_cast<uint32_t>(Below(01000));
  FillData(operation);
  FillRest(operation);
  return operation;
}

// Directories are called d0..d3, at most two deep; whether they exist is a matter of luck.
std::string Generator::Directory() {
  const uint64_t dice = Below(10);
  if (dice < 4) return "";
  if (dice < 8) return fmt::format("/d{}", Below(4));
  return fmt::format("/d{}/d{}", Below(4), Below(4));
}

std::string Generator::Path() {
  if (Below(6) == 0) {
    const std::string directory = Directory();
    return fmt::format("{}/d{}", directory, Below(4));
  }
  return Directory() + "/" + Name();
}

std::string Generator::Name() {
  const uint64_t pick = Below(options_.names_per_directory);
  if (Below(200) == 0) return std::string(256, 'x');
  // One name in four is long, so that leaves split early.
  return pick % 4 == 3 ? fmt::format("{:0>{}}", pick, 200 + pick) : fmt::format("f{}", pick);
}

uint64_t Generator::Offset() {
  if (Below(1000) < options_.large_in_1000) return Below(options_.max_file_bytes);
  const uint64_t edge = kEdges[Below(kEdges.size() - 3)];
  return Below(2) == 0 ? edge : Below(20000);
}

uint64_t Generator::Size() {
  if (Below(1000) < options_.large_in_1000) return Below(options_.max_file_bytes / 2);
  if (Below(1000) < options_.large_in_1000) return kEdges[Below(kEdges.size())];
  return Below(3) == 0 ? kEdges[Below(kEdges.size() - 3)] : Below(9000);
}

void Generator::FillData(Operation& operation) {
  operation.offset = Offset();
  operation.offset2 = Offset();
  operation.size = Size();
  if (operation.kind == Kind::kFallocate) {
    constexpr std::array<uint32_t, 5> kModes = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    operation.flags = kModes[Below(kModes.size())];
  } else if (operation.kind == Kind::kSeek) {
    operation.flags = static_cast<uint32_t>(Below(2));
  }
}

void Generator::FillRest(Operation& operation) {
  switch (operation.kind) {
    case Kind::kRename: {
      constexpr std::array<uint32_t, 4> kFlags = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
      operation.flags = kFlags[Below(kFlags.size())];
      break;
    }
    case Kind::kSymlink:
      operation.name = std::string(1 + Below(Below(10) == 0 ? 4000 : 60), 't');
      break;
    case Kind::kSetXattr: {
      constexpr std::array<uint32_t, 4> kFlags = {0, 0, XATTR_CREATE, XATTR_REPLACE};
      operation.flags = kFlags[Below(kFlags.size())];
      const uint64_t dice = Below(20);
      operation.size = dice == 0 ? Below(65537) : dice < 4 ? Below(6000) : Below(60);
      [[fallthrough]];
    }
    case Kind::kGetXattr:
    case Kind::kRemoveXattr:
      operation.name = fmt::format("trusted.x{}", Below(5));
      break;
    case Kind::kSetTimes:
      operation.offset = Below(uint64_t{1} << 33);
      operation.size = Below(1'000'000'000);
      break;
    case Kind::kChown:
      operation.flags = static_cast<uint32_t>(Below(1000));
      break;
    default:
      break;
  }
}

}  // namespace ingot::tests
