// SPDX-License-Identifier: BSD-3-Clause
// What an operation costs as things grow, through fs/core, on pools whose stores stay in memory.
//
// usage: scale_curve files POOL MOST       of 10^3, 10^4 ... MOST files, 1000 a directory (64 GiB)
//        scale_curve directory POOL MOST   all of them in one directory
//        scale_curve size POOL GIB         of a pool so large, of 1000 files; and opening it
//        scale_curve full POOL             of an empty pool (16 GiB), and of one that is 95 % full
//        scale_curve threads POOL          of 1, 2, 4, 8, 16 threads, each in its own directory
// A JSON object a line: "at", and medians of 1000 operations in ns; of threads operations a second.
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/bench_pool.h"
#include "tests/bench/timing.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kSamples = 1000;
constexpr uint64_t kFilesPerDirectory = 1000;

// Files in directories of `per_directory`.
class Tree {
 public:
  Tree(Volume& volume, uint64_t per_directory) : volume_(volume), per_directory_(per_directory) {}

  void GrowTo(uint64_t files) {
    for (; files_ < files; ++files_) {
      if (files_ % per_directory_ == 0) {
        directories_.push_back(
            MakeDirectory(volume_, Volume::kRoot, "dir-" + std::to_string(directories_.size())));
      }
      MakeFile(volume_, directories_.back(), FileName(files_));
    }
  }

  // Prints the medians; leaves as many files as there were.
  void Measure(const char* at_what, uint64_t at) {
    Samples lookup, create, append, unlink;
    const std::vector<std::byte> bytes(4096, std::byte{'x'});
    for (uint64_t i = 0; i < kSamples; ++i) {
      const uint64_t file = random_() % files_;
      const InodeNumber directory = directories_[file / per_directory_];
      lookup.Time([&] {
        const InodeNumber found = Require(volume_.names().Lookup(directory, FileName(file))).inode;
        volume_.names().Forget(found, 1);
      });
      const std::string name = "new-" + std::to_string(i);
      InodeNumber made;
      create.Time([&] { made = MakeFile(volume_, directory, name); });
      append.Time([&] { (void)Require(volume_.data().Write(made, 0, bytes, {})); });
      unlink.Time([&] { Require(volume_.names().Unlink(directory, name)); });
    }
    std::printf(
        "{\"%s\": %lu, \"lookup\": {%s}, \"create\": {%s}, \"append_4k\": {%s}, "
        "\"unlink\": {%s}}\n",
        at_what, at, lookup.Json().c_str(), create.Json().c_str(), append.Json().c_str(),
        unlink.Json().c_str());
    (void)std::fflush(stdout);
  }

 private:
  Volume& volume_;
  const uint64_t per_directory_;
  uint64_t files_ = 0;
  std::vector<InodeNumber> directories_;
  std::mt19937_64 random_{1};
};

void Grow(const std::string& pool, uint64_t most, uint64_t per_directory) {
  const auto volume = MakePrivateVolume(pool, uint64_t{64} << 30);
  Tree tree(*volume, per_directory);
  for (uint64_t files = 1000; files <= most; files *= 10) {
    tree.GrowTo(files);
    tree.Measure("at", files);
  }
}

void Size(const std::string& pool, uint64_t gibibytes) {
  using std::chrono::steady_clock;
  const auto start = steady_clock::now();
  const auto volume = MakePrivateVolume(pool, gibibytes << 30);
  const std::chrono::duration<double, std::milli> taken = steady_clock::now() - start;
  std::fprintf(stderr, "scale_curve: %lu GiB made and opened in %.1f ms\n", gibibytes,
               taken.count());
  Tree tree(*volume, kFilesPerDirectory);
  tree.GrowTo(1000);
  tree.Measure("at", gibibytes);
}

void Full(const std::string& pool) {
  const auto volume = MakePrivateVolume(pool, uint64_t{16} << 30);
  Tree tree(*volume, kFilesPerDirectory);
  tree.GrowTo(1000);
  tree.Measure("at", 0);
  const InodeNumber large = MakeFile(*volume, Volume::kRoot, "large");
  const uint64_t most = volume->Statistics().total_bytes / 100 * 95;
  const uint64_t used = volume->Statistics().total_bytes - volume->Statistics().free_bytes;
  Require(volume->data().Fallocate(large, 0, 0, most - used));
  tree.Measure("at", 95);
}

void Threads(const std::string& pool) {
  const auto volume = MakePrivateVolume(pool, uint64_t{64} << 30);
  constexpr uint64_t kEach = 4000;
  for (uint64_t count = 1; count <= 16; count *= 2) {
    std::vector<InodeNumber> directories;
    for (uint64_t i = 0; i < count; ++i) {
      directories.push_back(
          MakeDirectory(*volume, Volume::kRoot, std::to_string(count) + "-" + std::to_string(i)));
    }
    const auto start = std::chrono::steady_clock::now();
    {
      std::vector<std::jthread> threads;
      for (const InodeNumber directory : directories) {
        threads.emplace_back([&volume, directory] { Fill(*volume, directory, kEach); });
      }
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    std::printf("{\"at\": %lu, \"creates_per_second\": %.0f}\n", count,
                static_cast<double>(kEach * count) / taken.count());
    (void)std::fflush(stdout);
  }
}

int Main(const std::vector<std::string>& words) {
  const std::string command = words.empty() ? "" : words[0];
  if (words.size() == 3 && command == "files") {
    Grow(words[1], std::stoull(words[2]), kFilesPerDirectory);
  } else if (words.size() == 3 && command == "directory") {
    Grow(words[1], std::stoull(words[2]), std::stoull(words[2]));
  } else if (words.size() == 3 && command == "size") {
    Size(words[1], std::stoull(words[2]));
  } else if (words.size() == 2 && command == "full") {
    Full(words[1]);
  } else if (words.size() == 2 && command == "threads") {
    Threads(words[1]);
  } else {
    Fail("usage: scale_curve files|directory|size POOL N, or full|threads POOL");
  }
  return 0;
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  return ingot::bench::Main({argv + 1, argv + argc});
}
