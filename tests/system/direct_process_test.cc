// SPDX-License-Identifier: BSD-3-Clause
// Mappings of backed files between processes: fork, other processes' own mappings, process_vm
// calls, programs and shared libraries. Each answer is the bare host's.
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/system/mounted_pool.h"

namespace ingot::tests {
namespace {

class DirectProcess : public OnHostAndMount {
 protected:
  // Written whole, read-write, by which direct=auto backs it from the beginning.
  void Copy(const std::string& from, const std::string& name, int flags = O_RDWR) {
    std::ifstream source(from, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(source), {}};
    ASSERT_FALSE(bytes.empty()) << from;
    const Descriptor file(Path(name), flags | O_CREAT, 0755);
    ASSERT_GE(file.get(), 0) << strerror(file.code());
    ASSERT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
};
INSTANTIATE_TEST_SUITE_P(Places, DirectProcess,
                         testing::Values(Place::kHost, Place::kAuto, Place::kAlways), NameOf);

TEST_P(DirectProcess, ParentAndChildSeeEachOthersStores) {
  const Descriptor file(Create("file", 4 * kMiB));
  const Map map(file.get(), 4 * kMiB);
  map.at()[0] = 'p';
  std::array<int, 2> to_child{}, to_parent{};
  ASSERT_EQ(pipe(to_child.data()), 0);
  ASSERT_EQ(pipe(to_parent.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    // One after another, many times: each store is seen at once, whoever made it.
    char turn = 0;
    if (map.at()[0] != 'p') _exit(1);
    for (int i = 1; i < 1000; ++i) {
      if (read(to_child[0], &turn, 1) != 1) _exit(2);
      const auto at = static_cast<uint64_t>(i) * 4099;
      if (map.at()[at] != static_cast<char>(i)) _exit(3);
      map.at()[at + 1] = static_cast<char>(i + 1);
      if (write(to_parent[1], &turn, 1) != 1) _exit(4);
    }
    _exit(0);
  }
  char turn = 0;
  for (int i = 1; i < 1000; ++i) {
    const auto at = static_cast<uint64_t>(i) * 4099;
    map.at()[at] = static_cast<char>(i);
    ASSERT_EQ(write(to_child[1], &turn, 1), 1);
    ASSERT_EQ(read(to_parent[0], &turn, 1), 1);
    ASSERT_EQ(map.at()[at + 1], static_cast<char>(i + 1));
  }
  EXPECT_EQ(StatusOf(child), 0);
  for (const int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) close(fd);
}

TEST_P(DirectProcess, AnotherProcessWithItsOwnHandleAndMapping) {
  const Descriptor file(Create("file", 4 * kMiB));
  const Map map(file.get(), 4 * kMiB);
  const std::string ours = Pattern(3 * kMiB, 1), theirs = Pattern(kMiB, 2);
  memcpy(map.data(), ours.data(), ours.size());
  EXPECT_EQ(InChild([&] {
              const Descriptor own(Path("file"), O_RDWR);
              const Map mapping(own.get(), 4 * kMiB);
              if (mapping.data() == nullptr) return 1;
              if (memcmp(mapping.data(), ours.data(), ours.size()) != 0) return 2;
              memcpy(mapping.data() + 3 * kMiB, theirs.data(), theirs.size());
              // By write, too; and it ends without closing anything.
              return pwrite(own.get(), "written", 7, 100) == 7 ? 0 : 3;
            }),
            0);
  EXPECT_EQ(std::string_view(map.data() + 3 * kMiB, kMiB), theirs);
  EXPECT_EQ(std::string_view(map.data() + 100, 7), "written");
}

TEST_P(DirectProcess, PrivateMappingsAreCopiedByFork) {
  const Descriptor file(Create("file", 2 * kMiB));
  ASSERT_EQ(pwrite(file.get(), "file", 4, 0), 4);
  const Map copy(file.get(), 2 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  memcpy(copy.data(), "ours", 4);
  EXPECT_EQ(InChild([&] {
              if (memcmp(copy.data(), "ours", 4) != 0) return 1;
              memcpy(copy.data(), "kids", 4);
              return 0;
            }),
            0);
  EXPECT_EQ(std::string_view(copy.data(), 4), "ours");
  char got[5] = {};
  ASSERT_EQ(pread(file.get(), got, 4, 0), 4);
  EXPECT_STREQ(got, "file");
}

TEST_P(DirectProcess, ProcessVmCallsReachMappings) {
  const Descriptor file(Create("file", 4 * kMiB));
  const Map map(file.get(), 4 * kMiB);
  const std::string stored = Pattern(3 * kMiB, 3);
  memcpy(map.data() + 12345, stored.data(), stored.size());
  const pid_t parent = getpid();
  EXPECT_EQ(InChild([&] {
              std::string got(stored.size(), '\0');
              const iovec local{got.data(), got.size()}, remote{map.data() + 12345, got.size()};
              const auto size = static_cast<ssize_t>(got.size());
              if (process_vm_readv(parent, &local, 1, &remote, 1, 0) != size) return 1;
              if (got != stored) return 2;
              // Backwards, into the file.
              got.assign(got.rbegin(), got.rend());
              return process_vm_writev(parent, &local, 1, &remote, 1, 0) == size ? 0 : 3;
            }),
            0);
  std::string got(stored.size(), '\0');
  ASSERT_EQ(pread(file.get(), got.data(), got.size(), 12345), static_cast<ssize_t>(got.size()));
  EXPECT_TRUE(got == std::string(stored.rbegin(), stored.rend()));
}

int Execute(const std::string& path, const char* word) {
  return InChild([&] {
    execl(path.c_str(), path.c_str(), "-c", word, nullptr);
    return errno;
  });
}

TEST_P(DirectProcess, ProgramsRunFromIt) {
  Copy("/bin/true", "true");
  EXPECT_TRUE(!is_mount() || IsDirect(Path("true")));
  EXPECT_EQ(Execute(Path("true"), ""), 0);
  // Larger than 1 MiB, and promoted while it is copied.
  Copy("/bin/bash", "bash", O_WRONLY | O_EXCL);
  EXPECT_TRUE(!is_mount() || IsDirect(Path("bash")));
  EXPECT_EQ(Execute(Path("bash"), "exit 42"), 42);
  EXPECT_EQ(Execute(Path("bash"), "kill -SEGV $$"), 128 + SIGSEGV);
}

// What is written is not executed, and what is executed is not written: as the kernel has it for
// any file.
TEST_P(DirectProcess, BusyPrograms) {
  Copy("/bin/bash", "bash");
  {
    const Descriptor writer(Path("bash"), O_RDWR);
    EXPECT_EQ(Execute(Path("bash"), "exit 42"), ETXTBSY);
  }
  std::array<int, 2> release{};
  ASSERT_EQ(pipe(release.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(release[0], STDIN_FILENO);
    close(release[1]);
    execl(Path("bash").c_str(), "bash", "-c", "read line; exit 3", nullptr);
    _exit(errno);
  }
  close(release[0]);
  // Once the kernel has let it run: its program is the file.
  const std::string link = "/proc/" + std::to_string(child) + "/exe";
  for (std::array<char, 4096> exe{};
       strstr(exe.data(), "/bash") == nullptr || strncmp(exe.data(), "/tmp/", 5) != 0;) {
    ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "it ended early";
    exe.fill(0);
    (void)!readlink(link.c_str(), exe.data(), exe.size() - 1);
  }
  for (const int flags : {O_WRONLY, O_RDWR, O_RDWR | O_TRUNC}) {
    const Descriptor writer(Path("bash"), flags);
    EXPECT_LT(writer.get(), 0) << flags;
    EXPECT_EQ(writer.code(), ETXTBSY) << flags;
  }
  const Descriptor reader(Path("bash"), O_RDONLY);
  EXPECT_GE(reader.get(), 0) << strerror(reader.code());
  // It runs on without its name.
  EXPECT_EQ(unlink(Path("bash").c_str()), 0);
  close(release[1]);
  EXPECT_EQ(StatusOf(child), 3);
}

TEST_P(DirectProcess, SharedLibrariesLoadFromIt) {
  // The C++ library: the one that this program has, over 1 MiB.
  Dl_info info{};
  void* symbol = dlsym(RTLD_DEFAULT, "__cxa_demangle");
  ASSERT_NE(symbol, nullptr);
  ASSERT_NE(dladdr(symbol, &info), 0);
  Copy(info.dli_fname, "library.so");
  struct stat status {};
  ASSERT_EQ(stat(Path("library.so").c_str(), &status), 0);
  EXPECT_GT(static_cast<uint64_t>(status.st_size), kMiB);
  EXPECT_EQ(InChild([&] {
              void* library = dlopen(Path("library.so").c_str(), RTLD_NOW | RTLD_LOCAL);
              if (library == nullptr) return 1;
              using Demangle = char*(const char*, char*, size_t*, int*);
              auto* demangle = reinterpret_cast<Demangle*>(dlsym(library, "__cxa_demangle"));
              Dl_info from{};
              if (demangle == nullptr || dladdr(reinterpret_cast<void*>(demangle), &from) == 0) {
                return 2;
              }
              if (Path("library.so") != from.dli_fname) return 3;
              const char* text = demangle("_ZN5ingot5tests3MapD1Ev", nullptr, nullptr, nullptr);
              return text != nullptr && strcmp(text, "ingot::tests::Map::~Map()") == 0 ? 0 : 4;
            }),
            0);
}

}  // namespace
}  // namespace ingot::tests
