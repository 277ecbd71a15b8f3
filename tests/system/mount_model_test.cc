// SPDX-License-Identifier: BSD-3-Clause
// The model test's operations through a real mount, against the same plain model.
//
// usage: mount_model_test MOUNTPOINT OPERATIONS SEED; started by mount_model_test.sh, which mounts,
// unmounts and runs fsck. Exit code 0: every answer and the whole tree fit.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

#include "tests/model/generator.h"
#include "tests/model/mount_subject.h"
#include "tests/model/plain_model.h"

int main(int argc, char** argv) {
  using namespace ingot::tests;  // NOLINT: a test's main
  if (argc != 4) {
    fmt::print(stderr, "usage: mount_model_test MOUNTPOINT OPERATIONS SEED\n");
    return 2;
  }
  const uint64_t operations = std::strtoull(argv[2], nullptr, 10);
  umask(0);
  PlainModel model;
  MountSubject mount(argv[1]);
  Generator generator({.seed = std::strtoull(argv[3], nullptr, 10), .large_in_1000 = 20});
  for (uint64_t i = 1; i <= operations; ++i) {
    const Operation operation = generator.Next();
    const std::string expected = model.Run(operation);
    const std::string got = mount.Run(operation);
    if (Fits(expected, got)) continue;
    fmt::print(stderr, "operation {}: {}\nmodel: {}\nmount: {}\n", i, Describe(operation), expected,
               got);
    return 1;
  }
  // Line by line, because what the model can't know ("*") fits anything.
  const std::string expected = DumpTree(model);
  const std::string got = DumpTree(mount);
  size_t a = 0;
  size_t b = 0;
  while (a < expected.size() || b < got.size()) {
    const size_t a_end = std::min(expected.find('\n', a), expected.size());
    const size_t b_end = std::min(got.find('\n', b), got.size());
    const std::string left = expected.substr(std::min(a, expected.size()), a_end - a);
    const std::string right = got.substr(std::min(b, got.size()), b_end - b);
    if (!Fits(left, right)) {
      fmt::print(stderr, "tree:\nmodel: {}\nmount: {}\n", left, right);
      return 1;
    }
    a = a_end + 1;
    b = b_end + 1;
  }
  fmt::print("{} operations fit\n", operations);
  return 0;
}
