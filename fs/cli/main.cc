// SPDX-License-Identifier: BSD-3-Clause
// Hands the arguments on, once the three standard descriptors are there: a pool or a pipe opened in
// the place of one of them would be written to, or closed, by mistake.
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "fs/cli/app.h"

int main(int argc, char** argv) {
  int null = 0;
  do {
    null = open("/dev/null", O_RDWR);
  } while (null >= 0 && null <= STDERR_FILENO);
  if (null > STDERR_FILENO) close(null);
  const std::string program = argc > 0 ? argv[0] : "ingot";
  std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  return ingot::cli::Run(program, std::move(arguments));
}
