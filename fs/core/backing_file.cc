// SPDX-License-Identifier: BSD-3-Clause
// System calls on a backing file. A short count of the host is gone on with.
#include "fs/core/backing_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vector>

#include "fs/core/dax_flag.h"

namespace ingot {
namespace {

template <typename Call>
auto Repeat(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Runs `step(done)` until `size_bytes` are done or nothing more comes.
template <typename Step>
Result<uint64_t> Transfer(size_t size_bytes, const char* what, Step&& step) {
  uint64_t done = 0;
  while (done < size_bytes) {
    const ssize_t count = Repeat([&] { return step(done); });
    if (count < 0 && done == 0) return FailureFromErrno(what);
    if (count <= 0) break;
    done += static_cast<uint64_t>(count);
  }
  return done;
}

// In nanoseconds, not negative: the same for the same time, and for others in all likelihood not.
int64_t MtimeOf(const struct stat& status) {
  constexpr uint64_t kNanoseconds = 1'000'000'000;
  const auto seconds = static_cast<uint64_t>(status.st_mtim.tv_sec);
  const uint64_t all = seconds * kNanoseconds + static_cast<uint64_t>(status.st_mtim.tv_nsec);
  return static_cast<int64_t>(all & INT64_MAX);
}

// Counts a change when it is over, so that no sync that came before it takes it for its own.
class Counted {
 public:
  explicit Counted(std::atomic<uint64_t>& changes) : changes_(changes) {}
  ~Counted() { changes_.fetch_add(1); }
  Counted(const Counted&) = delete;

 private:
  std::atomic<uint64_t>& changes_;
};

}  // namespace

BackingFile::BackingFile(int fd, uint64_t number, HostObserver* observer)
    : fd_(fd), number_(number), observer_(observer) {}

BackingFile::~BackingFile() {
  close(fd_);
}

Result<void> BackingFile::Note(const HostChange& change) {
  if (observer_ == nullptr) return {};
  if (const int code = observer_->FailureOf(change); code != 0) return Failure(code, "injected");
  observer_->OnChange(change);
  return {};
}

Result<struct stat> BackingFile::Stat() const {
  struct stat status;
  if (fstat(fd_, &status) != 0) return FailureFromErrno("fstat of a backing file");
  return status;
}

Result<uint64_t> BackingFile::Read(uint64_t offset, std::span<std::byte> to) const {
  return Transfer(to.size(), "read of a backing file", [&](uint64_t done) {
    return pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
  });
}

Result<uint64_t> BackingFile::Write(uint64_t offset, std::span<const std::byte> from) {
  const Counted counted(changes_);
  TRY(Note({HostChange::Kind::kWrite, number_, offset, from.size(), from}));
  return Transfer(from.size(), "write to a backing file", [&](uint64_t done) {
    return pwrite(fd_, from.data() + done, from.size() - done, static_cast<off_t>(offset + done));
  });
}

Result<uint64_t> BackingFile::Append(std::span<const std::byte> from) {
  if (observer_ != nullptr) {
    const auto end = static_cast<uint64_t>(TRY(Stat()).st_size);
    TRY(Note({HostChange::Kind::kWrite, number_, end, from.size(), from}));
  }
  const Counted counted(changes_);
  return Transfer(from.size(), "append to a backing file", [&](uint64_t done) {
    struct iovec piece {
      const_cast<std::byte*>(from.data()) + done, from.size() - done
    };
    // The offset is ignored, but must not be -1: that would use the file's position.
    return pwritev2(fd_, &piece, 1, 0, RWF_APPEND);
  });
}

Result<uint64_t> BackingFile::CopyFrom(const BackingFile& from, uint64_t from_offset,
                                       uint64_t offset, uint64_t size_bytes) {
  if (observer_ != nullptr) {  // which wants to see the bytes
    std::vector<std::byte> bytes(size_bytes);
    bytes.resize(TRY(from.Read(from_offset, bytes)));
    return bytes.empty() ? 0 : Write(offset, bytes);
  }
  const Counted counted(changes_);
  auto source = static_cast<off_t>(from_offset);
  auto target = static_cast<off_t>(offset);
  return Transfer(size_bytes, "copy between backing files", [&](uint64_t done) {
    return copy_file_range(from.fd_, &source, fd_, &target, size_bytes - done, 0);
  });
}

Result<void> BackingFile::Resize(uint64_t size_bytes) {
  const Counted counted(changes_);
  TRY(Note({HostChange::Kind::kResize, number_, size_bytes, 0, {}}));
  if (Repeat([&] { return ftruncate(fd_, static_cast<off_t>(size_bytes)); }) != 0) {
    return FailureFromErrno("ftruncate of a backing file");
  }
  return {};
}

Result<void> BackingFile::Allocate(uint64_t offset, uint64_t size_bytes, bool grow) {
  const Counted counted(changes_);
  TRY(Note({HostChange::Kind::kAllocate, number_, offset, size_bytes, {}}));
  const int mode = grow ? 0 : FALLOC_FL_KEEP_SIZE;
  if (Repeat([&] {
        return fallocate(fd_, mode, static_cast<off_t>(offset), static_cast<off_t>(size_bytes));
      }) != 0) {
    return FailureFromErrno("fallocate of a backing file");
  }
  return {};
}

Result<void> BackingFile::Punch(uint64_t offset, uint64_t size_bytes) {
  const Counted counted(changes_);
  TRY(Note({HostChange::Kind::kPunch, number_, offset, size_bytes, {}}));
  if (Repeat([&] {
        return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(offset), static_cast<off_t>(size_bytes));
      }) != 0) {
    return FailureFromErrno("punching a backing file");
  }
  return {};
}

Result<uint64_t> BackingFile::Seek(uint64_t offset, int whence) const {
  const off_t found = lseek(fd_, static_cast<off_t>(offset), whence);
  if (found < 0) return FailureFromErrno("lseek of a backing file");
  return static_cast<uint64_t>(found);
}

Result<void> BackingFile::SetTimes(const struct timespec& atime, const struct timespec& mtime) {
  const Counted counted(changes_);
  const struct timespec times[2] = {atime, mtime};
  if (futimens(fd_, times) != 0) return FailureFromErrno("times of a backing file");
  return {};
}

Result<void> BackingFile::Sync(bool data_only, PersistSite site) {
  const uint64_t changes = changes_.load();
  const HostChange change{HostChange::Kind::kSync, number_, 0, 0, {}, site};
  if (observer_ != nullptr) {
    if (const int code = observer_->FailureOf(change); code != 0) return Failure(code, "injected");
  }
  if (Repeat([&] { return data_only ? fdatasync(fd_) : fsync(fd_); }) != 0) {
    return FailureFromErrno("fsync of a backing file");
  }
  if (observer_ != nullptr) observer_->OnChange(change);
  // (Of two at once the earlier may come last: then one more than needed follows.)
  synced_changes_.store(changes);
  return {};
}

Result<void> BackingFile::SyncIfDirty(PersistSite site) {
  const bool is_dirty = is_written_past_us_.load() || changes_.load() != synced_changes_.load();
  return is_dirty ? Sync(/*data_only=*/true, site) : Result<void>();
}

bool BackingFile::IsMappedFromMedium() const {
  struct statfs host {};
  if (fstatfs(fd_, &host) == 0 && (host.f_type == TMPFS_MAGIC || host.f_type == RAMFS_MAGIC)) {
    return true;
  }
  struct statx status {};
  if (statx(fd_, "", AT_EMPTY_PATH, STATX_TYPE, &status) != 0) return false;
  return (status.stx_attributes & STATX_ATTR_DAX) != 0;
}

void BackingFile::NoteMappable() {
  if (mappable_at_mtime_.load() != kNotMappable) return;
  const Result<struct stat> status = Stat();
  mappable_at_mtime_.store(status ? MtimeOf(*status) : 0);
}

MappedUse BackingFile::use() const {
  const int64_t mtime = mappable_at_mtime_.load();
  if (mtime == kNotMappable) return {};
  const Result<struct stat> status = Stat();
  return {.was_mappable = true, .was_changed = !status || MtimeOf(*status) != mtime};
}

Result<void> BackingFile::MakeHostForget() {
  if (!TRY(ReadDaxFlag(fd_))) return {};
  TRY(SetDaxFlag(fd_, false));
  return SetDaxFlag(fd_, true);
}

// A host without leases knows nothing, so that somebody may have it open.
bool BackingFile::IsOpenElsewhere() const {
  if (fcntl(fd_, F_SETLEASE, F_WRLCK) != 0) return true;
  fcntl(fd_, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace ingot
