// SPDX-License-Identifier: BSD-3-Clause
// mkfs. The order matters: everything that can be refused is refused before the first byte changes.
#include "fs/admin/make_pool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "fs/admin/make_pool_internal.h"
#include "fs/admin/mounts.h"
#include "fs/admin/signature.h"
#include "fs/core/volume.h"
#include "pmemdev/device.h"
#include "pmemdev/superblock.h"

namespace ingot::admin {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

// Removes the file that was made here unless the pool is finished.
class NewFile {
 public:
  NewFile() = default;
  ~NewFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  Result<void> Create(const std::string& path, uint64_t size_bytes) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return FailureFromErrno(path);
    path_ = path;
    Result<void> sized;
    if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) sized = FailureFromErrno("ftruncate");
    close(fd);
    return sized;
  }
  // The pool is whole: the name stays.
  void Keep() { path_.clear(); }

 private:
  std::string path_;
};

// Gives an existing file the wanted size; one that has a size already only with force.
Result<void> Resize(const MakePoolOptions& options, uint64_t present_bytes) {
  const uint64_t wanted = RoundDown(*options.size_bytes, kHugePageSize);
  if (present_bytes != 0 && !options.force) {
    return Failure(EEXIST, fmt::format("the file has {} bytes already. Hint: leave out --size, or "
                                       "resize it with --force",
                                       present_bytes));
  }
  if (truncate(options.path.c_str(), static_cast<off_t>(wanted)) != 0) {
    return FailureFromErrno("truncate");
  }
  return {};
}

Result<void> CheckKind(const struct stat& status) {
  if (S_ISREG(status.st_mode) || S_ISCHR(status.st_mode)) return {};
  if (S_ISBLK(status.st_mode)) {
    return Failure(EINVAL,
                   "a block device is prepared for a pool first. Hint: ingot mkfs --format, which "
                   "makes a filesystem and the pool in it");
  }
  return Failure(EINVAL, "a pool is a regular file, a directory or a devdax device");
}

// Makes the file ready to be mapped; existing content is not touched but for its length.
Result<void> PrepareFile(const MakePoolOptions& options, NewFile& file, bool& created) {
  if (options.size_bytes.has_value()) TRY(CheckPoolSize(*options.size_bytes));
  struct stat status;
  if (stat(options.path.c_str(), &status) != 0) {
    if (errno != ENOENT) return FailureFromErrno(options.path);
    if (!options.size_bytes.has_value()) {
      return Failure(ENOENT, fmt::format("there is no such file or directory. Hint: mkdir {0} && "
                                         "ingot mkfs {0} makes a directory pool, whose large files "
                                         "can be mapped; ingot mkfs --size 1G {0} a device pool "
                                         "in one file",
                                         options.path));
    }
    created = true;
    return file.Create(options.path, RoundDown(*options.size_bytes, kHugePageSize));
  }
  TRY(CheckKind(status));
  if (S_ISCHR(status.st_mode)) {
    if (!options.size_bytes.has_value()) return {};
    return Failure(EINVAL, "a device has its own size. Hint: leave out --size");
  }
  const auto present = static_cast<uint64_t>(status.st_size);
  if (options.size_bytes.has_value() && *options.size_bytes != present) {
    // A forced change of a pool's size waits until it is locked; what is too small to be mapped is
    // none.
    const bool may_be_pool = present >= kHugePageSize;
    return options.force && may_be_pool ? Result<void>() : Resize(options, present);
  }
  return CheckPoolSize(present);
}

Result<void> RefuseContent(const Mapping& mapping, bool force) {
  if (force) return {};
  const std::optional<std::string> content = TRY(FindContent(mapping));
  if (!content.has_value()) return {};
  return Failure(EEXIST, fmt::format("it holds {}. Hint: --force destroys that", *content));
}

Result<MadePool> FormatMapping(std::unique_ptr<Mapping> mapping, const MakePoolOptions& options) {
  DeviceFormatOptions format;
  format.label = options.label;
  format.uuid = options.uuid;
  std::unique_ptr<Device> device =
      TRY(Device::Create(std::move(mapping), format, [](Device& made) {
        return Volume::Format(made, Caller{geteuid(), getegid()});
      }));
  MadePool made;
  made.superblock = device->superblock();
  const std::unique_ptr<Volume> volume = TRY(Volume::Open(std::move(device), {}));
  made.total_bytes = volume->Statistics().total_bytes;
  return made;
}

// A new file's name must be as durable as its contents.
Result<void> SyncNewFile(const std::string& path) {
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  for (const std::filesystem::path& each : {std::filesystem::path(path), folder}) {
    const int fd = open(each.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return FailureFromErrno(each.string());
    const int result = fsync(fd);
    const int code = errno;
    close(fd);
    if (result != 0) return Failure(code, "fsync");
  }
  return {};
}

// Made anew as a device pool, it would leave the files of the old one behind.
Result<void> RefuseRegion(const Mapping& mapping, const std::string& path) {
  const Result<SuperblockScan> scan = ReadSuperblocksUnchecked(mapping);
  if (!scan || (scan->best.features_incompatible & media::kFeatureDirectoryPool) == 0) return {};
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(path, error).parent_path();
  if (!std::filesystem::is_directory(folder / BackingDirectory::kName, error)) return {};
  return Failure(EINVAL, fmt::format("it is the region of a directory pool. Hint: ingot mkfs "
                                     "--force {}",
                                     folder.string()));
}

}  // namespace

Result<void> CheckLabel(const std::string& label) {
  if (label.size() >= sizeof(media::Superblock::label)) {
    return Failure(EINVAL, "a label has at most 31 bytes");
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::ranges::any_of(label, is_control)) {
    return Failure(EINVAL, "a label can't have control characters");
  }
  return {};
}

Result<void> CheckPoolSize(uint64_t size_bytes) {
  if (size_bytes < Geometry::kMinRegionSize) {
    return Failure(ENOSPC, fmt::format("{} bytes are too few, a pool has at least {} MiB",
                                       size_bytes, Geometry::kMinRegionSize / kMebibyte));
  }
  if (size_bytes > Geometry::kMaxRegionSize) {
    return Failure(EFBIG, "a pool has at most 1 PiB");
  }
  return {};
}

Result<std::unique_ptr<Mapping>> MapLocked(const std::string& path) {
  if (const std::optional<std::string> loop = FindLoopDevice(path)) {
    return Failure(EBUSY, fmt::format("it is attached to {}. Hint: losetup -d {}", *loop, *loop));
  }
  Result<std::unique_ptr<Mapping>> mapping = Mapping::Open(path, {});
  if (mapping.has_value() || mapping.error_code() != EBUSY) return mapping;
  const Result<std::optional<MountEntry>> mount = FindMountOfPool(path);
  if (!mount.has_value() || !mount->has_value()) return mapping;
  return Failure(EBUSY, fmt::format("{}, mounted at {}. Hint: ingot umount {}",
                                    mapping.error().context, (*mount)->mountpoint,
                                    (*mount)->mountpoint));
}

Result<MadePool> MakePool(const MakePoolOptions& options) {
  TRY(CheckLabel(options.label));
  struct stat status {};
  if (stat(options.path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return MakeDirectoryPool(options);
  }
  NewFile file;
  bool created = false;
  TRY(PrepareFile(options, file, created));
  std::unique_ptr<Mapping> mapping = TRY(MapLocked(options.path));
  TRY(RefuseRegion(*mapping, options.path));
  TRY(RefuseContent(*mapping, options.force));
  const uint64_t wanted = RoundDown(options.size_bytes.value_or(0), kHugePageSize);
  if (wanted != 0 && wanted != mapping->size_bytes()) {
    // Only with force: nobody else has it open under the lock, which mapping it anew keeps short.
    mapping.reset();
    TRY(Resize(options, 1));
    mapping = TRY(MapLocked(options.path));
  }
  TRY(CheckPoolSize(mapping->size_bytes()));
  // A file becomes one hole where its host can do that.
  if (options.force && !created) {
    (void)mapping->ReleaseHostSpace(MediaOffset(0), mapping->size_bytes());
  }
  MadePool made = TRY(FormatMapping(std::move(mapping), options));
  made.created = created;
  if (created) TRY(SyncNewFile(options.path));
  file.Keep();
  return made;
}

Result<media::Uuid> ParseUuid(std::string_view text) {
  media::Uuid uuid{};
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  const auto wrong = [text] {
    return Failure(EINVAL, fmt::format("'{}' is no UUID. Hint: it looks like {}", text,
                                       "d94b7b4e-0b6c-4d1c-9d3e-2f6a1c5b8e70"));
  };
  if (text.size() != kForm.size()) return wrong();
  size_t nibbles = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (kForm[i] == '-') {
      if (text[i] != '-') return wrong();
      continue;
    }
    uint8_t value = 0;
    const auto [end, error] = std::from_chars(&text[i], &text[i] + 1, value, 16);
    if (error != std::errc() || end != &text[i] + 1) return wrong();
    uint8_t& byte = uuid[nibbles / 2];
    byte = static_cast<uint8_t>(byte << 4 | value);
    ++nibbles;
  }
  if (uuid == media::Uuid{}) return wrong();
  return uuid;
}

}  // namespace ingot::admin
