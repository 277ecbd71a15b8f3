// SPDX-License-Identifier: BSD-3-Clause
// A fuzzer's bytes as FUSE requests: known operations with sizes, offsets, flags and names at their
// limits and beyond; or raw bodies, of which only what libfuse relies on is put right.
//
// Borrows the kernel's end, whose references it gives back now and then. Single-threaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/input.h"
#include "tests/fuzz/kernel_end.h"

namespace ingot::tests {

class RequestMaker {
 public:
  explicit RequestMaker(KernelEnd& kernel) : kernel_(kernel) {}
  void SendNext(Input& input);

 private:
  class Body;
  uint64_t Node(Input& input) const;
  KernelEnd::From From(Input& input) const;
  void SendRaw(Input& input);
  void SendNames(Input& input, uint32_t opcode);
  void SendData(Input& input, uint32_t opcode);
  void SendSpace(Input& input, uint32_t opcode);
  void SendXattr(Input& input, uint32_t opcode);
  void SendAttributes(Input& input, uint32_t opcode);
  void SendIoctl(Input& input);
  void GiveBack(Input& input);

  KernelEnd& kernel_;
};

}  // namespace ingot::tests
