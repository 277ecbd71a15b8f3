// SPDX-License-Identifier: BSD-3-Clause
// Opens of all kinds at once, while the file crosses 1 MiB both ways; a log truncated under its
// writer.
//
// No open, read or write may fail, whatever mode the file's other handles have. usage: opens_test
// DIRECTORY ROUNDS CACHED (0 or 1: whether reads may come from the page cache)
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr off_t kMiB = off_t{1} << 20;
constexpr std::array kFlags = {O_RDONLY,
                               O_WRONLY,
                               O_RDWR,
                               O_RDWR | O_TRUNC,
                               O_WRONLY | O_TRUNC,
                               O_RDONLY | O_TRUNC,
                               O_WRONLY | O_APPEND,
                               O_RDWR | O_APPEND,
                               O_WRONLY | O_APPEND | O_TRUNC,
                               O_RDWR | O_CREAT,
                               O_RDONLY | O_DIRECT,
                               O_RDWR | O_SYNC};

std::atomic<bool> g_failed{false};
std::atomic<uint64_t> g_calls{0};

// False, and the test fails, if the call did.
bool Passed(int64_t result, const char* call, int flags) {
  ++g_calls;
  if (result >= 0) return true;
  fmt::print(stderr, "FAILED: {} with flags {:#o}: {}\n", call, flags, std::strerror(errno));
  g_failed = true;
  return false;
}

void UseMapping(int fd, int flags, std::mt19937_64& random) {
  // Only mapped, not touched: another thread may truncate the file at any time.
  const int protection = (flags & O_ACCMODE) == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ;
  const size_t size = 4096 * (1 + random() % 300);
  void* at = mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (Passed(at == MAP_FAILED ? -1 : 0, "mmap", flags)) munmap(at, size);
}

void UseHandle(int fd, int flags, std::mt19937_64& random, char* buffer) {
  const int access = flags & O_ACCMODE;
  const auto offset = static_cast<off_t>(random() % 3) * kMiB / 2;
  // O_DIRECT may insist on alignment.
  const size_t size = (flags & O_DIRECT) != 0 ? 65536 : 1 + random() % 70'000;
  for (int i = 0; i < 3; ++i) {
    if (access != O_WRONLY) Passed(pread(fd, buffer, size, offset), "read", flags);
    if (access != O_RDONLY) Passed(pwrite(fd, buffer, size, offset), "write", flags);
  }
  if (access != O_RDONLY && random() % 3 == 0) {
    const off_t to = kMiB + static_cast<off_t>(random() % 9) * 4096 - 4 * 4096;
    Passed(ftruncate(fd, random() % 2 == 0 ? to : kMiB / 2), "ftruncate", flags);
  }
  if (access != O_WRONLY && random() % 4 == 0) UseMapping(fd, flags, random);
}

void OpenAndUse(const std::string& path, uint64_t seed, int rounds) {
  std::mt19937_64 random(seed);
  // Aligned, for O_DIRECT.
  const std::unique_ptr<char, decltype(&std::free)> buffer(
      static_cast<char*>(std::aligned_alloc(4096, 1 << 17)), std::free);
  std::memset(buffer.get(), 'x', 1 << 17);
  for (int round = 0; round < rounds && !g_failed; ++round) {
    const int flags = kFlags[random() % kFlags.size()] | O_CLOEXEC;
    const int fd = open(path.c_str(), flags, 0644);
    if (!Passed(fd, "open", flags)) return;
    UseHandle(fd, flags, random, buffer.get());
    Passed(close(fd), "close", flags);
  }
}

void CrossOneMebibyte(const std::string& path, int rounds) {
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 12; ++seed) threads.emplace_back(OpenAndUse, path, seed, rounds);
  for (std::thread& thread : threads) thread.join();
}

// False, and the test fails, if there is a zero byte in the log.
bool LogIsClean(const std::string& path) {
  std::vector<char> buffer(size_t{4} << 20);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (!Passed(fd, "open log", O_RDONLY)) return false;
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  close(fd);
  if (!Passed(got, "read log", O_RDONLY)) return false;
  if (std::memchr(buffer.data(), 0, static_cast<size_t>(got)) == nullptr) return true;
  fmt::print(stderr, "FAILED: a zero byte in the log, {} bytes long\n", got);
  g_failed = true;
  return false;
}

// `: >log` again and again under appending loggers, which hold their handles.
void TruncateLog(const std::string& path, int rounds, bool cached) {
  std::atomic<bool> done{false};
  close(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  std::vector<std::thread> threads;
  for (int logger = 0; logger < 3; ++logger) {
    threads.emplace_back([&path, &done, logger] {
      const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
      if (!Passed(fd, "open logger", O_APPEND)) return;
      // Long lines: the log passes 1 MiB between two truncations.
      const std::string line(static_cast<size_t>(997 + logger * 30'000), 'l');
      while (!done && !g_failed) Passed(write(fd, line.data(), line.size()), "append", O_APPEND);
      close(fd);
    });
  }
  // A read through the page cache may meet the zeros behind a page's end while the file is
  // truncated and grows (filemap_read says so); they must not stay.
  threads.emplace_back([&] {
    while (!cached && !done && !g_failed) LogIsClean(path);
  });
  for (int round = 0; round < rounds && !g_failed; ++round) {
    const int fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (Passed(fd, "truncate log", O_TRUNC)) close(fd);
    usleep(static_cast<useconds_t>(round % 16) * 1000);
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  LogIsClean(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: opens_test DIRECTORY ROUNDS CACHED\n");
    return 2;
  }
  const std::string directory = argv[1];
  const int rounds = std::atoi(argv[2]);
  const std::string path = directory + "/crossing";
  close(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  CrossOneMebibyte(path, rounds);
  TruncateLog(directory + "/log", rounds, std::atoi(argv[3]) != 0);
  fmt::print("{} calls\n", g_calls.load());
  return g_failed ? 1 : 0;
}
