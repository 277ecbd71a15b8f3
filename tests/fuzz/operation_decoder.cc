// SPDX-License-Identifier: BSD-3-Clause
// One byte a decision, so that a mutated byte changes one thing.
#include "tests/fuzz/operation_decoder.h"

#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>

namespace ingot::tests {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kMaxFileBytes = 5 * kMiB;
constexpr uint64_t kSmallBytes = 2 * kPage;

// Words, lines, the tail's room, pages, 1 MiB, huge pages.
constexpr std::array<uint64_t, 20> kEdges = {
    0,     1,         7,         8,        63,       64,       320,  336,  337,        kPage - 1,
    kPage, kPage + 1, 2 * kPage, kMiB - 1, kMiB + 1, 2 * kMiB, 1000, 9000, 16 * kPage, 3 * kMiB};

constexpr std::array<int64_t, 4> kNudges = {0, 1, -1, 511};

uint64_t Edge(Input& input) {
  const uint8_t choice = input.Byte();
  const uint64_t edge = kEdges[choice % kEdges.size()];
  const int64_t nudge = kNudges[choice / kEdges.size() % kNudges.size()];
  return edge == 0 ? edge : edge + static_cast<uint64_t>(nudge);
}

}  // namespace

std::string OperationDecoder::Directory(Input& input) const {
  const uint64_t choice = input.Below(10);
  if (choice < 5) return top_;
  if (choice < 8) return fmt::format("{}/d{}", top_, choice - 5);
  return fmt::format("{}/d{}/d{}", top_, choice - 8, choice - 7);
}

std::string OperationDecoder::Path(Input& input) const {
  const std::string directory = Directory(input);
  const uint8_t choice = input.Byte();
  if (choice < 64) return fmt::format("{}/d{}", directory, choice % 4);
  if (choice < 160) return fmt::format("{}/f{}", directory, choice % 8);
  if (choice == 255) return directory + "/" + std::string(256, 'x');
  // Long names split leaves early.
  return fmt::format("{}/{:0>{}}", directory, choice, 180 + choice % 76);
}

uint64_t OperationDecoder::Size(Input& input) {
  uint64_t size = Edge(input);
  if (size > budget_bytes_) size %= kSmallBytes;
  if (size > kSmallBytes) budget_bytes_ -= size;
  return size;
}

uint64_t OperationDecoder::Offset(Input& input) {
  return (Edge(input) + Edge(input)) % kMaxFileBytes;
}

void OperationDecoder::FillData(Input& input, Operation& operation) {
  operation.offset = Offset(input);
  operation.size = Size(input);
  operation.seed = input.Byte();
  if (operation.kind == Kind::kCopyRange) {
    operation.path2 = Path(input);
    operation.offset2 = Offset(input);
  } else if (operation.kind == Kind::kFallocate) {
    constexpr std::array<uint32_t, 5> kModes = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    operation.flags = input.Pick(kModes);
  } else if (operation.kind == Kind::kSeek) {
    operation.flags = static_cast<uint32_t>(input.Below(2));
  }
}

void OperationDecoder::FillXattr(Input& input, Operation& operation) {
  operation.name = fmt::format("trusted.x{}", input.Below(4));
  if (operation.kind != Kind::kSetXattr) return;
  constexpr std::array<uint32_t, 4> kFlags = {0, 0, XATTR_CREATE, XATTR_REPLACE};
  constexpr std::array<uint64_t, 12> kSizes = {0,    1,    20,   60,    290,   300,
                                               3000, 4030, 4060, 12000, 60000, 65536};
  operation.flags = input.Pick(kFlags);
  operation.size = input.Pick(kSizes);
  operation.seed = input.Byte();
}

void OperationDecoder::FillRest(Input& input, Operation& operation) {
  switch (operation.kind) {
    case Kind::kCreate:
    case Kind::kMkdir:
    case Kind::kMknod:
    case Kind::kChmod:
      operation.mode = input.Byte();
      break;
    case Kind::kSymlink: {
      constexpr std::array<size_t, 6> kLengths = {1, 60, 320, 336, 337, 4095};
      operation.name = std::string(input.Pick(kLengths), 't');
      break;
    }
    case Kind::kChown:
      operation.flags = input.Byte();
      break;
    case Kind::kSetTimes:
      operation.offset = input.Byte();
      operation.size = input.Byte();
      break;
    default:
      break;
  }
}

Operation OperationDecoder::Next(Input& input) {
  Operation operation;
  operation.kind = static_cast<Kind>(input.Below(static_cast<uint64_t>(Kind::kReadDirectory) + 1));
  operation.path = Path(input);
  switch (operation.kind) {
    case Kind::kLink:
    case Kind::kRename: {
      constexpr std::array<uint32_t, 4> kFlags = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
      operation.path2 = Path(input);
      if (operation.kind == Kind::kRename) operation.flags = input.Pick(kFlags);
      break;
    }
    case Kind::kRead:
    case Kind::kWrite:
    case Kind::kAppend:
    case Kind::kTruncate:
    case Kind::kFallocate:
    case Kind::kSeek:
    case Kind::kCopyRange:
      FillData(input, operation);
      break;
    case Kind::kSetXattr:
    case Kind::kGetXattr:
    case Kind::kRemoveXattr:
      FillXattr(input, operation);
      break;
    default:
      FillRest(input, operation);
  }
  return operation;
}

}  // namespace ingot::tests
