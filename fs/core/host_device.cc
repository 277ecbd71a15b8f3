// SPDX-License-Identifier: BSD-3-Clause
// Two superblocks' magic, label and UUID; the system calls of detached mounts.
#include "fs/core/host_device.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "fs/core/dax_flag.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/superblock.h"

namespace ingot {
namespace {

// Where the superblocks lie and what is where in them: stable parts of both formats.
constexpr size_t kReadBytes = 4096;
struct HostLayout {
  HostKind kind;
  size_t magic_at;
  std::string_view magic;
  size_t label_at, label_bytes, uuid_at;
};
constexpr HostLayout kHostLayouts[] = {
    {HostKind::kExt4, 1024 + 0x38, "\x53\xEF", 1024 + 0x78, 16, 1024 + 0x68},
    {HostKind::kXfs, 0, "XFSB", 108, 12, 32},
};

// Journal to be replayed, orphans in a file, orphans in a list.
bool Ext4Waits(const std::array<char, kReadBytes>& bytes) {
  const auto word = [&bytes](size_t at) {
    uint32_t value = 0;  // little-endian on media and here
    std::memcpy(&value, &bytes[1024 + at], sizeof(value));
    return value;
  };
  constexpr uint32_t kRecover = 0x4, kOrphanPresent = 0x10000;
  return (word(0x60) & kRecover) != 0 || (word(0x64) & kOrphanPresent) != 0 || word(0xE8) != 0;
}

std::string TextAt(const char* text, size_t most) {
  return {text, strnlen(text, most)};
}

// The folder of a block device in sysfs; of a partition, that of its disk.
std::filesystem::path SysfsOf(const std::string& device) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return {};
  std::error_code error;
  auto folder = std::filesystem::canonical(
      fmt::format("/sys/dev/block/{}:{}", major(status.st_rdev), minor(status.st_rdev)), error);
  if (error) return {};
  return std::filesystem::exists(folder / "partition", error) ? folder.parent_path() : folder;
}

// The filesystem's own words about the last call on its context, without its name and level.
std::string MessageOf(int context) {
  std::string last;
  std::array<char, 512> buffer{};
  for (;;) {
    const ssize_t got = read(context, buffer.data(), buffer.size());
    if (got <= 0) return last;
    std::string_view line(buffer.data(), static_cast<size_t>(got));
    while (line.ends_with('\n') || line.ends_with('.')) line.remove_suffix(1);
    if (line.size() > 2 && line[1] == ' ') line.remove_prefix(2);
    last = line;
  }
}

Result<void> Refused(int context, const std::string& what) {
  const int code = errno;
  const std::string message = MessageOf(context);
  return Failure(code,
                 message.empty() ? "host filesystem: " + what : "host filesystem: " + message);
}

Result<void> SetString(int context, const char* key, const std::string& value) {
  if (fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return {};
  return Refused(context, key);
}

Result<void> SetFlag(int context, const char* key) {
  if (fsconfig(context, FSCONFIG_SET_FLAG, key, nullptr, 0) == 0) return {};
  return Refused(context, key);
}

Result<Descriptor> OpenContext(HostKind kind) {
  Descriptor context(fsopen(NameOf(kind), FSOPEN_CLOEXEC));
  if (context) return context;
  if (errno != ENODEV) return FailureFromErrno("mounting a host filesystem");
  return Failure(ENODEV, fmt::format("this kernel has no {0}. Hint: modprobe {0}", NameOf(kind)));
}

// `share`: for looking beside a mount, which is writable. `dax`: a value of that option, or null.
Result<int> MountDetached(const std::string& device, HostKind kind, HostUse use, bool share,
                          const char* dax) {
  const Descriptor context = TRY(OpenContext(kind));
  TRY(SetString(context.get(), "source", device));
  if (dax != nullptr) TRY(SetString(context.get(), "dax", dax));
  const bool read_only = use != HostUse::kWrite && !share;
  if (read_only) TRY(SetFlag(context.get(), "ro"));
  if (use == HostUse::kLook && !share) {
    TRY(SetFlag(context.get(), kind == HostKind::kExt4 ? "noload" : "norecovery"));
  }
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    TRY(Refused(context.get(), "mount"));
  }
  const unsigned read_only_mount = use == HostUse::kWrite ? 0 : MOUNT_ATTR_RDONLY;
  const int fd = fsmount(context.get(), FSMOUNT_CLOEXEC,
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | read_only_mount);
  if (fd < 0) return FailureFromErrno("fsmount");
  return fd;
}

// A descriptor of the root directory itself: the mount's own is one of a path only.
Result<Descriptor> RootOf(int mount) {
  Descriptor root(openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return FailureFromErrno("its root directory");
  return root;
}

// By the files' own flags, which can make the host forget what it knows of a file's mappings
// (BackingFile::MakeHostForget); all of them, where the root says nothing.
Result<int> MountWithDax(const std::string& device, HostKind kind, HostUse use, bool share) {
  Descriptor mount(TRY(MountDetached(device, kind, use, share, "inode")));
  const Result<bool> by_flags = ReadDaxFlag(TRY(RootOf(mount.get())).get());
  if (by_flags && *by_flags) return mount.Release();
  mount = Descriptor(-1);  // which ends it, unless it is shared
  return MountDetached(device, kind, use, share, "always");
}

Result<int> Mount(const std::string& device, HostKind kind, HostUse use, bool share, bool dax) {
  return dax ? MountWithDax(device, kind, use, share)
             : MountDetached(device, kind, use, share, nullptr);
}

}  // namespace

const char* NameOf(HostKind kind) {
  switch (kind) {
    case HostKind::kExt4:
      return "ext4";
    case HostKind::kXfs:
      return "xfs";
  }
  return "unknown";
}

Result<std::optional<HostDevice>> ReadHostDevice(const std::string& device) {
  const Descriptor fd(open(device.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return FailureFromErrno(device);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return FailureFromErrno(device);
  if (!S_ISBLK(status.st_mode)) return Failure(EINVAL, "it is no block device");
  std::array<char, kReadBytes> bytes{};
  if (pread(fd.get(), bytes.data(), bytes.size(), 0) < 0) return FailureFromErrno("reading it");
  for (const HostLayout& layout : kHostLayouts) {
    if (std::string_view(&bytes[layout.magic_at], layout.magic.size()) != layout.magic) continue;
    media::Uuid uuid{};
    std::memcpy(uuid.data(), &bytes[layout.uuid_at], uuid.size());
    return HostDevice{layout.kind, TextAt(&bytes[layout.label_at], layout.label_bytes),
                      FormatUuid(uuid), layout.kind == HostKind::kExt4 && Ext4Waits(bytes)};
  }
  return std::nullopt;
}

bool DeviceOffersDax(const std::string& device) {
  const std::filesystem::path folder = SysfsOf(device);
  if (folder.empty()) return false;
  std::ifstream file(folder / "queue/dax");
  return file.get() == '1';
}

Result<void> CheckHostMountable(HostKind kind) {
  (void)TRY(OpenContext(kind));
  return {};
}

Result<HostMount> HostMount::Open(const std::string& device, HostKind kind, HostUse use, bool dax) {
  if (use == HostUse::kLook) return Look(device, kind, dax);
  return HostMount(TRY(Mount(device, kind, use, /*share=*/false, dax)));
}

Result<HostMount> HostMount::OpenNew(const std::string& device, HostKind kind, bool dax) {
  HostMount mount(TRY(MountDetached(device, kind, HostUse::kWrite, /*share=*/false,
                                    dax ? "inode" : nullptr)));
  if (!dax) return mount;
  const Descriptor root = TRY(RootOf(mount.fd_));
  TRY(SetDaxFlag(root.get(), true));
  if (TRY(NewFilesAreDax(root.get()))) return mount;
  return Failure(ENOTSUP, fmt::format("{} doesn't map files of this device directly, the kernel's "
                                      "log says why. Hint: do without: --no-dax",
                                      NameOf(kind)));
}

// A mount that is there already is shared, as it is: writable, then its journal is in use, or not.
// Else there may be nothing to recover, for ext4 would begin with it even so.
Result<HostMount> HostMount::Look(const std::string& device, HostKind kind, bool dax) {
  bool is_in_use = false;
  {
    const Descriptor claim(open(device.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    is_in_use = !claim && errno == EBUSY;
  }
  const std::optional<HostDevice> found = TRY(ReadHostDevice(device));
  const bool needs_recovery = found && found->needs_recovery;
  if (needs_recovery && !is_in_use) {
    return Failure(EUCLEAN, fmt::format("the journal of its {} filesystem waits to be replayed, "
                                        "which would change it. Hint: ingot fsck -p {}",
                                        NameOf(kind), device));
  }
  Result<int> fd = Failure(EBUSY);
  if (!needs_recovery) fd = Mount(device, kind, HostUse::kLook, /*share=*/false, dax);
  if (fd.error_code() == EBUSY) {
    fd = Mount(device, kind, HostUse::kLook, /*share=*/true, dax);
  }
  return HostMount(TRY(std::move(fd)));
}

HostMount::~HostMount() {
  if (fd_ >= 0) close(fd_);
}

HostMount::HostMount(HostMount&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

std::string HostMount::path() const {
  return fmt::format("/proc/self/fd/{}", fd_);
}

}  // namespace ingot
