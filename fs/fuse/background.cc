// SPDX-License-Identifier: BSD-3-Clause
// The pipe carries an errno value as 4 bytes (0: ready), then the error's text.
#include "fs/fuse/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ingot {
namespace {

bool WriteAll(int fd, const void* bytes, size_t size_bytes) {
  const char* from = static_cast<const char*>(bytes);
  while (size_bytes > 0) {
    const ssize_t written = write(fd, from, size_bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    from += written;
    size_bytes -= static_cast<size_t>(written);
  }
  return true;
}

void Tell(int fd, int32_t code, const std::string& text) {
  if (WriteAll(fd, &code, sizeof(code))) WriteAll(fd, text.data(), text.size());
  close(fd);
}

std::string ReadAll(int fd) {
  std::string text;
  std::array<char, 512> buffer;
  for (;;) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

Result<void> Await(int fd, pid_t child) {
  const std::string word = ReadAll(fd);
  close(fd);
  int32_t code = 0;
  if (word.size() < sizeof(code)) {
    int status = 0;
    waitpid(child, &status, 0);
    const std::string how = WIFSIGNALED(status)
                                ? std::string("signal ") + strsignal(WTERMSIG(status))
                                : "exit code " + std::to_string(WEXITSTATUS(status));
    return Failure(EIO, "the daemon ended before it was ready, by " + how);
  }
  std::memcpy(&code, word.data(), sizeof(code));
  if (code == 0) return {};
  waitpid(child, nullptr, 0);
  return Failure(code, word.substr(sizeof(code)));
}

void LeaveTerminal() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, standard);
  if (null > STDERR_FILENO) close(null);
}

}  // namespace

Result<void> RunInBackground(
    const std::function<Result<void>(const std::function<void()>&)>& work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailureFromErrno("pipe");
  std::fflush(nullptr);  // or both processes would write what is buffered
  const pid_t child = fork();
  if (child < 0) return FailureFromErrno("fork");
  if (child > 0) {
    close(ends[1]);
    return Await(ends[0], child);
  }
  close(ends[0]);
  setsid();
  if (chdir("/") != 0) _exit(EXIT_FAILURE);
  bool told = false;
  const Result<void> result = NoThrow([&] {
    return work([&] {
      Tell(ends[1], 0, {});
      LeaveTerminal();
      told = true;
    });
  });
  if (!told)
    Tell(ends[1], result.error_code() != 0 ? result.error_code() : EIO,
         result ? std::string("ended before it was ready") : result.error().context);
  std::exit(result ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace ingot
