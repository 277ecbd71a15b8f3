// SPDX-License-Identifier: BSD-3-Clause
// A model's weights, written once and loaded by mmap, as inference servers do.
//
// usage: weights_bench FILE MEBIBYTES
// Writes the file front to back, 1 MiB a write, syncs it, and asks the kernel to drop what it
// caches of it (filesystems without a cache have nothing to drop). Then maps it shared and
// read-only, copies it, 16 MiB at a time, to where a device would fetch it, and compares its sum.
// Prints the nanoseconds of a MiB of each, and the page faults of the load, as JSON.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "tests/bench/bench_files.h"

namespace ingot::bench {
namespace {

constexpr size_t kStepBytes = 16 * kMebibyte;

[[nodiscard]] uint64_t Sum(const char* bytes, size_t size_bytes) {
  uint64_t sum = 0, word = 0;
  // One word of each line: the copy has brought all of it, the sum is to cost little.
  for (size_t at = 0; at < size_bytes; at += 64) {
    std::memcpy(&word, bytes + at, sizeof(word));
    sum += word;
  }
  return sum;
}

[[nodiscard]] long Faults() {
  rusage usage{};
  Require(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
  return usage.ru_minflt + usage.ru_majflt;
}

class Clock {
 public:
  [[nodiscard]] double nanoseconds() const {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start_)
        .count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The sum of what was written.
uint64_t Write(const char* path, size_t mebibytes) {
  const Descriptor file(AT_FDCWD, path, O_CREAT | O_EXCL | O_WRONLY);
  const Buffer buffer(kMebibyte);
  std::mt19937_64 random(7);
  for (size_t at = 0; at < kMebibyte; at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(buffer.get() + at, &word, sizeof(word));
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < mebibytes; ++i) {
    std::memcpy(buffer.get(), &i, sizeof(i));  // no two alike
    Require(write(file.get(), buffer.get(), kMebibyte) == kMebibyte, "write");
    sum += Sum(buffer.get(), kMebibyte);
  }
  Require(fsync(file.get()) == 0, "fsync");
  return sum;
}

void DropCache(const char* path) {
  const Descriptor file(AT_FDCWD, path, O_RDONLY);
  Require(posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
}

uint64_t Load(const char* path, size_t mebibytes, char* to) {
  const size_t size_bytes = mebibytes * kMebibyte;
  const Descriptor file(AT_FDCWD, path, O_RDONLY);
  void* const mapping = mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, file.get(), 0);
  Require(mapping != MAP_FAILED, "mmap");
  uint64_t sum = 0;
  for (size_t at = 0; at < size_bytes; at += kStepBytes) {
    const size_t step = std::min(kStepBytes, size_bytes - at);
    std::memcpy(to, static_cast<const char*>(mapping) + at, step);
    sum += Sum(to, step);
  }
  Require(munmap(mapping, size_bytes) == 0, "munmap");
  return sum;
}

void Run(const char* path, size_t mebibytes) {
  const Clock writing;
  const uint64_t written = Write(path, mebibytes);
  const double write_ns = writing.nanoseconds();
  DropCache(path);
  const Buffer buffer(kStepBytes);
  const long before = Faults();
  const Clock loading;
  const uint64_t loaded = Load(path, mebibytes, buffer.get());
  const double load_ns = loading.nanoseconds();
  const long faults = Faults() - before;
  errno = EIO;
  Require(loaded == written, "the sum of what was loaded");
  const auto count = static_cast<double>(mebibytes);
  (void)std::printf("{\"write\": %.1f, \"load\": %.1f, \"faults\": %ld}\n", write_ns / count,
                    load_ns / count, faults);
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  const size_t mebibytes = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (mebibytes == 0) {
    (void)std::fprintf(stderr, "usage: weights_bench FILE MEBIBYTES\n");
    return 2;
  }
  ingot::bench::Run(argv[1], mebibytes);
  return 0;
}
