// SPDX-License-Identifier: BSD-3-Clause
// Mounts, and what the answers mean.
#include "tests/system/mounted_pool.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/eventually.h"

namespace ingot::tests {
namespace {

// The first whose direct mappings ingot asks for.
bool KernelMapsDirectly() {
  struct utsname name {};
  uname(&name);
  int major = 0, minor = 0;
  std::istringstream release(name.release);
  char dot = 0;
  release >> major >> dot >> minor;
  return major > 6 || (major == 6 && minor >= 12);
}

}  // namespace

MountedPool::MountedPool(uint64_t host_bytes, std::string options)
    : host_(host_bytes), options_(std::move(options)) {
  if (!host_.why_not().empty()) {
    why_not_ = host_.why_not();
  } else if (access("/dev/fuse", R_OK | W_OK) != 0) {
    why_not_ = "there is no /dev/fuse";
  } else if (!KernelMapsDirectly()) {
    why_not_ = "the kernel is older than 6.12";
  }
  if (!why_not_.empty()) return;
  if (const char* more = getenv("INGOT_TEST_OPTIONS"); more != nullptr && *more != '\0') {
    options_ += (options_.empty() ? "" : ",") + std::string(more);
  }
  folder_ = "/tmp/ingot-mounted-XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) std::abort();
  path_ = folder_ + "/mnt";
  std::filesystem::create_directory(path_);
}

MountedPool::~MountedPool() {
  if (is_mounted_ && !Unmount()) DropMount();
  if (folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);  // never what is in a mount
  std::filesystem::remove(folder_ + "/log", ignored);
  std::filesystem::remove(folder_, ignored);
}

testing::AssertionResult MountedPool::Mount() {
  const std::string options =
      fmt::format("log={}/log{}{}", folder_, options_.empty() ? "" : ",", options_);
  testing::AssertionResult result = RunIngot({"mount", host_.pool(), path_, "-o", options});
  is_mounted_ = is_mounted_ || result;
  return result;
}

testing::AssertionResult MountedPool::Unmount() {
  testing::AssertionResult result = RunIngot({"umount", path_});
  if (result) is_mounted_ = false;
  return result;
}

bool MountedPool::KillDaemon() {
  std::string text;
  if (!RunIngot({"status", "--json", path_}, &text)) return false;
  const auto status = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto pid = status.is_object() ? status["mount"].value("pid", pid_t{0}) : pid_t{0};
  if (pid <= 1 || kill(pid, SIGKILL) != 0) return false;
  while (std::filesystem::exists(fmt::format("/proc/{}", pid))) usleep(5000);
  return true;
}

void MountedPool::DropMount() {
  umount2(path_.c_str(), MNT_DETACH);
  is_mounted_ = false;
}

testing::AssertionResult MountedPool::IsClean() const {
  return RunIngot({"fsck", "-n", host_.pool()});
}

std::string MountedPool::Log() const {
  std::stringstream text;
  text << std::ifstream(folder_ + "/log").rdbuf();
  return text.str();
}

std::string NameOf(const testing::TestParamInfo<Place>& info) {
  switch (info.param) {
    case Place::kHost:
      return "host";
    case Place::kAuto:
      return "auto";
    case Place::kAlways:
      return "always";
  }
  return "";
}

void OnHostAndMount::SetUp() {
  if (!is_mount()) {
    host_ = std::make_unique<TestHost>(host_bytes_);
    if (!host_->why_not().empty()) GTEST_SKIP() << host_->why_not();
    ASSERT_TRUE(host_->MountBare(top_));
    return;
  }
  pool_ = std::make_unique<MountedPool>(
      host_bytes_, GetParam() == Place::kAuto ? "direct=auto" : "direct=always");
  if (!pool_->why_not().empty()) GTEST_SKIP() << pool_->why_not();
  ASSERT_TRUE(pool_->Mount());
  top_ = pool_->path();
}

void OnHostAndMount::TearDown() {
  if (pool_ == nullptr || !pool_->why_not().empty()) return;
  // A thread of io_uring's may have a file a little longer than its request's answer says.
  testing::AssertionResult unmounted = testing::AssertionFailure();
  (void)Eventually([&]() -> bool { return unmounted = pool_->Unmount(); });
  ASSERT_TRUE(unmounted);
  EXPECT_TRUE(pool_->IsClean());
  // Warnings and worse: nothing that these tests do is one, but that a file stays in extents for
  // the time being, on a full host or without a name and in many pieces.
  std::istringstream log(pool_->Log());
  for (std::string line; std::getline(log, line);) {
    EXPECT_NE(line.find(" event=not_promoted "), std::string::npos) << line;
  }
}

int OnHostAndMount::Create(const std::string& name, uint64_t size_bytes) const {
  const int fd = open(Path(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  EXPECT_GE(fd, 0) << strerror(errno);
  EXPECT_EQ(ftruncate(fd, static_cast<off_t>(size_bytes)), 0) << strerror(errno);
  EXPECT_TRUE(!is_mount() || IsDirect(Path(name))) << name;
  return fd;
}

int StatusOf(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int InChild(const std::function<int()>& child) {
  const pid_t pid = fork();
  if (pid == 0) _exit(child());
  return StatusOf(pid);
}

}  // namespace ingot::tests
