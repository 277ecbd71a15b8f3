// SPDX-License-Identifier: BSD-3-Clause
// Which trees calls of several threads may leave at a moment: those of every order that fits what
// was seen.
//
// Single-threaded; used once the threads are done.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/trace.h"
#include "tests/volume/pools.h"

namespace ingot::tests {

struct ThreadedCall {
  Operation operation;
  std::string answer;
};

// Marks in a trace: call i begins, call i has returned.
[[nodiscard]] constexpr uint64_t BeginMark(size_t call) {
  return 2 * call;
}
[[nodiscard]] constexpr uint64_t EndMark(size_t call) {
  return 2 * call + 1;
}

class Linearizations {
 public:
  Linearizations(std::vector<Operation> history, std::vector<ThreadedCall> calls)
      : history_(std::move(history)), calls_(std::move(calls)) {}

  // Begins and ends in the order of the trace.
  void ReadOrder(const Trace& trace);
  // To the moment at which so many marks were passed.
  void GoTo(size_t marks);
  // "" if the volume's tree is one that an order leaves at this moment.
  [[nodiscard]] std::string Judge(Volume& volume);
  // The calls, with their answers and where they are at this moment.
  [[nodiscard]] std::string Describe() const;
  [[nodiscard]] size_t running() const { return static_cast<size_t>(__builtin_popcount(running_)); }

 private:
  using Calls = uint32_t;  // bit i: call i

  void Extend(std::vector<size_t>& order, Calls done);
  [[nodiscard]] bool MayBeNext(size_t call, Calls done) const;

  std::vector<Operation> history_;
  std::vector<ThreadedCall> calls_;
  std::vector<uint64_t> marks_;
  std::vector<size_t> began_, returned_;  // places in marks_
  Calls finished_ = 0;
  Calls running_ = 0;
  std::vector<std::string> trees_;  // at this moment; empty: not yet known
};

}  // namespace ingot::tests
