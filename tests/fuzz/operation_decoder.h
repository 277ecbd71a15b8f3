// SPDX-License-Identifier: BSD-3-Clause
// A fuzzer's bytes as operations of a model test: few names, sizes at which something changes, and
// a budget, so that no input fills the pool (the model knows no end of space).
#pragma once

#include <cstdint>
#include <string>

#include "tests/fuzz/input.h"
#include "tests/model/operation.h"

namespace ingot::tests {

class OperationDecoder {
 public:
  // Everything below `top`, which is "" or a path. `budget_bytes`: what all operations together may
  // write or allocate at most; when it is used up, sizes become small.
  OperationDecoder(std::string top, uint64_t budget_bytes)
      : top_(std::move(top)), budget_bytes_(budget_bytes) {}

  Operation Next(Input& input);
  // The path of a file, as operations name them.
  std::string Path(Input& input) const;

 private:
  [[nodiscard]] std::string Directory(Input& input) const;
  uint64_t Size(Input& input);
  uint64_t Offset(Input& input);
  void FillData(Input& input, Operation& operation);
  static void FillXattr(Input& input, Operation& operation);
  static void FillRest(Input& input, Operation& operation);

  std::string top_;
  uint64_t budget_bytes_;
};

}  // namespace ingot::tests
