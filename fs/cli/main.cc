// SPDX-License-Identifier: BSD-3-Clause
// Hands the arguments on; nothing else.
#include <string>
#include <vector>

#include "fs/cli/app.h"

int main(int argc, char** argv) {
  const std::string program = argc > 0 ? argv[0] : "ingot";
  std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  return ingot::cli::Run(program, std::move(arguments));
}
