// SPDX-License-Identifier: BSD-3-Clause
// A daemon whose allocations fail again and again, under load: each request is answered, whole or
// with ENOMEM; nothing that was acknowledged is lost, and what was refused did not happen.
//
// The session runs in this process; only its threads are short of memory. Over /dev/fuse and over
// io_uring. Needs root.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <dirent.h>

#include <nlohmann/json.hpp>

#include "pmemdev/base/log.h"
#include "tests/support/failing_memory.h"
#include "tests/system/hosted_mount.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{160} << 20;
constexpr int kFiles = 150;
constexpr int kMaxTries = 2000;

// Calls until it isn't refused for want of memory; counts how often it was.
class Patient {
 public:
  int Try(const std::function<int()>& call) {
    for (int i = 0; i < kMaxTries; ++i) {
      const int code = call() >= 0 ? 0 : errno;
      if (code != ENOMEM) return code;
      ++refusals_;
    }
    return ENOMEM;
  }
  [[nodiscard]] uint64_t refusals() const { return refusals_; }

 private:
  uint64_t refusals_ = 0;
};

bool WriteAll(Patient& patient, int fd, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    ssize_t count = 0;
    const int code = patient.Try([&] {
      count = pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
      return count < 0 ? -1 : 0;
    });
    if (code != 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

std::string ReadAll(Patient& patient, const std::string& path) {
  int fd = -1;
  EXPECT_EQ(patient.Try([&] { return fd = open(path.c_str(), O_RDONLY | O_CLOEXEC); }), 0) << path;
  std::string bytes(1 << 20, '\0');
  ssize_t count = 0;
  EXPECT_EQ(patient.Try([&] {
    count = pread(fd, bytes.data(), bytes.size(), 0);
    return count < 0 ? -1 : 0;
  }),
            0)
      << path;
  close(fd);
  bytes.resize(count < 0 ? 0 : static_cast<size_t>(count));
  return bytes;
}

// Files in a directory of their own: made, filled, marked, renamed; every third removed.
void Work(const std::string& top, uint64_t seed, Patient& patient) {
  ASSERT_EQ(patient.Try([&] { return mkdir(top.c_str(), 0700); }), 0);
  for (int i = 0; i < kFiles; ++i) {
    const std::string path = fmt::format("{}/made{:0>80}", top, i);
    const std::string kept = fmt::format("{}/kept{:0>80}", top, i);
    const std::string bytes =
        MakeBytes(seed + static_cast<uint64_t>(i), 100 + 997 * static_cast<uint64_t>(i % 60));
    int fd = -1;
    // O_EXCL: what was refused must not have been made.
    ASSERT_EQ(patient.Try([&] {
      return fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    }),
              0)
        << path;
    ASSERT_TRUE(WriteAll(patient, fd, bytes)) << path;
    close(fd);
    ASSERT_EQ(patient.Try([&] {
      return setxattr(path.c_str(), "user.a", bytes.data(), std::min<size_t>(bytes.size(), 3000),
                      XATTR_CREATE);
    }),
              0)
        << path;
    ASSERT_EQ(patient.Try([&] { return rename(path.c_str(), kept.c_str()); }), 0) << path;
    if (i % 3 == 2) {
      ASSERT_EQ(patient.Try([&] { return unlink(kept.c_str()); }), 0) << kept;
    } else {
      ASSERT_TRUE(ReadAll(patient, kept) == bytes) << kept;
    }
  }
}

// Asks for the daemon's reports, which are made of many small pieces: each comes whole or not at
// all. Returns how many came.
int Watch(const std::string& top, int rounds) {
  std::string report(64 << 10, '\0');
  int came = 0;
  for (int i = 0; i < rounds; ++i) {
    for (const char* name : {"user.ingot.status", "user.ingot.map"}) {
      const std::string path = name[11] == 's' ? top : top + "/watched";
      const ssize_t size_bytes = getxattr(path.c_str(), name, report.data(), report.size());
      if (size_bytes < 0) {
        EXPECT_EQ(errno, ENOMEM) << name;
        continue;
      }
      ++came;
      const std::string text = report.substr(0, static_cast<size_t>(size_bytes));
      EXPECT_TRUE(nlohmann::json::accept(text)) << text;
    }
  }
  return came;
}

class ScarceMemoryMount : public ::testing::TestWithParam<bool> {};

TEST_P(ScarceMemoryMount, RefusesAndLosesNothing) {
  std::optional<IoUringSwitch> io_uring;
  if (GetParam()) io_uring.emplace();
  if (GetParam() && !io_uring->is_on()) GTEST_SKIP() << "the kernel offers no io_uring";
  auto volume = OpenPool(NewPool(kPoolBytes));
  ASSERT_OK(volume);
  auto mount = HostedMount::Start(std::move(*volume), GetParam());
  if (!mount && (mount.error().code == EPERM || mount.error().code == ENOENT)) {
    GTEST_SKIP() << Describe(mount.error());
  }
  ASSERT_OK(mount);
  log::ToStderr(log::Level::kOff);
  std::array<Patient, 2> patients;
  close(open(((*mount)->path() + "/watched").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  {
    const ScarceMemory scarce(7);
    std::vector<std::thread> workers;
    for (size_t i = 0; i < patients.size(); ++i) {
      workers.emplace_back([&, i] {
        const ScarceMemory::Exempt exempt;
        Work(fmt::format("{}/{}", (*mount)->path(), i), 1000 * i, patients[i]);
      });
    }
    workers.emplace_back([&] {
      const ScarceMemory::Exempt exempt;
      Watch((*mount)->path(), 300);
    });
    for (std::thread& worker : workers) worker.join();
  }
  EXPECT_EQ(Watch((*mount)->path(), 1), 2);
  log::ToStderr(log::Level::kWarning);
  EXPECT_GT(patients[0].refusals() + patients[1].refusals(), 100u) << "memory was not scarce";
  // With memory: everything is there, and nothing else.
  for (size_t i = 0; i < patients.size(); ++i) {
    const std::string top = fmt::format("{}/{}", (*mount)->path(), i);
    int entries = 0;
    DIR* directory = opendir(top.c_str());
    ASSERT_NE(directory, nullptr);
    while (readdir(directory) != nullptr) ++entries;
    closedir(directory);
    EXPECT_EQ(entries, 2 + kFiles / 3 * 2);
    for (int file = 0; file < kFiles; ++file) {
      if (file % 3 == 2) continue;
      const std::string bytes = MakeBytes(1000 * i + static_cast<uint64_t>(file),
                                          100 + 997 * static_cast<uint64_t>(file % 60));
      EXPECT_TRUE(ReadAll(patients[i], fmt::format("{}/kept{:0>80}", top, file)) == bytes) << file;
    }
  }
  (*mount)->Unmount();
  const std::atomic<bool> stop{false};
  ASSERT_OK((*mount)->volume().orphans().Recover(stop));
  EXPECT_FSCK_CLEAN((*mount)->volume().device());
}

INSTANTIATE_TEST_SUITE_P(Transports, ScarceMemoryMount, ::testing::Bool());

}  // namespace
}  // namespace ingot::tests
