// SPDX-License-Identifier: BSD-3-Clause
// libblkid wants something it can read(2); a devdax device can only be mapped, so its ends are
// copied into a sparse memory file of the same size, where all signatures are found at their
// places.
#include "fs/admin/signature.h"

#include <blkid/blkid.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "pmemdev/superblock.h"

namespace ingot::admin {
namespace {

// More than any signature's distance from either end.
constexpr uint64_t kProbedBytes = 2 * kHugePageSize;

struct FreeProbe {
  void operator()(blkid_struct_probe* probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<blkid_struct_probe, FreeProbe>;

Result<void> CopyRange(const Mapping& mapping, int fd, uint64_t begin, uint64_t end) {
  std::vector<std::byte> buffer(kHugePageSize);
  for (uint64_t at = begin; at < end; at += buffer.size()) {
    const size_t size = std::min<uint64_t>(buffer.size(), end - at);
    TRY(mapping.Read(MediaOffset(at), std::span(buffer).first(size)));
    if (pwrite(fd, buffer.data(), size, static_cast<off_t>(at)) != static_cast<ssize_t>(size)) {
      return FailureFromErrno("pwrite");
    }
  }
  return {};
}

Result<int> CopyEnds(const Mapping& mapping) {
  const int fd = memfd_create("ingot-probe", MFD_CLOEXEC);
  if (fd < 0) return FailureFromErrno("memfd_create");
  const uint64_t size = mapping.size_bytes();
  Result<void> copied;
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) copied = FailureFromErrno("ftruncate");
  const uint64_t front = std::min(size, kProbedBytes);
  if (copied.has_value()) copied = CopyRange(mapping, fd, 0, front);
  const uint64_t tail = std::max(front, size - std::min(size, kProbedBytes));
  if (copied.has_value()) copied = CopyRange(mapping, fd, tail, size);
  if (copied.has_value()) return fd;
  close(fd);
  return tl::unexpected<Error>(copied.error());
}

std::string Value(blkid_struct_probe* probe, const char* name) {
  const char* value = nullptr;
  return blkid_probe_lookup_value(probe, name, &value, nullptr) == 0 ? value : "";
}

std::string Labelled(std::string text, const std::string& label) {
  if (!label.empty()) text += fmt::format(" '{}'", label);
  return text;
}

Result<std::optional<std::string>> ProbeDescriptor(int fd) {
  const Probe probe(blkid_new_probe());
  if (probe == nullptr) return Failure(ENOMEM, "libblkid");
  if (blkid_probe_set_device(probe.get(), fd, 0, 0) != 0) {
    return Failure(EIO, "libblkid can't read it");
  }
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
                                                     BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC);
  blkid_probe_enable_partitions(probe.get(), 1);
  const int found = blkid_do_safeprobe(probe.get());
  if (found == 1) return std::nullopt;
  if (found == -2) return "signatures of several filesystems";
  if (found != 0) return Failure(EIO, "libblkid can't read it");
  if (const std::string type = Value(probe.get(), "TYPE"); !type.empty()) {
    const std::string usage = Value(probe.get(), "USAGE");
    const char* kind = usage == "filesystem" ? " filesystem" : " signature";
    return Labelled("the " + type + kind, Value(probe.get(), "LABEL"));
  }
  const std::string table = Value(probe.get(), "PTTYPE");
  return "the " + (table.empty() ? "unknown" : table) + " partition table";
}

// No signature that anybody knows, and bytes all the same: somebody's data.
// `mapping`: of what can't be read by its descriptor; else not through it, which would make a host
// fill its holes.
Result<bool> HasBytes(int fd, const Mapping* mapping, uint64_t begin, uint64_t end) {
  std::vector<std::byte> buffer(std::min<uint64_t>(end - begin, kHugePageSize));
  for (uint64_t at = begin; at < end; at += buffer.size()) {
    const std::span<std::byte> part =
        std::span(buffer).first(std::min<uint64_t>(buffer.size(), end - at));
    if (mapping != nullptr) {
      TRY(mapping->Read(MediaOffset(at), part));
    } else if (pread(fd, part.data(), part.size(), static_cast<off_t>(at)) < 0) {
      return FailureFromErrno("reading it");
    }
    if (std::ranges::any_of(part, [](std::byte byte) { return byte != std::byte{0}; })) return true;
  }
  return false;
}

// `has_bytes(begin, end)` looks.
template <typename HasBytesIn>
Result<std::optional<std::string>> FindUnknown(uint64_t size, HasBytesIn&& has_bytes) {
  const uint64_t front = std::min(size, kHugePageSize);
  const bool found = TRY(has_bytes(uint64_t{0}, front)) ||
                     TRY(has_bytes(std::max(front, size - kHugePageSize), size));
  return found ? std::optional<std::string>("data of an unknown kind") : std::nullopt;
}

}  // namespace

Result<std::optional<std::string>> FindContent(const Mapping& mapping) {
  const Result<SuperblockScan> scan = ReadSuperblocksUnchecked(mapping);
  if (scan.has_value()) {
    const auto& label = scan->best.label;
    const std::string text(label.begin(), std::ranges::find(label, '\0'));
    return Labelled("the ingot pool " + FormatUuid(scan->best.uuid), text);
  }
  if (scan.error_code() == EUCLEAN) return "an ingot pool with damaged superblocks";
  if (scan.error_code() != EINVAL) return tl::unexpected<Error>(scan.error());
  const bool is_device = mapping.medium() == Medium::kDevDax;
  const int fd = is_device ? TRY(CopyEnds(mapping)) : mapping.fd();
  Result<std::optional<std::string>> found = ProbeDescriptor(fd);
  if (is_device) close(fd);
  if (!found || *found) return found;
  return FindUnknown(mapping.size_bytes(), [&](uint64_t begin, uint64_t end) {
    return HasBytes(mapping.fd(), is_device ? &mapping : nullptr, begin, end);
  });
}

Result<std::optional<std::string>> FindDeviceContent(int fd, uint64_t size_bytes) {
  Result<std::optional<std::string>> found = ProbeDescriptor(fd);
  if (!found || *found) return found;
  return FindUnknown(size_bytes, [fd](uint64_t begin, uint64_t end) {
    return HasBytes(fd, nullptr, begin, end);
  });
}

Result<void> WipeSignatures(int fd) {
  const Probe probe(blkid_new_probe());
  if (probe == nullptr) return Failure(ENOMEM, "libblkid");
  if (blkid_probe_set_device(probe.get(), fd, 0, 0) != 0) {
    return Failure(EIO, "libblkid can't read it");
  }
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE |
                                                     BLKID_SUBLKS_BADCSUM);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_MAGIC);
  int found = 0;
  while ((found = blkid_do_probe(probe.get())) == 0) {
    if (blkid_do_wipe(probe.get(), 0) != 0) return Failure(EIO, "wiping its old signatures");
  }
  if (found < 0) return Failure(EIO, "reading its old signatures");
  // Also what libblkid doesn't know.
  const std::vector<std::byte> zeros(kHugePageSize / 2);
  if (pwrite(fd, zeros.data(), zeros.size(), 0) != static_cast<ssize_t>(zeros.size())) {
    return FailureFromErrno("writing to it");
  }
  return fsync(fd) == 0 ? Result<void>() : FailureFromErrno("fsync");
}

std::optional<std::string> FindLoopDevice(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return std::nullopt;
  const std::string real = resolved;
  free(resolved);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block", error)) {
    std::ifstream file(entry.path() / "loop/backing_file");
    std::string backing;
    if (std::getline(file, backing) && backing == real) {
      return "/dev/" + entry.path().filename().string();
    }
  }
  return std::nullopt;
}

}  // namespace ingot::admin
