// SPDX-License-Identifier: BSD-3-Clause
// The workloads of large files that scripts/bench runs on each mounted filesystem.
//
// usage: backed_bench prepare DIR ROUNDS FILES ENTRIES
//        backed_bench run DIR ROUND FILES [WORKLOAD...]
// As mount_bench, with files of 256 MiB; FILES bounds how many operations of the small kind are
// timed, ENTRIES is not used. Beside the times: page faults of an operation, and by how much the
// filesystem had less room after it.
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <random>

#include "tests/bench/bench_files.h"
#include "tests/bench/timing.h"

namespace ingot::bench {
namespace {

constexpr size_t kDataBytes = 256 * kMebibyte;
constexpr size_t kNewFileBytes = 4 * kMebibyte;
constexpr size_t kNewFiles = 24;

uint64_t Faults() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_minflt) + static_cast<uint64_t>(usage.ru_majflt);
}

class Round {
 public:
  Round(const char* path, const std::string& number, size_t files)
      : root_(AT_FDCWD, path, O_RDONLY | O_DIRECTORY),
        random_(std::stoull(number)),
        operations_(files),
        work_(MakeDirectory(root_.get(), "work-" + number)) {}

  void Run(const std::vector<std::string>& wanted) {
    const std::pair<const char*, void (Round::*)(Samples&)> workloads[] = {
        {"random_read_4k", &Round::RandomRead},
        {"random_write_4k", &Round::RandomWrite},
        {"sequential_read_1m", &Round::SequentialRead},
        {"sequential_write_1m", &Round::SequentialWrite},
        {"map_read_256m", &Round::MapRead},
        {"map_store_256m", &Round::MapStore},
        {"open_close", &Round::OpenClose},
        {"create_4m", &Round::CreateByWrites},
        {"create_rdwr_4m", &Round::CreateReadWrite},
        {"append_4k", &Round::Append},
        {"o_append_4k", &Round::AppendByFlag},
        {"write_fsync_4k", &Round::WriteAndSync},
        {"small_create_4k", &Round::CreateSmall},
    };
    const char* separator = "";
    (void)std::printf("{");
    for (const auto& [name, function] : workloads) {
      const auto found = std::find(wanted.begin(), wanted.end(), name);
      if (!wanted.empty() && found == wanted.end()) continue;
      Samples samples;
      (this->*function)(samples);
      const auto count = static_cast<double>(std::max<size_t>(samples.count(), 1));
      (void)std::printf(
          "%s\n\"%s\": {%s, \"faults\": %.1f, \"space_bytes\": %.0f, \"before\": %s, \"after\": "
          "%s}",
          separator, name, samples.Json().c_str(), static_cast<double>(faults_) / count,
          static_cast<double>(space_bytes_) / count, before_.c_str(), after_.c_str());
      separator = ",";
    }
    (void)std::printf("\n}\n");
  }

 private:
  // Closes and forgets are told to the daemon behind the caller's back; they are to be over.
  void Begin() {
    usleep(20'000);
    faults_before_ = Faults();
    space_bytes_ = 0;
    free_bytes_before_ = FreeBytes();
    before_ = StatusOf(root_.get());
  }
  void End() {
    faults_ = Faults() - faults_before_;
    after_ = StatusOf(root_.get());
    space_bytes_ = free_bytes_before_ - FreeBytes();
  }
  [[nodiscard]] int64_t FreeBytes() const {
    struct statvfs status {};
    Require(fstatvfs(root_.get(), &status) == 0, "statvfs");
    return static_cast<int64_t>(status.f_bfree * status.f_frsize);
  }
  [[nodiscard]] off_t RandomPage() {
    return static_cast<off_t>(random_() % (kDataBytes / kPage) * kPage);
  }

  void RandomRead(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDONLY);
    const Buffer buffer(kPage);
    Begin();
    for (size_t i = 0; i < 4 * operations_; ++i) {
      const off_t at = RandomPage();
      samples.Time([&] { Require(pread(file.get(), buffer.get(), kPage, at) == kPage, "pread"); });
    }
    End();
  }

  void RandomWrite(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDWR);
    const Buffer buffer(kPage);
    Begin();
    for (size_t i = 0; i < 4 * operations_; ++i) {
      const off_t at = RandomPage();
      samples.Time(
          [&] { Require(pwrite(file.get(), buffer.get(), kPage, at) == kPage, "pwrite"); });
    }
    End();
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
    End();
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
    End();
  }

  // One operation maps the file, touches each of its pages and unmaps it.
  template <typename Touch>
  void Map(Samples& samples, int flags, int protection, Touch&& touch) {
    const Descriptor file(root_.get(), "data", flags);
    Begin();
    for (int i = 0; i < 3; ++i) {
      samples.Time([&] {
        void* const area = mmap(nullptr, kDataBytes, protection, MAP_SHARED, file.get(), 0);
        Require(area != MAP_FAILED, "mmap");
        auto* const bytes = static_cast<volatile char*>(area);
        for (size_t at = 0; at < kDataBytes; at += kPage) touch(bytes[at]);
        munmap(area, kDataBytes);
      });
    }
    End();
  }
  void MapRead(Samples& samples) {
    Map(samples, O_RDONLY, PROT_READ,
        [](const volatile char& byte) { [[maybe_unused]] const char got = byte; });
  }
  void MapStore(Samples& samples) {
    Map(samples, O_RDWR, PROT_READ | PROT_WRITE, [](volatile char& byte) { byte = 'm'; });
  }

  void OpenClose(Samples& samples) {
    Begin();
    for (size_t i = 0; i < operations_; ++i) {
      samples.Time([&] {
        const int fd = openat(root_.get(), "data", O_RDONLY);
        Require(fd >= 0 && close(fd) == 0, "open");
      });
    }
    End();
  }

  // Written by megabytes, to the end, closed. The files go afterwards.
  void CreateLarge(Samples& samples, int flags) {
    const Buffer buffer(kMebibyte);
    const std::vector<std::string> names = Names("n-", kNewFiles);
    const auto create = [&](const std::string& name) {
      const int fd = openat(work_.get(), name.c_str(), O_CREAT | flags, 0644);
      Require(fd >= 0, "create");
      for (size_t at = 0; at < kNewFileBytes; at += kMebibyte) {
        Require(write(fd, buffer.get(), kMebibyte) == kMebibyte, "write");
      }
      Require(close(fd) == 0, "close");
    };
    // Once before: else who comes first is timed while the kernel puts huge pages together.
    for (const std::string& name : names) create(name);
    RemoveAll(names);
    usleep(50'000);  // some filesystems give space back later
    Begin();
    for (const std::string& name : names) samples.Time([&] { create(name); });
    End();
    RemoveAll(names);
  }
  void CreateByWrites(Samples& samples) { CreateLarge(samples, O_WRONLY | O_EXCL); }
  void CreateReadWrite(Samples& samples) { CreateLarge(samples, O_RDWR); }

  // To a file that is large already, by a handle of its own.
  void AppendWith(Samples& samples, int flags) {
    const Buffer buffer(kMebibyte);
    {
      const Descriptor file(work_.get(), "log", O_CREAT | O_WRONLY | O_TRUNC);
      for (int i = 0; i < 4; ++i) {
        Require(write(file.get(), buffer.get(), kMebibyte) == kMebibyte, "write");
      }
    }
    const Descriptor file(work_.get(), "log", flags);
    Require(lseek(file.get(), 0, SEEK_END) > 0, "seek");
    Begin();
    for (size_t i = 0; i < 4 * operations_; ++i) {
      samples.Time([&] { Require(write(file.get(), buffer.get(), kPage) == kPage, "append"); });
    }
    End();
    RemoveAll({"log"});
  }
  void Append(Samples& samples) { AppendWith(samples, O_RDWR); }
  void AppendByFlag(Samples& samples) { AppendWith(samples, O_WRONLY | O_APPEND); }

  void WriteAndSync(Samples& samples) {
    const Descriptor file(root_.get(), "data", O_RDWR);
    const Buffer buffer(kPage);
    Begin();
    for (size_t i = 0; i < operations_; ++i) {
      const off_t at = RandomPage();
      samples.Time([&] {
        Require(pwrite(file.get(), buffer.get(), kPage, at) == kPage, "pwrite");
        Require(fdatasync(file.get()) == 0, "fdatasync");
      });
    }
    End();
  }

  // What the extent store is for. Few: on tmpfs of huge pages each takes 2 MiB.
  void CreateSmall(Samples& samples) {
    const Buffer buffer(kPage);
    const std::vector<std::string> names = Names("s-", std::min<size_t>(operations_, 300));
    Begin();
    for (const std::string& name : names) {
      samples.Time([&] {
        const int fd = openat(work_.get(), name.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
        Require(fd >= 0, "create");
        Require(write(fd, buffer.get(), kPage) == kPage, "write");
        Require(close(fd) == 0, "close");
      });
    }
    End();
    RemoveAll(names);
  }

  void RemoveAll(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      Require(unlinkat(work_.get(), name.c_str(), 0) == 0, "unlink");
    }
  }

  const Descriptor root_;
  std::mt19937_64 random_;
  const size_t operations_;
  const Descriptor work_;
  std::string before_ = "null", after_ = "null";
  uint64_t faults_before_ = 0, faults_ = 0;
  int64_t free_bytes_before_ = 0, space_bytes_ = 0;
};

void Prepare(const char* path) {
  const Descriptor root(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  const Buffer buffer(kMebibyte);
  const Descriptor data(root.get(), "data", O_CREAT | O_EXCL | O_WRONLY);
  for (size_t at = 0; at < kDataBytes; at += kMebibyte) {
    Require(write(data.get(), buffer.get(), kMebibyte) == kMebibyte, "write");
  }
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  namespace bench = ingot::bench;
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "prepare" && argc == 6) {
    bench::Prepare(argv[2]);
    return 0;
  }
  if (command == "run" && argc >= 5) {
    bench::Round round(argv[2], argv[3], std::stoull(argv[4]));
    round.Run({argv + 5, argv + argc});
    return 0;
  }
  (void)std::fprintf(stderr,
                     "usage: backed_bench prepare DIR ROUNDS FILES ENTRIES\n"
                     "       backed_bench run DIR ROUND FILES [WORKLOAD...]\n");
  return 2;
}
