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

// Polynomials modulo CRC32C's, bit 31 the coefficient of x^0.
constexpr uint32_t kPolynomial = 0x82F63B78;
constexpr uint32_t kOne = uint32_t{1} << 31;

constexpr uint32_t TimesX(uint32_t a) {
  return a >> 1 ^ (kPolynomial & -(a & 1));
}

constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (int i = 0; i < 32; ++i) {
    product ^= b & -(a >> 31);
    a <<= 1;
    b = TimesX(b);
  }
  return product;
}

// What a line's contribution is multiplied by for the lines behind it: x^(8 * bytes).
constexpr size_t kLinesPerPage = kPageSize / kCacheLineSize;
constexpr std::array<uint32_t, kLinesPerPage> kLineFactors = [] {
  uint32_t one_line = kOne;
  for (size_t bit = 0; bit < 8 * kCacheLineSize; ++bit) one_line = TimesX(one_line);
  std::array<uint32_t, kLinesPerPage> factors{};
  uint32_t factor = kOne;
  for (size_t line = kLinesPerPage; line-- > 0;) {
    factors[line] = factor;
    factor = Multiply(factor, one_line);
  }
  return factors;
}();

}  // namespace

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t seed) {
  // crc32_iscsi only reads; its prototype lacks the const.
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~seed);
}

uint32_t Crc32cOfChangedLine(uint32_t page_crc, size_t line,
                             std::span<const std::byte, kCacheLineSize> before,
                             std::span<const std::byte, kCacheLineSize> after) {
  CHECK(line < kLinesPerPage, "line {}", line);
  std::array<std::byte, kCacheLineSize> difference;
  for (size_t i = 0; i < kCacheLineSize; ++i) difference[i] = before[i] ^ after[i];
  // Without the inversions at both ends, which are in `page_crc` already.
  return page_crc ^ Multiply(~Crc32c(difference, ~uint32_t{0}), kLineFactors[line]);
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
