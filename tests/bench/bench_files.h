// SPDX-License-Identifier: BSD-3-Clause
// What the programs that measure mounted filesystems share: files by directory descriptors, memory,
// and the report of a mount.
//
// Whatever fails ends the program with a message. Objects belong to the caller; not thread-safe.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace ingot::bench {

inline constexpr size_t kPage = 4096;
inline constexpr size_t kMebibyte = 1 << 20;

[[noreturn]] inline void Fail(const std::string& what) {
  (void)std::fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what.c_str(),
                     std::strerror(errno));
  std::exit(1);
}
inline void Require(bool good, const char* what) {
  if (!good) [[unlikely]]
    Fail(what);
}

class Descriptor {
 public:
  Descriptor(int directory, const std::string& name, int flags, mode_t mode = 0644)
      : fd_(openat(directory, name.c_str(), flags | O_CLOEXEC, mode)) {
    if (fd_ < 0) Fail(name);
  }
  ~Descriptor() { close(fd_); }
  Descriptor(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  const int fd_;
};

// It may be there already: a round's workloads come in several calls.
inline Descriptor MakeDirectory(int parent, const std::string& name) {
  if (mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) Fail(name);
  return Descriptor(parent, name, O_RDONLY | O_DIRECTORY);
}

// "c-000042"
inline std::vector<std::string> Names(const std::string& prefix, size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    std::string digits = std::to_string(i);
    digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
    names.push_back(prefix + digits);
  }
  return names;
}

inline void CreateAll(int directory, const std::vector<std::string>& names, size_t size_bytes) {
  const std::vector<char> bytes(size_bytes, 'x');
  for (const std::string& name : names) {
    const Descriptor file(directory, name, O_CREAT | O_EXCL | O_WRONLY);
    const auto written = size_bytes == 0 ? 0 : write(file.get(), bytes.data(), size_bytes);
    Require(written == static_cast<ssize_t>(size_bytes), "write");
  }
}

// Memory that begins on a page, as those who care for speed use it.
class Buffer {
 public:
  explicit Buffer(size_t size_bytes)
      : memory_(mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)),
        size_bytes_(size_bytes) {
    Require(memory_ != MAP_FAILED, "mmap");
    std::memset(memory_, 'y', size_bytes);
  }
  ~Buffer() { munmap(memory_, size_bytes_); }
  Buffer(const Buffer&) = delete;
  [[nodiscard]] char* get() const { return static_cast<char*>(memory_); }

 private:
  void* const memory_;
  const size_t size_bytes_;
};

// ingot's own report on the mount, "null" elsewhere. `root`: of its top directory.
[[nodiscard]] inline std::string StatusOf(int root) {
  std::string report(64 << 10, '\0');
  const ssize_t size = fgetxattr(root, "user.ingot.status", report.data(), report.size());
  if (size <= 0) return "null";
  report.resize(static_cast<size_t>(size));
  return report;
}

}  // namespace ingot::bench
