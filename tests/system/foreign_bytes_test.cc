// SPDX-License-Identifier: BSD-3-Clause
// Readers of files whose space others free, give out again and fill at the same time.
//
// Every byte of file N is N or zero. Writers truncate, punch, unlink, create and fill, so that
// pages change owners all the time in a nearly full pool; a reader that meets any other byte has
// seen somebody else's data. Then two files take turns in the last free mebibyte of the pool, under
// readers whose replies take as long as can be. usage: foreign_bytes_test DIRECTORY OPERATIONS
// FILL_MIB TURNS (0: without the last part, where the last mebibyte isn't one that files share)
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kFiles = 24;
constexpr int kWriters = 3;
constexpr int kReaders = 3;
constexpr size_t kLargestBytes = size_t{5} << 20;
// Not multiples of anything: requests begin and end anywhere.
constexpr size_t kChunkBytes = 200'003;

std::string g_directory;
std::atomic<bool> g_failed{false};
std::atomic<bool> g_done{false};
std::atomic<uint64_t> g_bytes_read{0};
std::atomic<uint64_t> g_full{0};

std::string PathOf(int file) {
  return fmt::format("{}/f{}", g_directory, file);
}
unsigned char PatternOf(int file) {
  return static_cast<unsigned char>(file + 1);
}

void Fail(const std::string& what) {
  fmt::print(stderr, "FAILED: {}\n", what);
  g_failed = true;
}

void FailCall(const char* call, int file) {
  const int code = errno;
  if (code == ENOSPC) {
    ++g_full;
    return;
  }
  Fail(fmt::format("{} of file {}: {}", call, file, std::strerror(code)));
}

// Whether all bytes are the file's own.
void CheckBytes(const unsigned char* bytes, size_t size, int file, uint64_t offset,
                const char* how) {
  const unsigned char own = PatternOf(file);
  const auto* foreign =
      std::find_if(bytes, bytes + size, [&](unsigned char b) { return b != own && b != 0; });
  if (foreign == bytes + size) return;
  Fail(fmt::format("{}: byte {} of file {} is {}, wants {} or 0", how,
                   offset + static_cast<uint64_t>(foreign - bytes), file, *foreign, own));
}

void Step(int fd, int file, std::mt19937_64& random, const std::vector<unsigned char>& pattern) {
  const uint64_t offset = random() % kLargestBytes;
  const uint64_t size = random() % 3 == 0 ? random() % kChunkBytes : random() % 9000;
  switch (random() % 8) {
    case 0:
      if (ftruncate(fd, 0) != 0) FailCall("ftruncate", file);
      break;
    case 1:
      if (ftruncate(fd, static_cast<off_t>(offset)) != 0) FailCall("ftruncate", file);
      break;
    case 2:
      if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(size + 1)) != 0) {
        FailCall("punch", file);
      }
      break;
    case 3:
      if (fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(size + 1)) != 0) {
        FailCall("fallocate", file);
      }
      break;
    default:
      if (pwrite(fd, pattern.data(), size, static_cast<off_t>(offset)) < 0) FailCall("write", file);
  }
}

void Write(int writer, uint64_t operations) {
  std::mt19937_64 random(static_cast<uint64_t>(writer));
  for (uint64_t i = 0; i < operations && !g_failed; ++i) {
    // Each file has one writer, so that its bytes are its own by construction.
    const int file = static_cast<int>(random() % (kFiles / kWriters)) * kWriters + writer;
    const std::vector<unsigned char> pattern(kChunkBytes, PatternOf(file));
    if (random() % 20 == 0) unlink(PathOf(file).c_str());
    const int fd = open(PathOf(file).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0) {
      FailCall("open", file);
      continue;
    }
    for (int step = 0; step < 4; ++step) Step(fd, file, random, pattern);
    close(fd);
  }
}

// The file may be unlinked by now, and its space another's: not while this handle is open.
void ReadFile(int fd, int file, std::mt19937_64& random, std::vector<unsigned char>& buffer) {
  struct stat status;
  if (fstat(fd, &status) != 0) return FailCall("fstat", file);
  const auto end = static_cast<uint64_t>(status.st_size);
  for (int i = 0; i < 6; ++i) {
    const uint64_t offset = end == 0 ? 0 : random() % end;
    const size_t size = random() % 2 == 0 ? buffer.size() : random() % 10'000;
    const ssize_t got = pread(fd, buffer.data(), size, static_cast<off_t>(offset));
    if (got < 0) return FailCall("read", file);
    CheckBytes(buffer.data(), static_cast<size_t>(got), file, offset, "read");
    g_bytes_read += static_cast<uint64_t>(got);
  }
}

void Read(int reader) {
  std::mt19937_64 random(1000 + static_cast<uint64_t>(reader));
  std::vector<unsigned char> buffer(size_t{1} << 20);
  while (!g_done && !g_failed) {
    const int file = static_cast<int>(random() % kFiles);
    const int fd = open(PathOf(file).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      if (errno != ENOENT) FailCall("open for reading", file);
      continue;
    }
    ReadFile(fd, file, random, buffer);
    close(fd);
  }
}

// Little stays free, so that what one gives back is at once another's.
void Fill(uint64_t mebibytes) {
  const std::vector<unsigned char> filler(size_t{1} << 20, 0xEE);
  const int fd = open((g_directory + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  for (uint64_t i = 0; i < mebibytes; ++i) {
    if (write(fd, filler.data(), filler.size()) != static_cast<ssize_t>(filler.size())) {
      Fail(fmt::format("filling: {}", std::strerror(errno)));
      break;
    }
  }
  close(fd);
}

// Takes all space but about `spare_bytes`, whatever was free before.
void FillUp(off_t spare_bytes) {
  const std::vector<unsigned char> filler(size_t{1} << 20, 0xDD);
  const int fd = open((g_directory + "/rest").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  off_t end = 0;
  for (size_t size = filler.size(); size >= 4096; size /= 2) {
    ssize_t put = 0;
    while ((put = pwrite(fd, filler.data(), size, end)) > 0) end += put;
  }
  if (ftruncate(fd, std::max<off_t>(end - spare_bytes, 0)) != 0) FailCall("ftruncate", 0);
  close(fd);
}

// Each of the two files is written into the space that the other has just given back.
void TakeTurns(uint64_t rounds) {
  constexpr size_t kBytes = size_t{1020} << 10;  // a whole page for larger ones is kept in advance
  const std::vector<std::vector<unsigned char>> patterns = {
      std::vector<unsigned char>(kBytes, PatternOf(0)),
      std::vector<unsigned char>(kBytes, PatternOf(1))};
  for (uint64_t i = 0; i < rounds && !g_failed; ++i) {
    const int file = static_cast<int>(i % 2);
    const std::vector<unsigned char>& pattern = patterns[static_cast<size_t>(file)];
    if (truncate(PathOf(1 - file).c_str(), 0) != 0) FailCall("truncate", 1 - file);
    const int fd = open(PathOf(file).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (pwrite(fd, pattern.data(), pattern.size(), 0) < 0) FailCall("write", file);
    close(fd);
  }
}

void ReadInTurns(const std::atomic<bool>& done, int file) {
  std::vector<unsigned char> buffer(size_t{1} << 20);
  const int fd = open(PathOf(file).c_str(), O_RDONLY | O_CLOEXEC);
  while (!done && !g_failed) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), 0);
    if (got < 0) return FailCall("read", file);
    CheckBytes(buffer.data(), static_cast<size_t>(got), file, 0, "read in turns");
  }
  close(fd);
}

// Wakes up all the time, so that a daemon of lower priority is interrupted anywhere, also between
// having found out where a reply's bytes lie and having sent them.
void Disturb(const std::atomic<bool>& done) {
  while (!done) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
    while (std::chrono::steady_clock::now() < until) {
    }
    usleep(20);
  }
}

void ShareTheLastMebibyte(uint64_t rounds) {
  for (int file = 0; file < kFiles; ++file) unlink(PathOf(file).c_str());
  for (int file = 0; file < 2; ++file) {
    close(open(PathOf(file).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  }
  FillUp(off_t{1200} << 10);
  g_full = 0;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) readers.emplace_back([&done, i] { ReadInTurns(done, i % 2); });
  for (int i = 0; i < 2; ++i) readers.emplace_back([&done] { Disturb(done); });
  TakeTurns(rounds);
  done = true;
  for (std::thread& reader : readers) reader.join();
  // Most writes must have found room, or nothing was given from one to the other.
  if (g_full > rounds / 2) {
    Fail(fmt::format("{} of {} turns met a full pool", g_full.load(), rounds));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: foreign_bytes_test DIRECTORY OPERATIONS FILL_MIB TURNS\n");
    return 2;
  }
  g_directory = argv[1];
  const uint64_t operations = std::strtoull(argv[2], nullptr, 10);
  Fill(std::strtoull(argv[3], nullptr, 10));

  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) readers.emplace_back(Read, i);
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) writers.emplace_back(Write, i, operations);
  for (std::thread& writer : writers) writer.join();
  g_done = true;
  for (std::thread& reader : readers) reader.join();

  fmt::print("{} MiB read while {} operations changed the files, {} met a full pool\n",
             g_bytes_read >> 20, kWriters * operations * 4, g_full.load());
  if (g_bytes_read < operations * 1000) Fail("hardly anything was read");
  if (std::atoi(argv[4]) != 0) ShareTheLastMebibyte(operations * 4);
  return g_failed ? 1 : 0;
}
