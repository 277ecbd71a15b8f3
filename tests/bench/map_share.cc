// SPDX-License-Identifier: BSD-3-Clause
// How files are mapped: touches each page of each file through a shared mapping, and prints, as
// JSON, how many page faults and how long that took, and how much the kernel maps by 2 MiB entries.
// Only whole 2 MiB pages of a file are looked at.
// usage: map_share [--store] FILE...      (--store: the first touch is a store; else a load)
//        map_share [--store] -            names from standard input, one a line
#include <sys/stat.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "tests/system/mapped_file.h"

namespace ingot::tests {
namespace {

struct Sums {
  uint64_t files = 0, bytes = 0, huge_bytes = 0, faults = 0;
  std::chrono::nanoseconds touch{};
};

// False, and said why: the file can't be opened or mapped.
bool Look(const std::string& path, bool store, Sums& sums) {
  const Descriptor file(path, store ? O_RDWR : O_RDONLY);
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    std::fprintf(stderr, "map_share: %s: %s\n", path.c_str(), std::strerror(errno));
    return false;
  }
  const uint64_t size = static_cast<uint64_t>(status.st_size) / kHugePage * kHugePage;
  if (size == 0) return true;
  const Map map(file.get(), size, store ? PROT_READ | PROT_WRITE : PROT_READ);
  if (map.data() == nullptr) {
    std::fprintf(stderr, "map_share: %s: mmap: %s\n", path.c_str(), std::strerror(map.code()));
    return false;
  }
  const uint64_t before = PageFaults();
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t at = 0; at < size; at += kSmallPage) {
    if (store) {
      map.at()[at] = 's';
    } else {
      (void)map.at()[at];
    }
  }
  sums.touch += std::chrono::steady_clock::now() - start;
  sums.faults += PageFaults() - before;
  sums.huge_bytes += map.PmdMappedBytes();
  sums.bytes += size;
  ++sums.files;
  return true;
}

int Main(std::vector<std::string> words) {
  bool store = false;
  if (!words.empty() && words.front() == "--store") {
    store = true;
    words.erase(words.begin());
  }
  if (words == std::vector<std::string>{"-"}) {
    words.clear();
    for (std::string line; std::getline(std::cin, line);) words.push_back(line);
  }
  Sums sums;
  for (const std::string& path : words) {
    if (!Look(path, store, sums)) return 1;
  }
  std::printf("{\"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"huge_bytes\": %" PRIu64
              ", \"faults\": %" PRIu64 ", \"touch_ns\": %" PRId64 "}\n",
              sums.files, sums.bytes, sums.huge_bytes, sums.faults,
              static_cast<int64_t>(sums.touch.count()));
  return 0;
}

}  // namespace
}  // namespace ingot::tests

int main(int argc, char** argv) {
  return ingot::tests::Main({argv + 1, argv + argc});
}
