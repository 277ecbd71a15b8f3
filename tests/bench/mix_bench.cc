// SPDX-License-Identifier: BSD-3-Clause
// Many small files, and the mixes of a mail server and a file server, as Filebench shapes them.
//
// usage: mix_bench files DIR COUNT
//          COUNT empty files in 100 directories: create, stat, list, unlink. The time of a file.
//        mix_bench varmail|fileserver DIR FILES LOOPS
//          kThreads threads share FILES files; each goes LOOPS / kThreads times through the loop of
//          its mix (see Worker). The time of a loop over all: the run's time / LOOPS.
// DIR is there and empty. Prints nanoseconds as JSON. Sizes follow a gamma distribution of shape
// 1.5; the seed is fixed, so that each filesystem gets the same requests. fsync is Filebench's,
// too.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/bench_files.h"

namespace ingot::bench {
namespace {

constexpr unsigned kThreads = 4;
constexpr size_t kAppendBytes = 16 << 10;  // on average, both mixes
constexpr double kGammaShape = 1.5;
constexpr size_t kLargestFile = 8 * kMebibyte;
constexpr size_t kDirectories = 100;  // of `files`

struct Mix {
  const char* name;
  size_t mean_bytes;
  size_t files_a_directory;
};
constexpr Mix kVarmail{"varmail", 16 << 10, SIZE_MAX};
constexpr Mix kFileserver{"fileserver", 128 << 10, 20};

using Time = std::chrono::steady_clock;
double NanosecondsSince(Time::time_point start) {
  return std::chrono::duration<double, std::nano>(Time::now() - start).count();
}

// One thread, and the files that are its own.
class Worker {
 public:
  Worker(const char* path, unsigned number, size_t files, const Mix& mix)
      : root_(AT_FDCWD, path, O_RDONLY | O_DIRECTORY),
        prefix_("w" + std::to_string(number)),
        mix_(mix),
        random_(number),
        sizes_(kGammaShape, static_cast<double>(mix.mean_bytes) / kGammaShape),
        appends_(kGammaShape, static_cast<double>(kAppendBytes) / kGammaShape),
        buffer_(kMebibyte) {
    for (size_t i = 0; i < files; ++i) Create(false, Draw(sizes_));
  }

  // Mail comes, is read and added to, is read and goes: delete; create, write, fsync; open, read,
  // append, fsync; open, read.
  void Varmail(size_t loops) {
    for (size_t i = 0; i < loops; ++i) {
      Delete();
      Create(true, Draw(appends_));
      Append(true);
      (void)Read(OneOf());
    }
  }

  // Create and write; append; read; delete; stat.
  void Fileserver(size_t loops) {
    struct stat status {};
    for (size_t i = 0; i < loops; ++i) {
      Create(false, Draw(sizes_));
      Append(false);
      (void)Read(OneOf());
      Delete();
      Require(fstatat(root_.get(), OneOf().c_str(), &status, 0) == 0, "stat");
    }
  }

 private:
  size_t Draw(std::gamma_distribution<double>& distribution) {
    return std::clamp<size_t>(static_cast<size_t>(distribution(random_)), 1, kLargestFile);
  }
  const std::string& OneOf() { return names_[random_() % names_.size()]; }

  std::string NewName() {
    const size_t number = made_++;
    if (mix_.files_a_directory == SIZE_MAX) return prefix_ + "-" + std::to_string(number);
    const std::string directory = prefix_ + "-" + std::to_string(number / mix_.files_a_directory);
    if (number % mix_.files_a_directory == 0) (void)MakeDirectory(root_.get(), directory);
    return directory + "/" + std::to_string(number);
  }
  void Write(const Descriptor& file, size_t size_bytes, bool sync) {
    for (size_t done = 0; done < size_bytes;) {
      const size_t step = std::min(kMebibyte, size_bytes - done);
      Require(write(file.get(), buffer_.get(), step) == static_cast<ssize_t>(step), "write");
      done += step;
    }
    Require(!sync || fsync(file.get()) == 0, "fsync");
  }
  void Create(bool sync, size_t size_bytes) {
    names_.push_back(NewName());
    Write(Descriptor(root_.get(), names_.back(), O_CREAT | O_EXCL | O_WRONLY), size_bytes, sync);
  }
  // Varmail reads what it appends to.
  void Append(bool read_first) {
    const std::string& name = OneOf();
    const size_t end = read_first ? Read(name) : 0;
    const Descriptor file(root_.get(), name, O_WRONLY | O_APPEND);
    Require(!read_first || end > 0, "an empty file");
    Write(file, Draw(appends_), read_first);
  }
  size_t Read(const std::string& name) {
    const Descriptor file(root_.get(), name, O_RDONLY);
    size_t total = 0;
    for (ssize_t got = 1; got > 0; total += static_cast<size_t>(got)) {
      got = read(file.get(), buffer_.get(), kMebibyte);
      Require(got >= 0, "read");
    }
    return total;
  }
  void Delete() {
    std::swap(names_[random_() % names_.size()], names_.back());
    Require(unlinkat(root_.get(), names_.back().c_str(), 0) == 0, "unlink");
    names_.pop_back();
  }

  const Descriptor root_;
  const std::string prefix_;
  const Mix mix_;
  std::mt19937_64 random_;
  std::gamma_distribution<double> sizes_, appends_;
  const Buffer buffer_;
  std::vector<std::string> names_;
  size_t made_ = 0;
};

void RunMix(const Mix& mix, void (Worker::*loop)(size_t), const char* path, size_t files,
            size_t loops) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < kThreads; ++i) {
    workers.push_back(
        std::make_unique<Worker>(path, i, std::max<size_t>(files / kThreads, 2), mix));
  }
  std::vector<std::thread> threads;
  const Time::time_point start = Time::now();
  for (const auto& worker : workers) {
    threads.emplace_back([&] { (worker.get()->*loop)(loops / kThreads); });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("{\"%s\": %.1f}\n", mix.name, NanosecondsSince(start) / static_cast<double>(loops));
}

void RunFiles(const char* path, size_t count) {
  const Descriptor root(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  const std::vector<std::string> names = Names("f-", std::max<size_t>(count / kDirectories, 1));
  std::vector<std::unique_ptr<Descriptor>> folders;
  for (size_t i = 0; i < kDirectories; ++i) {
    const std::string folder = "d" + std::to_string(i);
    Require(mkdirat(root.get(), folder.c_str(), 0755) == 0, "mkdir");
    folders.push_back(std::make_unique<Descriptor>(root.get(), folder, O_RDONLY | O_DIRECTORY));
  }
  const char* separator = "{";
  const auto phase = [&](const char* name, auto&& operation) {
    const Time::time_point start = Time::now();
    for (const auto& folder : folders) operation(folder->get());
    const auto total = static_cast<double>(names.size() * folders.size());
    std::printf("%s\"%s\": %.1f", separator, name, NanosecondsSince(start) / total);
    separator = ", ";
  };
  struct stat status {};
  phase("create", [&](int folder) { CreateAll(folder, names, 0); });
  phase("stat", [&](int folder) {
    for (const std::string& name : names) {
      Require(fstatat(folder, name.c_str(), &status, 0) == 0, "stat");
    }
  });
  phase("readdir", [&](int folder) {
    DIR* const listing = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY));
    Require(listing != nullptr, "opendir");
    size_t entries = 0;
    while (readdir(listing) != nullptr) ++entries;
    Require(closedir(listing) == 0 && entries == names.size() + 2, "readdir");
  });
  phase("unlink", [&](int folder) {
    for (const std::string& name : names) {
      Require(unlinkat(folder, name.c_str(), 0) == 0, "unlink");
    }
  });
  std::printf("}\n");
}

int Main(const std::vector<std::string>& words) {
  const std::string command = words.empty() ? "" : words[0];
  if (command == "files" && words.size() == 3) {
    RunFiles(words[1].c_str(), std::stoull(words[2]));
    return 0;
  }
  if (words.size() == 4 && (command == kVarmail.name || command == kFileserver.name)) {
    const bool is_mail = command == kVarmail.name;
    RunMix(is_mail ? kVarmail : kFileserver, is_mail ? &Worker::Varmail : &Worker::Fileserver,
           words[1].c_str(), std::stoull(words[2]), std::stoull(words[3]));
    return 0;
  }
  std::fprintf(stderr,
               "usage: mix_bench files DIR COUNT\n"
               "       mix_bench varmail|fileserver DIR FILES LOOPS\n");
  return 2;
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  return ingot::bench::Main({argv + 1, argv + argc});
}
