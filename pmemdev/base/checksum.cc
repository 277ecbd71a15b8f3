// SPDX-License-Identifier: BSD-3-Clause
// Checksums by isa-l and libxxhash. No state; nothing here touches media.
#include "pmemdev/base/checksum.h"

#include <isa-l/crc.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "pmemdev/base/check.h"

namespace ingot {
namespace {

constexpr size_t kFrontBytes = 64;

}  // namespace

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t seed) {
  // crc32_iscsi only reads; its prototype lacks the const.
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~seed);
}

uint32_t BlockChecksum(std::span<const std::byte> block, size_t field_offset, uint64_t seed) {
  CHECK(field_offset + sizeof(uint32_t) <= block.size(), "field {} of {}", field_offset,
        block.size());
  // Seed and the block's front, with zeros in the field, are put together: two calls instead of
  // four, and each costs as much as 100 bytes.
  std::array<std::byte, sizeof(seed) + kFrontBytes> front;
  const size_t front_bytes = std::min(kFrontBytes, block.size());
  if (field_offset + sizeof(uint32_t) <= front_bytes) [[likely]] {
    std::memcpy(front.data(), &seed, sizeof(seed));
    std::memcpy(front.data() + sizeof(seed), block.data(), front_bytes);
    std::memset(front.data() + sizeof(seed) + field_offset, 0, sizeof(uint32_t));
    const uint32_t crc = Crc32c(std::span(front).first(sizeof(seed) + front_bytes));
    return Crc32c(block.subspan(front_bytes), crc);
  }
  const uint32_t zeros = 0;
  uint32_t crc = Crc32c(std::as_bytes(std::span(&seed, 1)));
  crc = Crc32c(block.first(field_offset), crc);
  crc = Crc32c(std::as_bytes(std::span(&zeros, 1)), crc);
  return Crc32c(block.subspan(field_offset + sizeof(zeros)), crc);
}

uint64_t Hash64(std::span<const std::byte> bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace ingot
