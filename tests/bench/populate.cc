// SPDX-License-Identifier: BSD-3-Clause
// Makes a sparse pool with many small files, through fs/core, because a mount would take long.
//
// usage: bench_populate POOL SIZE_GIB FILES
// A thousand files a directory, each of 100 bytes. Prints what it took, as JSON.
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/bench/bench_pool.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kFilesPerDirectory = 1000;

void Populate(Volume& volume, uint64_t files) {
  const std::vector<std::byte> contents(100, std::byte{'x'});
  InodeNumber directory;
  for (uint64_t i = 0; i < files; ++i) {
    if (i % kFilesPerDirectory == 0) {
      directory =
          MakeDirectory(volume, Volume::kRoot, "dir-" + std::to_string(i / kFilesPerDirectory));
    }
    const InodeNumber file = MakeFile(volume, directory, FileName(i % kFilesPerDirectory));
    (void)Require(volume.data().Write(file, 0, contents, {}));
  }
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  using std::chrono::steady_clock;
  namespace bench = ingot::bench;
  if (argc != 4) bench::Fail("usage: bench_populate POOL SIZE_GIB FILES");
  const uint64_t size_bytes = std::stoull(argv[2]) << 30;
  const uint64_t files = std::stoull(argv[3]);
  const auto start = steady_clock::now();
  {
    const std::unique_ptr<ingot::Volume> volume = bench::MakeVolume(argv[1], size_bytes);
    const auto made = steady_clock::now();
    bench::Populate(*volume, files);
    const auto seconds = [](auto duration) {
      return std::chrono::duration<double>(duration).count();
    };
    (void)std::printf("{\"mkfs_s\": %.6f, \"populate_s\": %.6f, \"files\": %lu}\n",
                      seconds(made - start), seconds(steady_clock::now() - made), files);
  }
  return 0;
}
