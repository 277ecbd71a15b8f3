// SPDX-License-Identifier: BSD-3-Clause
// A block device with a host filesystem that `ingot mkfs --format` made for one directory pool.
//
// It is recognised by its label, which is set when the pool is finished, and mounted detached: no
// path leads to it, and it ends with the last descriptor that came from it, whatever becomes of
// the process. What is read here may be stale when it is looked at. A crash leaves no mount.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pmemdev/base/result.h"

namespace ingot {

// Fits xfs, which has 12 bytes for it.
inline constexpr const char* kHostLabel = "ingot-pool";

enum class HostKind : uint8_t { kExt4, kXfs };
[[nodiscard]] const char* NameOf(HostKind kind);

struct HostDevice {
  HostKind kind = HostKind::kExt4;
  std::string label;
  std::string uuid;
  // ext4: the journal, or its list of deleted files, is to be gone through by the next mount, and
  // would be, in part, by a read-only one that passes the journal over. Also while it is mounted.
  bool needs_recovery = false;
  [[nodiscard]] bool has_pool() const { return label == kHostLabel; }
};

// Nothing: no ext2-4 or xfs is on it. EINVAL: no block device. ENOENT, EACCES, EIO ...
Result<std::optional<HostDevice>> ReadHostDevice(const std::string& device);

// Whether the kernel can mount such a host, and this process may. ENODEV; EPERM.
Result<void> CheckHostMountable(HostKind kind);

// What the block layer says of the device, or of the whole device of a partition.
[[nodiscard]] bool DeviceOffersDax(const std::string& device);

enum class HostUse : uint8_t {
  kWrite,
  kRead,  // read-only; the host's journal is replayed first if it has to be
  kLook,  // nothing is written; also beside a mount
};

class HostMount {
 public:
  // Mounts it so that files are mapped directly with `dax`: those with the flag of dax_flag.h, if
  // the root directory has it, or else all. EBUSY: something else has it, or it is mounted the
  // other way (read-only or not). EPERM: no CAP_SYS_ADMIN. EINVAL: the host filesystem refuses, as
  // its own words in the context say. EUCLEAN: to look without writing the host would have to be
  // recovered first.
  static Result<HostMount> Open(const std::string& device, HostKind kind, HostUse use, bool dax);
  // The same of a host without any file, to be written: with `dax` its root directory gets the
  // flag, which all that is made in it inherits. ENOTSUP: the host doesn't map its files directly.
  static Result<HostMount> OpenNew(const std::string& device, HostKind kind, bool dax);
  ~HostMount();
  HostMount(HostMount&& other) noexcept;
  HostMount(const HostMount&) = delete;
  HostMount& operator=(const HostMount&) = delete;

  // Names the root directory, in this process and as long as this lives.
  [[nodiscard]] std::string path() const;

 private:
  explicit HostMount(int fd) : fd_(fd) {}
  static Result<HostMount> Look(const std::string& device, HostKind kind, bool dax);
  int fd_;
};

}  // namespace ingot
