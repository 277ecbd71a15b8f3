// SPDX-License-Identifier: BSD-3-Clause
// Taking blobs apart without trusting a byte of them. DRAM only.
#include "fs/core/xattr_blob.h"

#include <cstring>

#include "fs/core/posix_acl.h"

namespace ingot {

Result<std::vector<XattrView>> ParseXattrs(std::span<const std::byte> blob) {
  std::vector<XattrView> entries;
  while (!blob.empty()) {
    media::XattrEntry header;
    if (blob.size() < sizeof(header)) return Failure(EUCLEAN, "xattrs: rest of the blob");
    std::memcpy(&header, blob.data(), sizeof(header));
    const bool plausible = header.name_bytes > 0 && header.name_bytes <= media::kMaxNameLength &&
                           header.value_bytes <= media::kMaxXattrValueSize &&
                           header.reserved == 0;
    const uint64_t size_bytes = XattrEntrySize(header.name_bytes, header.value_bytes);
    if (!plausible || size_bytes > blob.size()) return Failure(EUCLEAN, "xattrs: entry");
    const std::string_view name(reinterpret_cast<const char*>(blob.data() + sizeof(header)),
                                header.name_bytes);
    // A zero byte would make two names of one in a list.
    if (name.find('\0') != std::string_view::npos) return Failure(EUCLEAN, "xattrs: name");
    entries.push_back({name, blob.subspan(sizeof(header) + name.size(), header.value_bytes)});
    blob = blob.subspan(size_bytes);
  }
  return entries;
}

std::vector<std::byte> EncodeXattrs(std::span<const XattrView> entries) {
  uint64_t size_bytes = 0;
  for (const XattrView& entry : entries) {
    size_bytes += XattrEntrySize(entry.name.size(), entry.value.size());
  }
  std::vector<std::byte> blob(size_bytes);  // zeros, so that padding is zero
  std::byte* to = blob.data();
  for (const XattrView& entry : entries) {
    const media::XattrEntry header{.value_bytes = static_cast<uint32_t>(entry.value.size()),
                                   .name_bytes = static_cast<uint16_t>(entry.name.size()),
                                   .reserved = 0};
    std::memcpy(to, &header, sizeof(header));
    std::memcpy(to + sizeof(header), entry.name.data(), entry.name.size());
    if (!entry.value.empty()) {
      std::memcpy(to + sizeof(header) + entry.name.size(), entry.value.data(), entry.value.size());
    }
    to += XattrEntrySize(entry.name.size(), entry.value.size());
  }
  return blob;
}

Result<void> CheckXattrName(std::string_view name) {
  if (name.empty() || name.size() > media::kMaxNameLength) return Failure(ERANGE);
  if (name.find('\0') != std::string_view::npos) return Failure(EINVAL);
  if (name == kAccessAclName || name == kDefaultAclName) return {};
  for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (!name.starts_with(prefix)) continue;
    if (name.size() == prefix.size()) return Failure(EINVAL);
    return {};
  }
  return Failure(EOPNOTSUPP);
}

}  // namespace ingot
