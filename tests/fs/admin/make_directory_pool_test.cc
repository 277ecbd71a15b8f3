// SPDX-License-Identifier: BSD-3-Clause
// mkfs of directories: what it makes, what it refuses, what it never deletes, and what is there
// after a kill at any of its steps.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "fs/admin/make_pool.h"
#include "fs/core/pool_path.h"
#include "fs/core/volume.h"

namespace ingot::admin {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class MakeDirectoryPoolTest : public ::testing::Test {
 protected:
  MakeDirectoryPoolTest() {
    std::string pattern = "/dev/shm/ingot-make-XXXXXX";
    pool_ = mkdtemp(pattern.data());
    options_.path = pool_;
  }
  ~MakeDirectoryPoolTest() override { fs::remove_all(pool_); }

  void Touch(const std::string& name, const std::string& text = "x") const {
    std::ofstream(pool_ + "/" + name) << text;
  }
  [[nodiscard]] std::set<std::string> Names(const std::string& below = "") const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(pool_ + "/" + below)) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  void MakeSmall() {
    options_.size_bytes = 64 * kMiB;
    const auto made = MakePool(options_);
    ASSERT_TRUE(made) << Describe(made.error());
  }
  [[nodiscard]] Result<std::unique_ptr<Volume>> Open() const {
    const PoolPath path = TRY(ResolvePool(pool_));
    auto device = TRY(Device::Open(TRY(Mapping::Open(path.region, {})), {}));
    auto directory = TRY(OpenBackingDirectory(path, device->superblock(), false));
    return Volume::Open(std::move(device), {}, std::move(directory));
  }
  // Refused with that error, and every name is still there.
  void ExpectRefused(int code, const std::string& text) {
    const auto before = Names();
    const auto made = MakePool(options_);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error_code(), code) << Describe(made.error());
    EXPECT_NE(made.error().context.find(text), std::string::npos) << made.error().context;
    EXPECT_EQ(Names(), before);
  }

  // True if a pool opens: the new one, or the old one with its files.
  [[nodiscard]] bool ExpectNoneOrWhole(bool has_old) const {
    const auto left = Open();
    if (left) {
      const bool is_new =
          std::string_view((*left)->device().superblock().label.data()) == "new";
      EXPECT_TRUE(is_new || has_old);
      EXPECT_EQ(fs::exists(pool_ + "/backing/9"), !is_new);
      return true;
    }
    const int code = left.error_code();
    EXPECT_TRUE(code == ENOENT || code == EINVAL || code == EUCLEAN) << Describe(left.error());
    // No superblock without its files, either.
    if (fs::exists(pool_ + "/region")) {
      EXPECT_EQ(left.error().context.find("backing"), std::string::npos) << Describe(left.error());
    }
    return false;
  }

  std::string pool_;
  MakePoolOptions options_;
};

TEST_F(MakeDirectoryPoolTest, TheRegionIsSparseAndAsLargeAsTheHost) {
  fs::create_directory(pool_ + "/lost+found");
  const auto made = MakePool(options_);
  ASSERT_TRUE(made) << Describe(made.error());
  EXPECT_EQ(Names(), (std::set<std::string>{"backing", "lost+found", "region"}));
  EXPECT_EQ(Names("backing"), std::set<std::string>{"uuid"});
  struct statvfs host {};
  ASSERT_EQ(statvfs(pool_.c_str(), &host), 0);
  struct stat region {};
  ASSERT_EQ(stat((pool_ + "/region").c_str(), &region), 0);
  const uint64_t size = host.f_blocks * host.f_frsize;
  if (size != 0) {
    EXPECT_EQ(static_cast<uint64_t>(region.st_size),
              std::clamp(RoundDown(size, kHugePageSize), 64 * kMiB, 8 * kMiB * kMiB));
    EXPECT_EQ(made->total_bytes, size);
  }
  EXPECT_EQ(made->superblock.region_size_bytes, static_cast<uint64_t>(region.st_size));
  EXPECT_LT(region.st_blocks * 512, static_cast<off_t>(32 * kMiB));
  EXPECT_EQ(region.st_mode & 0777, 0600u);
  EXPECT_EQ(made->superblock.features_incompatible, media::kFeatureDirectoryPool);
  const auto volume = Open();
  ASSERT_TRUE(volume) << Describe(volume.error());
  NewNode node;
  node.mode = S_IFREG | 0644;
  node.likely_mapped = true;
  const auto file = (*volume)->names().Create(Volume::kRoot, "file", node, Caller{});
  ASSERT_TRUE(file) << Describe(file.error());
  EXPECT_TRUE(file->is_backed);
}

TEST_F(MakeDirectoryPoolTest, NothingOfOthersIsTouched) {
  Touch("notes");
  ExpectRefused(ENOTEMPTY, "'notes'");
  options_.force = true;
  ExpectRefused(ENOTEMPTY, "'notes'");
  fs::remove(pool_ + "/notes");
  // Files that have a pool's names, but aren't one's.
  Touch("region", std::string(100, 'x'));
  ExpectRefused(EEXIST, "another kind");
  fs::resize_file(pool_ + "/region", 4 * kMiB);
  ExpectRefused(EEXIST, "unknown kind");
  fs::remove(pool_ + "/region");
  fs::create_directory(pool_ + "/backing");
  Touch("backing/mine");
  ExpectRefused(ENOTEMPTY, "backing/mine");
  fs::rename(pool_ + "/backing/mine", pool_ + "/backing/7");
  fs::remove(pool_ + "/backing/7");
  fs::create_directory(pool_ + "/backing/7");
  ExpectRefused(ENOTEMPTY, "backing/7");
}

TEST_F(MakeDirectoryPoolTest, ADevicePoolInTheDirectoryIsNoDirectoryPool) {
  MakePoolOptions device;
  device.path = pool_ + "/region";
  device.size_bytes = 16 * kMiB;
  ASSERT_TRUE(MakePool(device));
  options_.force = true;
  ExpectRefused(EEXIST, "device pool");
}

TEST_F(MakeDirectoryPoolTest, AnOlderPoolGoesOnlyByForce) {
  MakeSmall();
  Touch("backing/5", "old contents");
  ExpectRefused(EEXIST, "--force");
  EXPECT_TRUE(Open());
  options_.force = true;
  options_.label = "again";
  {
    const auto in_use = Open();
    ASSERT_TRUE(in_use);
    // As another process would find it: locks belong to open files, not to processes.
    ExpectRefused(EBUSY, "in use");
  }
  const auto made = MakePool(options_);
  ASSERT_TRUE(made) << Describe(made.error());
  EXPECT_EQ(Names("backing"), std::set<std::string>{"uuid"});
  const auto volume = Open();
  ASSERT_TRUE(volume) << Describe(volume.error());
  EXPECT_STREQ((*volume)->device().superblock().label.data(), "again");
}

TEST_F(MakeDirectoryPoolTest, TheRegionByItselfIsRefused) {
  MakeSmall();
  options_.path = pool_ + "/region";
  options_.size_bytes.reset();
  options_.force = true;
  ExpectRefused(EINVAL, "mkfs --force " + pool_);
  EXPECT_TRUE(Open());
}

TEST_F(MakeDirectoryPoolTest, WhatFailsLeavesAnEmptyDirectory) {
  options_.size_bytes = kMiB;
  ExpectRefused(ENOSPC, "16 MiB");
  options_.size_bytes.reset();
  options_.label = std::string(40, 'x');
  ExpectRefused(EINVAL, "31 bytes");
}

TEST_F(MakeDirectoryPoolTest, ALimitForFilesOfProgramsIsLifted) {
  struct rlimit limit {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, kMiB);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  if (limit.rlim_max != RLIM_INFINITY) GTEST_SKIP() << "there is a hard limit here";
  const auto made = MakePool(options_);
  ASSERT_TRUE(made) << Describe(made.error());
  EXPECT_GE(made->superblock.region_size_bytes, 64 * kMiB);
}

TEST_F(MakeDirectoryPoolTest, WhereTheHostTakesNoFileSoLargeTheRegionIsSmaller) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody whose limits stay";
  constexpr id_t kNobody = 65534;
  ASSERT_EQ(chown(pool_.c_str(), kNobody, kNobody), 0);
  const pid_t child = fork();
  if (child == 0) {
    const struct rlimit limit = {1000 * kMiB, 1000 * kMiB};
    const bool is_ready = setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                          setresgid(kNobody, kNobody, kNobody) == 0 &&
                          setresuid(kNobody, kNobody, kNobody) == 0;
    _exit(is_ready && MakePool(options_).has_value() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const auto volume = Open();
  ASSERT_TRUE(volume) << Describe(volume.error());
  const uint64_t size = (*volume)->device().superblock().region_size_bytes;
  EXPECT_LE(size, 1000 * kMiB);
  EXPECT_GE(size, 64 * kMiB);
}

// Runs `work` in a child, which is killed before its n-th system call that changes something.
// False: it came to its end.
template <typename Work>
bool KilledBefore(int n, Work&& work) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
    raise(SIGSTOP);
    _exit(work() ? 0 : 1);
  }
  static const std::set<uint64_t> kChanges = {
      SYS_ftruncate, SYS_fallocate, SYS_fsync,  SYS_openat, SYS_mkdir, SYS_mkdirat,
      SYS_write,     SYS_unlink,    SYS_rmdir,  SYS_unlinkat, SYS_msync, SYS_exit_group};
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) {
    ADD_FAILURE() << "this machine lets nobody trace";
    return false;
  }
  ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  bool is_entry = true;
  for (int seen = 0;;) {
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    waitpid(child, &status, 0);
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      EXPECT_EQ(status, 0);
      return false;
    }
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
    struct user_regs_struct registers {};
    if (std::exchange(is_entry, !is_entry) &&
        ptrace(PTRACE_GETREGS, child, nullptr, &registers) == 0 &&
        kChanges.contains(registers.orig_rax) && ++seen == n) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return true;
    }
  }
}

TEST_F(MakeDirectoryPoolTest, AKillLeavesNoPoolOrTheFinishedOne) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
  GTEST_SKIP() << "system calls are traced without sanitizers, on x86-64";
#else
  options_.size_bytes = 16 * kMiB;
  options_.force = true;
  for (const bool has_old : {false, true}) {
    int none = 0;
    int whole = 0;
    bool was_killed = true;
    for (int n = 1; was_killed; ++n) {
      SCOPED_TRACE(std::to_string(n) + (has_old ? ", over an older pool" : ""));
      for (const char* name : {"region", "backing"}) fs::remove_all(pool_ + "/" + name);
      options_.label = "old";
      if (has_old) {
        ASSERT_TRUE(MakePool(options_));
        Touch("backing/9", "old");
      }
      options_.label = "new";
      was_killed = KilledBefore(n, [&] { return MakePool(options_).has_value(); });
      ++(ExpectNoneOrWhole(has_old) ? whole : none);
      // What is left is no hindrance.
      const auto again = MakePool(options_);
      ASSERT_TRUE(again) << Describe(again.error());
      ASSERT_TRUE(Open());
    }
    EXPECT_GT(none, 5);
    EXPECT_GT(whole, has_old ? 5 : 0);
  }
#endif
}

}  // namespace
}  // namespace ingot::admin
