// SPDX-License-Identifier: BSD-3-Clause
// Every operation of fs/core that can run out of space or memory, in the situations in which it
// needs most of either, on a pool that holds something of everything.
//
// A case does what it needs beforehand unharmed, then arms the fault and calls one operation. It
// can be done again after it failed. Not thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/volume/pools.h"

namespace ingot::tests {

// What is armed while one of these lives; by whoever runs the case.
class Fault {
 public:
  virtual ~Fault() = default;
  virtual void Arm() = 0;
  virtual void Disarm() = 0;
};
class Armed {
 public:
  explicit Armed(Fault& fault) : fault_(fault) { fault_.Arm(); }
  ~Armed() { fault_.Disarm(); }
  Armed(const Armed&) = delete;

 private:
  Fault& fault_;
};

struct FaultCase {
  std::string name;
  // How much of `amount` was done; all of it where only all or nothing can be.
  std::function<Result<uint64_t>(Volume&, Fault&, uint64_t done)> run;
  uint64_t amount = 0;
  // Stores to data in place beside what can fail: its range may be new in part if it does, and
  // the privileges that go before that may be gone.
  bool tears = false;
};

[[nodiscard]] const std::vector<FaultCase>& FaultCases();
// The parts of it.
void AddNameFaultCases(std::vector<FaultCase>& cases);
void AddDataFaultCases(std::vector<FaultCase>& cases);
void AddAttributeFaultCases(std::vector<FaultCase>& cases);

// The pool that they run on: a descriptor of its bytes, the same for all.
[[nodiscard]] int FaultCasePool();

// Which failure comes after the n-th: each of the first, which are all that most operations have;
// where there are thousands they are alike. Sanitizers, under which each costs several times as
// much, see each of a quarter as many and half of what follows.
[[nodiscard]] constexpr uint64_t NextFailure(uint64_t n, uint64_t each) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return n < each / 4 ? n + 1 : n + 1 + n / 8;
#else
  return n < each ? n + 1 : n + n / 16;
#endif
}

// The access list of a file that somebody else may use as well.
[[nodiscard]] std::vector<std::byte> SomeAcl();

// An operation without a count.
[[nodiscard]] inline Result<uint64_t> Counted(const Result<void>& result) {
  if (!result) return tl::unexpected<Error>(result.error());
  return uint64_t{0};
}

// One call on the inode at a path, whose result is of no interest.
template <typename Call>
[[nodiscard]] FaultCase OnInode(std::string name, std::string path, Call call) {
  return {std::move(name),
          [path = std::move(path), call](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber inode = InodeAt(volume, path);
            const Armed armed(fault);
            return Counted(NoThrow([&]() -> Result<void> {
              TRY(call(volume, inode));
              return {};
            }));
          }};
}

}  // namespace ingot::tests
