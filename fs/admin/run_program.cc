// SPDX-License-Identifier: BSD-3-Clause
// posix_spawn and a pipe.
#include "fs/admin/run_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include "pmemdev/base/descriptor.h"

namespace ingot::admin {
namespace {

// Reads what comes until all writers have ended.
std::string ReadAll(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

Result<int> WaitForEnd(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return FailureFromErrno("waiting for a program");
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// As long as a program changes something, we are there to see its end: who wants to end it, ends
// it itself (the terminal's signals reach it).
class HeldBackSignals {
 public:
  HeldBackSignals() {
    signal(SIGCHLD, SIG_DFL);  // ignored, as some parents leave it, ends could not be waited for
    sigset_t ending;
    sigemptyset(&ending);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&ending, number);
    pthread_sigmask(SIG_BLOCK, &ending, &before_);
  }
  ~HeldBackSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldBackSignals(const HeldBackSignals&) = delete;
  [[nodiscard]] const sigset_t& before() const { return before_; }

 private:
  sigset_t before_;
};

// Messages in the words that tests and people know, whatever the user's language.
std::vector<char*> PlainEnvironment() {
  static char locale[] = "LC_ALL=C";
  std::vector<char*> environment;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view entry(*each);
    if (!entry.starts_with("LC_ALL=") && !entry.starts_with("LANGUAGE=")) {
      environment.push_back(*each);
    }
  }
  environment.push_back(locale);
  environment.push_back(nullptr);
  return environment;
}

}  // namespace

std::string ProgramEnd::LastLine() const {
  std::string_view text(output);
  if (const size_t usage = text.find("Usage:"); usage != std::string_view::npos && usage > 0) {
    text = text.substr(0, usage);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const size_t begin = text.rfind('\n');
  return std::string(begin == std::string_view::npos ? text : text.substr(begin + 1));
}

Result<std::string> FindProgram(const std::string& name, const std::string& package) {
  const char* path = getenv("PATH");
  std::string folders = std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin";
  for (size_t at = 0; at <= folders.size();) {
    const size_t end = std::min(folders.find(':', at), folders.size());
    const std::string folder = folders.substr(at, end - at);
    const std::string program = folder + "/" + name;
    if (!folder.empty() && access(program.c_str(), X_OK) == 0) return program;
    at = end + 1;
  }
  return Failure(
      ENOENT, fmt::format("the program {} is not installed. Hint: apt install {}", name, package));
}

Result<ProgramEnd> RunProgram(const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  std::vector<char*> environment = PlainEnvironment();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailureFromErrno("pipe");
  const Descriptor reader(ends[0]);
  Descriptor writer(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  const HeldBackSignals held_back;
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &held_back.before());
  pid_t child = 0;
  const int error =
      posix_spawn(&child, words[0], &actions, &attributes, words.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  writer = Descriptor();
  if (error != 0) return Failure(error, arguments.front());
  ProgramEnd end;
  end.output = ReadAll(reader.get());
  end.exit_code = TRY(WaitForEnd(child));
  return end;
}

}  // namespace ingot::admin
