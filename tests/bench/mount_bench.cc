// SPDX-License-Identifier: BSD-3-Clause
// The workloads that scripts/bench runs on each mounted filesystem.
//
// usage: mount_bench prepare DIR ROUNDS FILES ENTRIES
//        mount_bench run DIR ROUND FILES [WORKLOAD...]
// `prepare` makes what `run` needs; the filesystem is then mounted anew, so that no name in it has
// been looked up. Each round has names of its own. All by directory descriptors: the length of the
// path to DIR costs nothing. Prints JSON; where DIR is an ingot mount, each workload carries its
// status from just before and just after, for the requests that it took.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/bench_files.h"
#include "tests/bench/timing.h"

namespace ingot::bench {
namespace {

constexpr size_t kDataBytes = 128 * kMebibyte;
constexpr size_t kSmallFiles = 500;  // of a page each, opened and read again and again

class Round {
 public:
  Round(const char* path, const std::string& number, size_t files)
      : root_(AT_FDCWD, path, O_RDONLY | O_DIRECTORY),
        number_(number),
        random_(std::stoull(number)),
        created_(Names("c-", files)),
        renamed_(Names("r-", files)),
        covered_(Names("t-", files)),
        work_(MakeDirectory(root_.get(), "work-" + number)) {}

  void Run(const std::vector<std::string>& wanted) {
    const std::pair<const char*, void (Round::*)(Samples&)> workloads[] = {
        {"create_close", &Round::CreateClose},
        {"rename", &Round::Rename},
        {"rename_over", &Round::RenameOver},
        {"unlink", &Round::Unlink},
        {"open_read_close", &Round::OpenReadClose},
        {"stat_cold", &Round::StatCold},
        {"readdir", &Round::Readdir},
        {"random_read_4k", &Round::RandomRead},
        {"random_write_4k", &Round::RandomWrite},
        {"sequential_read_1m", &Round::SequentialRead},
        {"sequential_write_1m", &Round::SequentialWrite},
        {"memcpy_1m", &Round::Memcpy},
    };
    const char* separator = "";
    (void)std::printf("{");
    for (const auto& [name, function] : workloads) {
      const auto found = std::find(wanted.begin(), wanted.end(), name);
      if (!wanted.empty() && found == wanted.end()) continue;
      Samples samples;
      before_ = "null";
      (this->*function)(samples);
      const std::string after = StatusOf(root_.get());
      (void)std::printf("%s\n\"%s\": {%s, \"before\": %s, \"after\": %s}", separator, name,
                        samples.Json().c_str(), before_.c_str(), after.c_str());
      separator = ",";
    }
    (void)std::printf("\n}\n");
  }

 private:
  // Closes and forgets are told to the daemon behind the caller's back; they are to be over.
  void Begin() {
    usleep(20'000);
    before_ = StatusOf(root_.get());
  }
  [[nodiscard]] off_t RandomPage() {
    return static_cast<off_t>(random_() % (kDataBytes / kPage) * kPage);
  }

  void CreateClose(Samples& samples) {
    Begin();
    for (const std::string& name : created_) {
      samples.Time([&] {
        const int fd = openat(work_.get(), name.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
        Require(fd >= 0 && close(fd) == 0, "create");
      });
    }
  }

  // The files of CreateClose, if that has run.
  void EnsureCreated(const std::vector<std::string>& names) {
    struct stat status {};
    if (fstatat(work_.get(), names[0].c_str(), &status, 0) == 0) return;
    CreateAll(work_.get(), names, 0);
  }

  // To a name that the kernel can't know to be free: it has to look first.
  void Rename(Samples& samples) {
    EnsureCreated(created_);
    Begin();
    for (size_t i = 0; i < created_.size(); ++i) {
      samples.Time([&] {
        Require(renameat(work_.get(), created_[i].c_str(), work_.get(), renamed_[i].c_str()) == 0,
                "rename");
      });
    }
  }

  // Over a file that is there and known, as programs that replace a file do.
  void RenameOver(Samples& samples) {
    EnsureCreated(renamed_);
    CreateAll(work_.get(), covered_, 0);
    Begin();
    for (size_t i = 0; i < renamed_.size(); ++i) {
      samples.Time([&] {
        Require(renameat(work_.get(), renamed_[i].c_str(), work_.get(), covered_[i].c_str()) == 0,
                "rename over");
      });
    }
  }

  void Unlink(Samples& samples) {
    EnsureCreated(covered_);
    Begin();
    for (const std::string& name : covered_) {
      samples.Time([&] { Require(unlinkat(work_.get(), name.c_str(), 0) == 0, "unlink"); });
    }
  }

  void OpenReadClose(Samples& samples) {
    const Descriptor directory(root_.get(), "small", O_RDONLY | O_DIRECTORY);
    const std::vector<std::string> names = Names("s-", kSmallFiles);
    const Buffer buffer(kPage);
    struct stat status {};
    for (const std::string& name : names) {
      Require(fstatat(directory.get(), name.c_str(), &status, 0) == 0, "stat");
    }
    Begin();
    for (size_t i = 0; i < 4 * kSmallFiles; ++i) {
      samples.Time([&] {
        const int fd = openat(directory.get(), names[i % kSmallFiles].c_str(), O_RDONLY);
        Require(fd >= 0, "open");
        Require(read(fd, buffer.get(), kPage) == kPage, "read");
        Require(close(fd) == 0, "close");
      });
    }
  }

  void StatCold(Samples& samples) {
    const Descriptor directory(root_.get(), "cold-" + number_, O_RDONLY | O_DIRECTORY);
    const std::vector<std::string> names = Names("f-", created_.size());
    struct stat status {};
    Begin();
    for (const std::string& name : names) {
      samples.Time(
          [&] { Require(fstatat(directory.get(), name.c_str(), &status, 0) == 0, "stat"); });
    }
  }

  // One operation is the whole listing. A change before each drops what the kernel has kept of it.
  void Readdir(Samples& samples) {
    const Descriptor directory(root_.get(), "many", O_RDONLY | O_DIRECTORY);
    Begin();
    for (int i = 0; i < 3; ++i) {
      CreateAll(directory.get(), {"change"}, 0);
      Require(unlinkat(directory.get(), "change", 0) == 0, "unlink");
      samples.Time([&] {
        DIR* listing = fdopendir(openat(directory.get(), ".", O_RDONLY | O_DIRECTORY));
        Require(listing != nullptr, "opendir");
        size_t entries = 0;
        while (readdir(listing) != nullptr) ++entries;
        Require(closedir(listing) == 0 && entries > 2, "readdir");
      });
    }
  }

  void RandomRead(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDONLY);
    const Buffer buffer(kPage);
    Begin();
    for (int i = 0; i < 4000; ++i) {
      const off_t at = RandomPage();
      samples.Time([&] { Require(pread(file.get(), buffer.get(), kPage, at) == kPage, "pread"); });
    }
  }

  void RandomWrite(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDWR);
    const Buffer buffer(kPage);
    Begin();
    for (int i = 0; i < 4000; ++i) {
      const off_t at = RandomPage();
      samples.Time(
          [&] { Require(pwrite(file.get(), buffer.get(), kPage, at) == kPage, "pwrite"); });
    }
  }

  void SequentialRead(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDONLY);
    const Buffer buffer(kMebibyte);
    Begin();
    for (size_t at = 0; at < kDataBytes; at += kMebibyte) {
      samples.Time([&] {
        Require(pread(file.get(), buffer.get(), kMebibyte, static_cast<off_t>(at)) == kMebibyte,
                "pread");
      });
    }
  }

  void SequentialWrite(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDWR);
    const Buffer buffer(kMebibyte);
    Begin();
    for (size_t at = 0; at < kDataBytes; at += kMebibyte) {
      samples.Time([&] {
        Require(pwrite(file.get(), buffer.get(), kMebibyte, static_cast<off_t>(at)) == kMebibyte,
                "pwrite");
      });
    }
  }

  // The bound: as many bytes from as large a source, in this process.
  void Memcpy(Samples& samples) {
    const Buffer from(kDataBytes);
    const Buffer to(kMebibyte);
    for (size_t at = 0; at < kDataBytes; at += kMebibyte) {
      samples.Time([&] {
        std::memcpy(to.get(), from.get() + at, kMebibyte);
        asm volatile("" : : "r"(to.get()) : "memory");
      });
    }
  }

  const Descriptor root_;
  const std::string number_;
  std::mt19937_64 random_;
  const std::vector<std::string> created_, renamed_, covered_;
  const Descriptor work_;
  std::string before_;
};

void Prepare(const char* path, size_t rounds, size_t files, size_t entries) {
  const Descriptor root(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  const Buffer buffer(kMebibyte);
  const Descriptor data(root.get(), "data", O_CREAT | O_EXCL | O_WRONLY);
  for (size_t at = 0; at < kDataBytes; at += kMebibyte) {
    Require(write(data.get(), buffer.get(), kMebibyte) == kMebibyte, "write");
  }
  CreateAll(MakeDirectory(root.get(), "small").get(), Names("s-", kSmallFiles), kPage);
  CreateAll(MakeDirectory(root.get(), "many").get(), Names("m-", entries), 0);
  for (size_t round = 0; round < rounds; ++round) {
    const Descriptor directory = MakeDirectory(root.get(), "cold-" + std::to_string(round));
    CreateAll(directory.get(), Names("f-", files), 0);
  }
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  namespace bench = ingot::bench;
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "prepare" && argc == 6) {
    bench::Prepare(argv[2], std::stoull(argv[3]), std::stoull(argv[4]), std::stoull(argv[5]));
    return 0;
  }
  if (command == "run" && argc >= 5) {
    bench::Round round(argv[2], argv[3], std::stoull(argv[4]));
    round.Run({argv + 5, argv + argc});
    return 0;
  }
  (void)std::fprintf(stderr,
                     "usage: mount_bench prepare DIR ROUNDS FILES ENTRIES\n"
                     "       mount_bench run DIR ROUND FILES [WORKLOAD...]\n");
  return 2;
}
