// SPDX-License-Identifier: BSD-3-Clause
// A million files, made by eight processes at once, and looked at again.
//
// usage: million_files_test create|verify DIRECTORY. Process p makes DIRECTORY/p/d/f for d below
// 125 and f below 1000; every tenth file holds its own path. verify lists every directory, counts,
// and opens every 97th file.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace {

constexpr int kProcesses = 8;
constexpr int kDirectories = 125;
constexpr int kFiles = 1000;

bool Failed(std::string_view what, const std::string& path) {
  fmt::print(stderr, "FAILED: {} '{}': {}\n", what, path, std::strerror(errno));
  return false;
}

bool HasContent(int file) {
  return file % 10 == 0;
}

bool CreateFile(const std::string& path, int file) {
  // One round trip without, three with contents.
  if (!HasContent(file)) {
    return mknod(path.c_str(), S_IFREG | 0644, 0) == 0 || Failed("mknod", path);
  }
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return Failed("create", path);
  const bool is_written = write(fd, path.data(), path.size()) == static_cast<ssize_t>(path.size());
  close(fd);
  return is_written || Failed("write", path);
}

bool Create(const std::string& top) {
  if (mkdir(top.c_str(), 0755) != 0) return Failed("mkdir", top);
  for (int d = 0; d < kDirectories; ++d) {
    const std::string directory = fmt::format("{}/{}", top, d);
    if (mkdir(directory.c_str(), 0755) != 0) return Failed("mkdir", directory);
    for (int f = 0; f < kFiles; ++f) {
      if (!CreateFile(fmt::format("{}/{}", directory, f), f)) return false;
    }
  }
  return true;
}

bool CheckFile(const std::string& path, int file) {
  std::array<char, 4096> content;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("open", path);
  const ssize_t got = read(fd, content.data(), content.size());
  close(fd);
  const std::string expected = HasContent(file) ? path : "";
  if (got >= 0 && std::string_view(content.data(), static_cast<size_t>(got)) == expected) {
    return true;
  }
  return Failed("content of", path);
}

// Each name once: the sum of numbers and of their squares tell.
bool CheckDirectory(const std::string& directory) {
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return Failed("opendir", directory);
  int64_t count = 0;
  int64_t sum = 0;
  int64_t squares = 0;
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    const int64_t number = std::strtoll(entry->d_name, nullptr, 10);
    ++count;
    sum += number;
    squares += number * number;
  }
  closedir(stream);
  constexpr int64_t n = kFiles;
  const bool is_right =
      count == n && sum == n * (n - 1) / 2 && squares == (n - 1) * n * (2 * n - 1) / 6;
  if (!is_right) fmt::print(stderr, "FAILED: {} entries in '{}'\n", count, directory);
  return is_right;
}

bool Verify(const std::string& top) {
  int number = 0;
  for (int d = 0; d < kDirectories; ++d) {
    const std::string directory = fmt::format("{}/{}", top, d);
    if (!CheckDirectory(directory)) return false;
    for (int f = 0; f < kFiles; ++f) {
      if (number++ % 97 == 0 && !CheckFile(fmt::format("{}/{}", directory, f), f)) return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[1] : "";
  if (mode != "create" && mode != "verify") {
    fmt::print(stderr, "usage: million_files_test create|verify DIRECTORY\n");
    return 2;
  }
  for (int p = 0; p < kProcesses; ++p) {
    if (fork() != 0) continue;
    const std::string top = fmt::format("{}/{}", argv[2], p);
    _exit((mode == "create" ? Create(top) : Verify(top)) ? 0 : 1);
  }
  bool is_well = true;
  int status = 0;
  while (wait(&status) > 0) is_well = is_well && status == 0;
  return is_well ? 0 : 1;
}
