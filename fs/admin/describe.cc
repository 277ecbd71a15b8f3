// SPDX-License-Identifier: BSD-3-Clause
// Fields to JSON. Little-endian throughout, as the media format is.
#include "fs/admin/describe.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "pmemdev/superblock.h"

namespace ingot::admin {
namespace {

std::string Hex(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<int>(byte));
  return text;
}

uint64_t LoadUnsigned(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
  return value;
}

int64_t LoadSigned(std::span<const std::byte> bytes) {
  const auto shift = static_cast<unsigned>(64 - 8 * std::min<size_t>(bytes.size(), 8));
  return static_cast<int64_t>(LoadUnsigned(bytes) << shift) >> shift;
}

Json DescribeField(FieldKind kind, std::span<const std::byte> bytes) {
  const bool fits = bytes.size() <= sizeof(uint64_t);
  switch (kind) {
    case FieldKind::kUnsigned:
      if (fits) return LoadUnsigned(bytes);
      break;
    case FieldKind::kSigned:
      if (fits) return LoadSigned(bytes);
      break;
    case FieldKind::kHex:
    case FieldKind::kChecksum:
      if (fits) return fmt::format("{:#x}", LoadUnsigned(bytes));
      break;
    case FieldKind::kUuid: {
      media::Uuid uuid{};
      std::memcpy(uuid.data(), bytes.data(), std::min(bytes.size(), uuid.size()));
      return FormatUuid(uuid);
    }
    case FieldKind::kBytes: break;
  }
  return DescribeBytes(bytes);
}

}  // namespace

Json DescribeBytes(std::span<const std::byte> bytes) {
  while (!bytes.empty() && bytes.back() == std::byte{0}) bytes = bytes.first(bytes.size() - 1);
  const auto printable = [](std::byte byte) {
    const int value = std::to_integer<int>(byte);
    return value >= 0x20 && value < 0x7f;
  };
  if (!std::ranges::all_of(bytes, printable)) return {{"hex", Hex(bytes)}};
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Json DescribeFields(std::span<const Field> fields, std::span<const std::byte> bytes) {
  Json json = Json::object();
  for (const Field& field : fields) {
    json[std::string(field.name)] =
        DescribeField(field.kind, bytes.subspan(field.offset_bytes, field.size_bytes));
  }
  return json;
}

std::string ToText(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ingot::admin
