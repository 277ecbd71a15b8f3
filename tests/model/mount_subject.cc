// SPDX-License-Identifier: BSD-3-Clause
// Model operations by system calls.
#include "tests/model/mount_subject.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace ingot::tests {
namespace {

std::string Answer(int result) {
  return result == 0 ? "ok" : ErrorText(errno);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string MountSubject::Run(const Operation& operation) {
  switch (operation.kind) {
    case Kind::kCreate:
    case Kind::kMkdir:
    case Kind::kMknod:
    case Kind::kSymlink:
      return Make(operation);
    case Kind::kLink:
    case Kind::kUnlink:
    case Kind::kRmdir:
    case Kind::kRename:
      return Names(operation);
    case Kind::kRead:
    case Kind::kWrite:
    case Kind::kAppend:
    case Kind::kTruncate:
    case Kind::kFallocate:
    case Kind::kSeek:
    case Kind::kCopyRange:
      return Data(operation);
    case Kind::kSetXattr:
    case Kind::kGetXattr:
    case Kind::kRemoveXattr:
    case Kind::kListXattr:
      return Xattr(operation);
    default:
      return Attribute(operation);
  }
}

std::string MountSubject::Make(const Operation& operation) {
  const std::string path = Full(operation.path);
  const mode_t mode = operation.mode & 0777;
  switch (operation.kind) {
    case Kind::kMkdir:
      return Answer(mkdir(path.c_str(), mode));
    case Kind::kMknod:
      return Answer(mkfifo(path.c_str(), mode));
    case Kind::kSymlink:
      return Answer(symlink(operation.name.c_str(), path.c_str()));
    default: {
      const Descriptor file(open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode));
      return file.get() >= 0 ? "ok" : ErrorText(errno);
    }
  }
}

std::string MountSubject::Names(const Operation& operation) {
  const std::string path = Full(operation.path);
  const std::string path2 = Full(operation.path2);
  switch (operation.kind) {
    case Kind::kLink:
      return Answer(link(path.c_str(), path2.c_str()));
    case Kind::kUnlink:
      return Answer(unlink(path.c_str()));
    case Kind::kRmdir:
      return Answer(rmdir(path.c_str()));
    default:
      return Answer(renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, path2.c_str(), operation.flags));
  }
}

std::string MountSubject::Data(const Operation& operation) {
  struct stat stat;
  const std::string path = Full(operation.path);
  if (lstat(path.c_str(), &stat) != 0) return ErrorText(errno);
  if (operation.kind == Kind::kCopyRange) {
    struct stat stat2;
    if (lstat(Full(operation.path2).c_str(), &stat2) != 0) return ErrorText(errno);
    if (S_ISDIR(stat.st_mode) || S_ISDIR(stat2.st_mode)) return ErrorText(EISDIR);
    if (!S_ISREG(stat2.st_mode)) return ErrorText(EINVAL);
  }
  // A fifo would block, a symlink be followed: the model has the daemon's answers for these.
  if (S_ISDIR(stat.st_mode)) return ErrorText(EISDIR);
  if (!S_ISREG(stat.st_mode)) return ErrorText(EINVAL);
  const int append = operation.kind == Kind::kAppend ? O_APPEND : 0;
  const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | append));
  if (file.get() < 0) return ErrorText(errno);
  return OnDescriptor(operation, file.get());
}

std::string MountSubject::OnDescriptor(const Operation& operation, int fd) {
  const auto offset = static_cast<off_t>(operation.offset);
  const auto size = static_cast<off_t>(operation.size);
  switch (operation.kind) {
    case Kind::kRead: {
      std::string bytes(std::min<uint64_t>(operation.size, uint64_t{16} << 20), '\0');
      const ssize_t got = pread(fd, bytes.data(), bytes.size(), offset);
      if (got < 0) return ErrorText(errno);
      bytes.resize(static_cast<size_t>(got));
      return BytesText(bytes);
    }
    case Kind::kWrite:
    case Kind::kAppend: {
      const std::string bytes = MakeBytes(operation.seed, operation.size);
      const ssize_t put = operation.kind == Kind::kAppend
                              ? write(fd, bytes.data(), bytes.size())
                              : pwrite(fd, bytes.data(), bytes.size(), offset);
      return put < 0 ? ErrorText(errno) : fmt::format("ok {}", put);
    }
    case Kind::kTruncate:
      return Answer(ftruncate(fd, size));
    case Kind::kFallocate:
      return Answer(fallocate(fd, static_cast<int>(operation.flags), offset, size));
    case Kind::kCopyRange: {
      const Descriptor to(open(Full(operation.path2).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
      if (to.get() < 0) return ErrorText(errno);
      loff_t in = offset;
      auto out = static_cast<loff_t>(operation.offset2);
      const ssize_t copied = copy_file_range(fd, &in, to.get(), &out, operation.size, 0);
      return copied < 0 ? ErrorText(errno) : fmt::format("ok {}", copied);
    }
    default: {
      const off_t at = lseek(fd, offset, operation.flags == 0 ? SEEK_DATA : SEEK_HOLE);
      return at < 0 ? ErrorText(errno) : fmt::format("{}", at);
    }
  }
}

std::string MountSubject::Xattr(const Operation& operation) {
  const std::string path = Full(operation.path);
  switch (operation.kind) {
    case Kind::kSetXattr: {
      const std::string value = MakeBytes(operation.seed, operation.size);
      return Answer(lsetxattr(path.c_str(), operation.name.c_str(), value.data(), value.size(),
                              static_cast<int>(operation.flags)));
    }
    case Kind::kRemoveXattr:
      return Answer(lremovexattr(path.c_str(), operation.name.c_str()));
    case Kind::kGetXattr: {
      std::string value(65536, '\0');
      const ssize_t got =
          lgetxattr(path.c_str(), operation.name.c_str(), value.data(), value.size());
      if (got < 0) return ErrorText(errno);
      value.resize(static_cast<size_t>(got));
      return BytesText(value);
    }
    default: {
      std::string list(65536, '\0');
      const ssize_t got = llistxattr(path.c_str(), list.data(), list.size());
      if (got < 0) return ErrorText(errno);
      list.resize(static_cast<size_t>(got));
      std::vector<std::string> names;
      for (size_t at = 0; at < list.size(); at += names.back().size() + 1) {
        names.emplace_back(list.c_str() + at);
      }
      std::sort(names.begin(), names.end());
      return fmt::format("ok{}{}", names.empty() ? "" : " ", fmt::join(names, " "));
    }
  }
}

std::string MountSubject::ReadNames(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return ErrorText(errno);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(directory);
  std::sort(names.begin(), names.end());
  return fmt::format("ok{}{}", names.empty() ? "" : " ", fmt::join(names, " "));
}

std::string MountSubject::Attribute(const Operation& operation) {
  const std::string path = Full(operation.path);
  struct stat stat;
  if (lstat(path.c_str(), &stat) != 0) return ErrorText(errno);
  switch (operation.kind) {
    case Kind::kChmod:
      if (S_ISLNK(stat.st_mode)) return ErrorText(EOPNOTSUPP);
      return Answer(chmod(path.c_str(), operation.mode & 0777));
    case Kind::kChown:
      return Answer(lchown(path.c_str(), operation.flags, operation.flags));
    case Kind::kSetTimes: {
      const std::array<timespec, 2> times = {
          timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
          timespec{.tv_sec = static_cast<time_t>(operation.offset),
                   .tv_nsec = static_cast<long>(operation.size)}};
      return Answer(utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW));
    }
    case Kind::kReadLink: {
      std::string target(4096, '\0');
      const ssize_t got = readlink(path.c_str(), target.data(), target.size());
      return got < 0 ? ErrorText(errno) : "ok " + target.substr(0, static_cast<size_t>(got));
    }
    case Kind::kReadDirectory:
      return S_ISDIR(stat.st_mode) ? ReadNames(path) : ErrorText(ENOTDIR);
    default: {
      const std::string type = S_ISREG(stat.st_mode)   ? "file"
                               : S_ISDIR(stat.st_mode) ? "dir"
                               : S_ISLNK(stat.st_mode) ? "link"
                                                       : "fifo";
      return fmt::format("ok {} {:o} {} {} {} {}.{}", type, stat.st_mode & 0777, stat.st_nlink,
                         stat.st_uid, stat.st_size, stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
    }
  }
}

}  // namespace ingot::tests
