// SPDX-License-Identifier: BSD-3-Clause
// Random operations over few names, so that they meet: the same seed gives the same sequence.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/model/operation.h"

namespace ingot::tests {

struct GeneratorOptions {
  uint64_t seed = 1;
  uint32_t names_per_directory = 12;
  uint64_t max_file_bytes = uint64_t{5} << 20;
  // Files larger than a few pages are rare, so that a million operations take seconds.
  uint32_t large_in_1000 = 4;
};

class Generator {
 public:
  explicit Generator(const GeneratorOptions& options) : options_(options), random_(options.seed) {}
  Operation Next();

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  std::string Directory();
  std::string Path();
  std::string Name();
  uint64_t Offset();
  uint64_t Size();
  void FillData(Operation& operation);
  void FillRest(Operation& operation);

  GeneratorOptions options_;
  std::mt19937_64 random_;
};

}  // namespace ingot::tests
