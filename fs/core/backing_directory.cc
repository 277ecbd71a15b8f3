// SPDX-License-Identifier: BSD-3-Clause
// System calls on the directory. A file's name is its number in decimal.
#include "fs/core/backing_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "fs/core/dax_flag.h"
#include "fs/core/host_atime.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/base/ids.h"
#include "pmemdev/superblock.h"

namespace ingot {
namespace {

constexpr const char* kUuidName = "uuid";
constexpr const char* kNewUuidName = "uuid.new";
constexpr size_t kUuidTextBytes = 36;

class Name {
 public:
  explicit Name(uint64_t number) {
    *std::to_chars(text_.begin(), text_.end() - 1, number).ptr = '\0';
  }
  [[nodiscard]] const char* c_str() const { return text_.data(); }

 private:
  std::array<char, 24> text_;
};

bool ParseNumber(const char* name, uint64_t& number) {
  const char* end = name + std::strlen(name);
  const auto [stopped, error] = std::from_chars(name, end, number);
  return error == std::errc() && stopped == end && number != 0 && name[0] != '0';
}

bool IsMarkName(const char* name) {
  return std::strcmp(name, kUuidName) == 0 || std::strcmp(name, kNewUuidName) == 0;
}

Result<void> SyncDescriptor(int fd, const char* what) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return FailureFromErrno(what);
  }
  return {};
}

// Whole or not at all, and never through a link: the old one may be anything.
Result<void> WriteMark(int directory, const media::Uuid& uuid) {
  const std::string text = FormatUuid(uuid) + "\n";
  if (unlinkat(directory, kNewUuidName, 0) != 0 && errno != ENOENT) {
    return FailureFromErrno("backing/uuid.new");
  }
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const Descriptor file(openat(directory, kNewUuidName, kFlags, 0600));
  if (!file) return FailureFromErrno("backing/uuid.new");
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return FailureFromErrno("backing/uuid.new");
  }
  TRY(SyncDescriptor(file.get(), "backing/uuid.new"));
  if (renameat(directory, kNewUuidName, directory, kUuidName) == 0) return {};
  return FailureFromErrno("backing/uuid");
}

Result<BackingDirectory::Mark> MarkIn(int directory, const media::Uuid& uuid) {
  using Mark = BackingDirectory::Mark;
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const Descriptor file(openat(directory, kUuidName, kFlags));
  if (!file) {
    if (errno == ENOENT) return Mark::kNone;
    if (errno == ELOOP || errno == ENXIO) return Mark::kForeign;
    return FailureFromErrno("backing/uuid");
  }
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return FailureFromErrno("backing/uuid");
  if (!S_ISREG(status.st_mode)) return Mark::kForeign;
  std::array<char, kUuidTextBytes> bytes{};
  const ssize_t got = read(file.get(), bytes.data(), bytes.size());
  if (got < 0) return FailureFromErrno("backing/uuid");
  const std::string_view text(bytes.data(), static_cast<size_t>(got));
  const std::string ours = FormatUuid(uuid);
  if (text == ours) return Mark::kOurs;
  // A torn one of ours, at most; whatever else it is, somebody meant something by it.
  return ours.starts_with(text) ? Mark::kNone : Mark::kForeign;
}

tl::unexpected<Error> Unmarked(BackingDirectory::Mark mark, const std::string& pool) {
  if (mark == BackingDirectory::Mark::kNone) {
    return Failure(EUCLEAN, fmt::format("backing/uuid, which says whose files they are, is missing "
                                        "or damaged. Hint: ingot fsck -y {}",
                                        pool));
  }
  return Failure(EUCLEAN,
                 fmt::format("backing/ belongs to another pool (its uuid differs from the "
                             "region's). Hint: put the pool's own backing/ there; or, if these "
                             "are its files all the same, ingot fsck -y --adopt-backing {}",
                             pool));
}

bool AllocatesHugePages(int directory) {
  constexpr uint64_t kBlock = 512;  // of stat(2)
  struct stat mark {};
  struct statfs host {};
  return fstatfs(directory, &host) == 0 && host.f_type == EXT4_SUPER_MAGIC &&
         fstatat(directory, kUuidName, &mark, AT_SYMLINK_NOFOLLOW) == 0 &&
         static_cast<uint64_t>(mark.st_blocks) * kBlock >= kHugePageSize;
}

bool IsDots(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

// Calls `visit(name)` for each entry of the directory.
template <typename Visit>
Result<void> ForEachName(int directory, Visit&& visit) {
  const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FailureFromErrno("backing/");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), &closedir);
  if (stream == nullptr) {
    close(fd);
    return Failure(ENOMEM, "backing/");
  }
  for (;;) {
    errno = 0;
    const struct dirent* entry = readdir(stream.get());
    if (entry == nullptr) break;
    if (!IsDots(entry->d_name)) TRY(visit(entry->d_name));
  }
  if (errno != 0) return FailureFromErrno("backing/");
  return {};
}

Result<void> CheckRegularFile(const struct stat& status, uint64_t number) {
  if (S_ISREG(status.st_mode)) return {};
  return Failure(EUCLEAN, fmt::format("backing/{} is no regular file", number));
}

}  // namespace

Result<void> BackingDirectory::Make(const std::string& pool, const media::Uuid& uuid, bool force) {
  const Descriptor parent(open(pool.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0) return FailureFromErrno(pool);
  if (mkdirat(parent.get(), kName, 0700) != 0 && (errno != EEXIST || !force)) {
    return FailureFromErrno(pool + "/" + kName);
  }
  const Descriptor directory(openat(parent.get(), kName, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return FailureFromErrno(pool + "/" + kName);
  TRY(ForEachName(directory.get(), [&](const char* name) -> Result<void> {
    uint64_t number = 0;
    const bool is_ours = ParseNumber(name, number) || IsMarkName(name);
    if (!is_ours || !force) {
      return Failure(EEXIST, fmt::format("backing/ holds '{}' already", name));
    }
    if (unlinkat(directory.get(), name, 0) != 0 && errno != ENOENT) return FailureFromErrno(name);
    return {};
  }));
  TRY(WriteMark(directory.get(), uuid));
  TRY(SyncDescriptor(directory.get(), "backing/"));
  return SyncDescriptor(parent.get(), pool.c_str());
}

Result<BackingDirectory::Mark> BackingDirectory::ReadMark(const std::string& pool,
                                                          const media::Uuid& uuid) {
  const std::string path = pool + "/" + kName;
  const Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) return MarkIn(directory.get(), uuid);
  if (errno == ENOENT) return Mark::kNoDirectory;
  return FailureFromErrno(path);
}

Result<void> BackingDirectory::MakeOurs(const std::string& pool, const media::Uuid& uuid) {
  const Descriptor parent(open(pool.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0) return FailureFromErrno(pool);
  if (mkdirat(parent.get(), kName, 0700) != 0 && errno != EEXIST) {
    return FailureFromErrno(pool + "/" + kName);
  }
  const Descriptor directory(openat(parent.get(), kName, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return FailureFromErrno(pool + "/" + kName);
  TRY(WriteMark(directory.get(), uuid));
  TRY(SyncDescriptor(directory.get(), "backing/"));
  return SyncDescriptor(parent.get(), pool.c_str());
}

Result<std::unique_ptr<BackingDirectory>> BackingDirectory::Open(const std::string& pool,
                                                                 const media::Uuid& uuid,
                                                                 bool read_only,
                                                                 HostObserver* observer) {
  const std::string path = pool + "/" + kName;
  Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) {
    if (errno != ENOENT) return FailureFromErrno(path);
    return Failure(ENOENT, fmt::format("'{}' is missing, where the large files are. Hint: put it "
                                       "back; or, if it is lost, ingot fsck -y {}",
                                       path, pool));
  }
  const Mark mark = TRY(MarkIn(directory.get(), uuid));
  if (mark != Mark::kOurs) return Unmarked(mark, pool);
  return std::unique_ptr<BackingDirectory>(
      new BackingDirectory(directory.Release(), read_only, observer));
}

BackingDirectory::BackingDirectory(int fd, bool read_only, HostObserver* observer)
    : fd_(fd),
      read_only_(read_only),
      allocates_huge_pages_(AllocatesHugePages(fd)),
      has_dax_flag_(ReadDaxFlag(fd).value_or(false)),
      observer_(observer) {}

BackingDirectory::~BackingDirectory() {
  close(fd_);
}

Result<void> BackingDirectory::UseAtimeRule(AtimeMode rule) {
  const Descriptor same = TRY(OpenWithAtimeRule(fd_, rule));
  if (same && dup3(same.get(), fd_, O_CLOEXEC) < 0) return FailureFromErrno("backing/");
  return {};
}

Result<void> BackingDirectory::Note(const HostChange& change) {
  if (observer_ == nullptr) return {};
  if (const int code = observer_->FailureOf(change); code != 0) return Failure(code, "injected");
  observer_->OnChange(change);
  return {};
}

Result<std::unique_ptr<BackingFile>> BackingDirectory::Create(uint64_t number) {
  TRY(Note({HostChange::Kind::kCreate, number, 0, 0, {}}));
  const int fd = openat(fd_, Name(number).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FailureFromErrno("making a backing file");
  Descriptor guard(fd);
  auto file = std::make_unique<BackingFile>(fd, number, observer_);
  guard.Release();
  return file;
}

Result<Descriptor> BackingDirectory::OpenByNumber(uint64_t number) const {
  const int flags = (read_only_ ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  Descriptor file(openat(fd_, Name(number).c_str(), flags));
  if (!file) return FailureFromErrno(fmt::format("backing/{}", number));
  return file;
}

Result<std::unique_ptr<BackingFile>> BackingDirectory::OpenFile(uint64_t number) const {
  Descriptor opened = TRY(OpenByNumber(number));
  struct stat status;
  if (fstat(opened.get(), &status) != 0) return FailureFromErrno("fstat of a backing file");
  TRY(CheckRegularFile(status, number));
  // A crash came while MakeHostForget() changed it. The host looks at it when it reads the inode
  // again: at once, unless somebody else has the file open.
  const bool lacks_flag = has_dax_flag_ && !read_only_ && !ReadDaxFlag(opened.get()).value_or(true);
  if (lacks_flag && SetDaxFlag(opened.get(), true)) {
    opened = Descriptor();
    opened = TRY(OpenByNumber(number));
  }
  auto file = std::make_unique<BackingFile>(opened.get(), number, observer_);
  opened.Release();
  return file;
}

Result<struct stat> BackingDirectory::Stat(uint64_t number) const {
  struct stat status;
  if (fstatat(fd_, Name(number).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailureFromErrno(fmt::format("backing/{}", number));
  }
  TRY(CheckRegularFile(status, number));
  return status;
}

bool BackingDirectory::TakesDirectIo() const {
  const Descriptor probe(openat(fd_, ".", O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600));
  return probe.get() >= 0 || errno != EINVAL;
}

Result<void> BackingDirectory::Unlink(uint64_t number) {
  TRY(Note({HostChange::Kind::kUnlink, number, 0, 0, {}}));
  if (unlinkat(fd_, Name(number).c_str(), 0) != 0 && errno != ENOENT) {
    return FailureFromErrno(fmt::format("deleting backing/{}", number));
  }
  return {};
}

Result<void> BackingDirectory::Sync(PersistSite site) {
  const HostChange change{HostChange::Kind::kSyncDirectory, 0, 0, 0, {}, site};
  if (observer_ != nullptr) {
    if (const int code = observer_->FailureOf(change); code != 0) return Failure(code, "injected");
  }
  TRY(SyncDescriptor(fd_, "fsync of backing/"));
  if (observer_ != nullptr) observer_->OnChange(change);
  return {};
}

Result<BackingDirectory::Listing> BackingDirectory::List() const {
  Listing listing;
  TRY(ForEachName(fd_, [&](const char* name) -> Result<void> {
    uint64_t number = 0;
    if (ParseNumber(name, number)) {
      listing.numbers.push_back(number);
    } else if (!IsMarkName(name)) {
      listing.strangers.emplace_back(name);
    }
    return {};
  }));
  return listing;
}

}  // namespace ingot
