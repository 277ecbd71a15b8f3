// SPDX-License-Identifier: BSD-3-Clause
// A media struct describes itself: a table of its fields, from which dump, docs, golden images and
// image mutation are derived, so that none of them keeps a list of its own.
//
// A struct T of namespace media specialises media::kFieldsOf<T>; its size and the cover of its
// fields are asserted beside it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ingot {

enum class FieldKind : uint8_t {
  kUnsigned,  // little-endian, 1, 2, 4 or 8 bytes
  kSigned,
  kHex,       // flags, masks, magics: shown in hexadecimal
  kUuid,      // 16 bytes
  kBytes,     // anything else
  kChecksum,  // computed over the rest
};

struct Field {
  std::string_view name;
  uint32_t offset_bytes;
  uint32_t size_bytes;
  FieldKind kind;
};

// The bytes of any trivially copyable object.
template <typename T>
[[nodiscard]] std::span<const std::byte, sizeof(T)> BytesOf(const T& object) {
  return std::as_bytes(std::span<const T, 1>(&object, 1));
}
template <typename T>
[[nodiscard]] std::span<std::byte, sizeof(T)> WritableBytesOf(T& object) {
  return std::as_writable_bytes(std::span<T, 1>(&object, 1));
}

namespace media {
// The fields of T in order; specialised beside each media struct.
template <typename T>
inline constexpr std::array<Field, 0> kFieldsOf{};
}  // namespace media

// True if the fields cover [0, size) without gap or overlap, in order: each struct asserts it.
[[nodiscard]] constexpr bool FieldsCover(std::span<const Field> fields, size_t size) {
  size_t at = 0;
  for (const Field& field : fields) {
    if (field.offset_bytes != at) return false;
    at += field.size_bytes;
  }
  return at == size;
}

}  // namespace ingot

// One row of a kFields table.
// clang-format off: it takes the casts for comparisons
#define INGOT_FIELD(type, member, kind)                                                     \
  ::ingot::Field {                                                                          \
    #member, static_cast<uint32_t>(offsetof(type, member)),                                 \
        static_cast<uint32_t>(sizeof(type::member)), ::ingot::FieldKind::kind               \
  }
// clang-format on
