// SPDX-License-Identifier: BSD-3-Clause
// mkfs of a directory. An older pool's superblocks go first, new ones come last, each durable
// before what follows: a crash leaves no pool, or the finished one. What is half made is taken for
// an older pool's by the next mkfs --force. Nothing is deleted but what a directory pool consists
// of.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "fs/admin/make_pool_internal.h"
#include "fs/admin/signature.h"
#include "fs/core/pool_path.h"
#include "fs/core/shared_space.h"
#include "fs/core/volume.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/erase_labels.h"
#include "pmemdev/superblock.h"

namespace ingot::admin {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMinSize = uint64_t{64} << 20;
constexpr uint64_t kMaxSize = uint64_t{8} << 40;
constexpr const char* kMarkName = "uuid";
constexpr const char* kNewMarkName = "uuid.new";  // what a kill may leave of it

// What a directory holds that may be an older pool's.
struct Present {
  bool region = false;
  bool backing = false;
  bool mark = false;  // backing/ says that it is a pool's
};

// Takes away what was made in a directory that was empty, unless the pool is finished.
class NewPool {
 public:
  NewPool(std::string directory, bool is_new) : directory_(std::move(directory)), undo_(is_new) {}
  ~NewPool() {
    if (!undo_) return;
    const std::string backing = directory_ + "/" + BackingDirectory::kName;
    unlink((directory_ + "/" + PoolPath::kRegionName).c_str());
    unlink((backing + "/" + kMarkName).c_str());
    unlink((backing + "/" + kNewMarkName).c_str());
    rmdir(backing.c_str());
  }
  NewPool(const NewPool&) = delete;
  NewPool& operator=(const NewPool&) = delete;
  void Keep() { undo_ = false; }

 private:
  const std::string directory_;
  bool undo_;
};

Result<void> Sync(int fd, const char* what) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return FailureFromErrno(what);
  }
  return {};
}

// --- what is there -----------------------------------------------------------------------------

template <typename Visit>
Result<void> ForEachEntry(const std::string& directory, Visit&& visit) {
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) TRY(visit(*entry));
  if (error) return Failure(error.value(), directory);
  return {};
}

Result<void> LookIntoBacking(const std::string& path, Present& present) {
  return ForEachEntry(path, [&](const fs::directory_entry& entry) -> Result<void> {
    const std::string name = entry.path().filename();
    std::error_code error;
    const bool is_file = entry.symlink_status(error).type() == fs::file_type::regular;
    present.mark |= name == kMarkName;
    const bool is_number = name.find_first_not_of("0123456789") == std::string::npos;
    const bool is_mark = name == kMarkName || name == kNewMarkName;
    if (is_file && (is_number || is_mark)) return {};
    return Failure(ENOTEMPTY, fmt::format("'{}' is no part of a pool. Hint: name an empty "
                                          "directory",
                                          entry.path().string()));
  });
}

Result<Present> LookInto(const std::string& directory) {
  Present present;
  TRY(ForEachEntry(directory, [&](const fs::directory_entry& entry) -> Result<void> {
    const std::string name = entry.path().filename();
    std::error_code error;
    const fs::file_type type = entry.symlink_status(error).type();
    if (name == "lost+found" && type == fs::file_type::directory) return {};
    if (name == PoolPath::kRegionName && type == fs::file_type::regular) {
      present.region = true;
      return {};
    }
    if (name == BackingDirectory::kName && type == fs::file_type::directory) {
      present.backing = true;
      return LookIntoBacking(entry.path(), present);
    }
    return Failure(ENOTEMPTY, fmt::format("the directory holds '{}'. Hint: name an empty directory",
                                          name));
  }));
  return present;
}

// A file named region is an older pool's if it says so, if backing/ beside it does, or if nothing
// is in it.
Result<void> CheckOldRegion(const Mapping& mapping, const Present& present) {
  const Result<SuperblockScan> scan = ReadSuperblocksUnchecked(mapping);
  if (scan) {
    const bool ours = (scan->best.features_incompatible & media::kFeatureDirectoryPool) != 0;
    if (ours) return {};
    return Failure(EEXIST, "its region is a device pool. Hint: remove that first");
  }
  if (present.mark || RecreateSuperblock(mapping)) return {};
  const std::optional<std::string> content = TRY(FindContent(mapping));
  if (!content) return {};
  return Failure(EEXIST, fmt::format("its region holds {}. Hint: remove that first", *content));
}

// --- taking an older pool away -----------------------------------------------------------------

// An empty file, with its lock if it was a pool's.
Result<void> EmptyOldRegion(const std::string& path, const Present& present, Descriptor& fd) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return FailureFromErrno(path);
  if (static_cast<uint64_t>(status.st_size) >= kHugePageSize) {
    const std::unique_ptr<Mapping> mapping = TRY(MapLocked(path));
    TRY(CheckOldRegion(*mapping, present));
    fd = Descriptor(fcntl(mapping->fd(), F_DUPFD_CLOEXEC, 0));
    if (fd.get() < 0) return FailureFromErrno(path);
    TRY(EraseLabels(*mapping));
    TRY(Sync(mapping->fd(), "fsync of the region"));
  } else if (status.st_size != 0 && !present.mark) {
    return Failure(EEXIST, "its region is a file of another kind. Hint: remove that first");
  } else {
    fd = Descriptor(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd.get() < 0) return FailureFromErrno(path);
  }
  if (ftruncate(fd.get(), 0) != 0) return FailureFromErrno("ftruncate");
  return Sync(fd.get(), "fsync of the region");
}

// --- the region --------------------------------------------------------------------------------

// A region is as large as its host, which a limit for files of people's programs isn't made for.
void LiftFileSizeLimit() {
  signal(SIGXFSZ, SIG_IGN);
  const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_FSIZE, &unlimited) == 0) return;
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_FSIZE, &limit);
}

Result<uint64_t> DefaultSize(int fd) {
  struct statvfs host {};
  if (fstatvfs(fd, &host) != 0) return FailureFromErrno("fstatvfs");
  uint64_t size = host.f_blocks * host.f_frsize;
  if (size == 0) size = MachineMemoryBytes(/*free=*/false);
  return RoundDown(std::clamp(size, kMinSize, kMaxSize), kHugePageSize);
}

// A hole of `size_bytes` at the file's end, without host space.
Result<bool> GrowsSparse(int fd, uint64_t size_bytes) {
  if (ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) return FailureFromErrno("ftruncate");
  struct stat status {};
  if (fstat(fd, &status) != 0) return FailureFromErrno("fstat");
  return static_cast<uint64_t>(status.st_blocks) * 512 < kHugePageSize;
}

// Looked at with a small piece, for a host without holes would fill the whole region with zeros.
Result<bool> CanBeSparse(int fd) {
  if (!TRY(GrowsSparse(fd, 2 * kHugePageSize))) return false;
  constexpr auto kPiece = static_cast<off_t>(kHugePageSize);
  for (const int mode : {FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE}) {
    if (fallocate(fd, mode, 0, kPiece) == 0) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS) return false;
    return FailureFromErrno("fallocate");
  }
  return true;
}

Result<void> SizeRegion(int fd, const MakePoolOptions& options) {
  const auto refuse = [] {
    return Failure(EOPNOTSUPP,
                   "the host filesystem can't keep the region sparse, which would take all of its "
                   "space. Hint: say how much it may take: --size 1G");
  };
  const bool given = options.size_bytes.has_value();
  if (!given && !TRY(CanBeSparse(fd))) return refuse();
  uint64_t size = given ? RoundDown(*options.size_bytes, kHugePageSize) : TRY(DefaultSize(fd));
  for (;;) {
    const Result<bool> sparse = GrowsSparse(fd, size);
    if (sparse) return given || *sparse ? Result<void>() : refuse();
    const bool halve = sparse.error_code() == EFBIG && !given && size / 2 >= kMinSize;
    if (!halve) return tl::unexpected<Error>(sparse.error());
    size = RoundDown(size / 2, kHugePageSize);
  }
}

Result<MadePool> Format(int region, const MakePoolOptions& options, const media::Uuid& uuid) {
  DeviceFormatOptions format;
  format.label = options.label;
  format.uuid = uuid;
  format.features_incompatible = media::kFeatureDirectoryPool;
  std::unique_ptr<Device> device = TRY(Device::Create(
      TRY(Mapping::FromDescriptor(region, {})), format, [](Device& made) -> Result<void> {
        TRY(Volume::Format(made, Caller{geteuid(), getegid()}));
        // Also the host's own records of where it all lies.
        return Sync(made.mapping().fd(), "fsync of the region");
      }));
  TRY(Sync(device->mapping().fd(), "fsync of the region"));
  MadePool made;
  made.superblock = device->superblock();
  auto directory = TRY(BackingDirectory::Open(options.path, uuid, /*read_only=*/false));
  const auto volume = TRY(Volume::Open(std::move(device), {}, std::move(directory)));
  made.total_bytes = volume->Statistics().total_bytes;
  return made;
}

}  // namespace

Result<MadePool> MakeDirectoryPool(const MakePoolOptions& options) {
  if (options.size_bytes.has_value()) TRY(CheckPoolSize(*options.size_bytes));
  const Descriptor directory(open(options.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return FailureFromErrno(options.path);
  // Two at once would take each other's half-made parts for their own.
  if (flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
    return Failure(errno == EWOULDBLOCK ? EBUSY : errno, "another mkfs is at work in there");
  }
  const Present present = TRY(LookInto(options.path));
  const bool is_new = !present.region && !present.backing;
  if (!is_new && !options.force) {
    return Failure(EEXIST, "it holds a directory pool, or parts of one. Hint: --force destroys "
                           "that");
  }
  LiftFileSizeLimit();
  const media::Uuid uuid =
      options.uuid == media::Uuid{} ? TRY(RandomUuid()) : media::Uuid(options.uuid);
  const std::string region_path = options.path + "/" + PoolPath::kRegionName;
  Descriptor region;
  if (present.region) TRY(EmptyOldRegion(region_path, present, region));

  NewPool made_here(options.path, is_new);
  TRY(BackingDirectory::Make(options.path, uuid, options.force));
  if (!present.region) {
    region = Descriptor(
        open(region_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (region.get() < 0) return FailureFromErrno(region_path);
  }
  TRY(SizeRegion(region.get(), options));
  MadePool made = TRY(Format(region.Release(), options, uuid));
  made.created = !present.region;
  TRY(Sync(directory.get(), "fsync of the directory"));
  made_here.Keep();
  return made;
}

}  // namespace ingot::admin
