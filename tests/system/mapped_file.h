// SPDX-License-Identifier: BSD-3-Clause
// What the tests of direct mappings share: a tmpfs of 2 MiB pages, descriptors, mappings of files
// and what the kernel says of them.
//
// Each object owns what it opened, and gives it back at its end. What fails is told by a null
// pointer, a false or a code; the tests assert. Not thread-safe.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ingot::tests {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kHugePage = 2 * kMiB;
inline constexpr uint64_t kSmallPage = 4096;

// A tmpfs of huge pages for the host's part.
class HugeTmpfs {
 public:
  explicit HugeTmpfs(uint64_t size_bytes = 1024 * kMiB);
  ~HugeTmpfs();
  HugeTmpfs(const HugeTmpfs&) = delete;
  [[nodiscard]] bool is_mounted() const { return is_mounted_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool is_mounted_ = false;
};

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, mode_t mode = 0644);
  explicit Descriptor(int fd);  // to own it; negative: errno says why
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int code() const { return code_; }
  void Close();

 private:
  int fd_;
  int code_ = 0;
};

// The first bytes of a file, mapped so that 2 MiB pages of it can be mapped as such.
class Map {
 public:
  Map(int fd, size_t size_bytes, int protection = PROT_READ | PROT_WRITE, int flags = MAP_SHARED);
  ~Map();
  Map(const Map&) = delete;
  [[nodiscard]] volatile char* at() const { return static_cast<volatile char*>(data_); }
  // Null: mmap failed, and code() says how.
  [[nodiscard]] char* data() const { return static_cast<char*>(data_); }
  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] std::span<char> bytes() const { return {data(), size_bytes_}; }

  // Of this mapping's bytes, how many lie in 2 MiB entries of the page table.
  [[nodiscard]] uint64_t PmdMappedBytes() const;
  // A field of /proc/self/smaps, such as "Locked", in bytes.
  [[nodiscard]] uint64_t SmapsBytes(const std::string& field) const;

 private:
  [[nodiscard]] uint64_t HugeEntryBytes() const;

  const size_t size_bytes_;
  void* room_ = nullptr;
  void* data_ = nullptr;
  int code_ = 0;
};

// Of this thread, so far.
[[nodiscard]] uint64_t MinorFaults();
// Minor and major ones: on DAX those that make the filesystem allocate count as major.
[[nodiscard]] uint64_t PageFaults();

// Pages that the file of this descriptor has in the page cache of its own filesystem: for a FUSE
// file those that the kernel keeps beside the medium. -1: the kernel has no cachestat (before 6.5).
// Not of a file on a DAX filesystem itself: Linux 6.12 takes its entries for those of pages that
// were evicted, and oopses.
[[nodiscard]] int64_t CachedPages(int fd);

// Whether user.ingot.map says that a mapping of the file is direct.
[[nodiscard]] bool IsDirect(const std::string& path);
// The same of a file that was closed just now: the daemon hears of that some time later.
[[nodiscard]] bool BecomesDirect(const std::string& path);

// Bytes that can be told from those of any other place, and of any other seed.
void Fill(std::span<char> to, uint64_t seed, uint64_t offset = 0);
[[nodiscard]] std::string Pattern(size_t size_bytes, uint64_t seed, uint64_t offset = 0);

}  // namespace ingot::tests
