// SPDX-License-Identifier: BSD-3-Clause
// System calls on a pool's descriptor. No state; what a crash leaves is the host filesystem's
// business.
//
// The lock is flock(2), not an OFD lock: both belong to the open file description, but only flock's
// holder is named in /proc/locks, and it can be exclusive on a descriptor opened for reading.
#include "pmemdev/medium.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <optional>

#include <fmt/format.h>

namespace ingot {
namespace {

// Null if a file of this type may hold a pool, else its name.
const char* RefusedType(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFCHR: return nullptr;
    case S_IFDIR: return "a directory";
    case S_IFBLK: return "a block device";
    case S_IFIFO: return "a FIFO";
    case S_IFSOCK: return "a socket";
    default: return "of an unknown type";
  }
}

tl::unexpected<Error> Refused(const char* type) {
  return Failure(EINVAL,
                 fmt::format("a pool is a regular file or a devdax device, this is {}", type));
}

// The process that took a flock on the file, from lines like
// "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF" (device in hexadecimal).
std::optional<pid_t> LockHolder(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return std::nullopt;
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    int pid = 0;
    unsigned device_major = 0;
    unsigned device_minor = 0;
    uint64_t inode = 0;
    if (std::sscanf(line.c_str(), "%*d: FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &device_major,
                    &device_minor, &inode) == 4 &&
        device_major == major(status.st_dev) && device_minor == minor(status.st_dev) &&
        inode == status.st_ino && pid > 0 && kill(pid, 0) == 0) {
      return pid;
    }
  }
  return std::nullopt;
}

Result<void> Fallocate(int fd, int mode, MediaOffset at, uint64_t size_bytes, const char* what) {
  while (fallocate(fd, mode, static_cast<off_t>(at.value), static_cast<off_t>(size_bytes)) != 0) {
    if (errno != EINTR) return FailureFromErrno(what);
  }
  return {};
}

}  // namespace

Result<int> OpenMedium(const std::string& path, bool read_only) {
  // Opening some of the refused types has side effects or another errno, so they are asked first;
  // ClassifyMedium asks again what was opened.
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return FailureFromErrno(path);
  if (const char* type = RefusedType(status.st_mode)) return Refused(type);
  const int access = read_only ? O_RDONLY : O_RDWR;
  const int fd = open(path.c_str(), access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return FailureFromErrno(path);
  return fd;
}

Result<Medium> ClassifyMedium(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return FailureFromErrno("fstat");
  if (const char* type = RefusedType(status.st_mode)) return Refused(type);
  if (S_ISCHR(status.st_mode)) return Medium::kDevDax;
  struct statfs host;
  if (fstatfs(fd, &host) != 0) return FailureFromErrno("fstatfs");
  switch (host.f_type) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC: return Medium::kMemory;
    case HUGETLBFS_MAGIC:
      // It allocates nothing smaller than a huge page and knows neither SEEK_DATA nor msync.
      return Refused("a file on hugetlbfs; tmpfs mounted huge=always does it");
    default: return Medium::kFile;
  }
}

Result<uint64_t> MediumSize(int fd, Medium medium) {
  struct stat status;
  if (fstat(fd, &status) != 0) return FailureFromErrno("fstat");
  if (medium == Medium::kDevDax) {
    const std::string path = fmt::format("/sys/dev/char/{}:{}/size", major(status.st_rdev),
                                         minor(status.st_rdev));
    uint64_t size = 0;
    std::ifstream file(path);
    if (!(file >> size)) return Failure(EINVAL, "a character device, no devdax");
    return size;
  }
  return static_cast<uint64_t>(status.st_size);
}

Result<void> LockMedium(int fd, bool shared) {
  if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return FailureFromErrno("flock");
  const std::optional<pid_t> holder = LockHolder(fd);
  if (!holder.has_value()) return Failure(EBUSY, "the pool is in use");
  return Failure(EBUSY, fmt::format("the pool is in use by process {}", *holder));
}

Result<void> AllocateFileSpace(int fd, MediaOffset at, uint64_t size_bytes) {
  return Fallocate(fd, FALLOC_FL_KEEP_SIZE, at, size_bytes, "allocating host space");
}

Result<void> PunchFileSpace(int fd, MediaOffset at, uint64_t size_bytes) {
  return Fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size_bytes,
                   "releasing host space");
}

bool IsFileHole(int fd, MediaOffset at) {
  const auto page = static_cast<off_t>(RoundDown(at.value, kPageSize));
  const off_t data = lseek(fd, page, SEEK_DATA);
  if (data < 0) return errno == ENXIO;  // no data from here on; other errors say nothing
  return data >= page + static_cast<off_t>(kPageSize);
}

}  // namespace ingot
