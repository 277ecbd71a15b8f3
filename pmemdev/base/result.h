// SPDX-License-Identifier: BSD-3-Clause
// Result<T>: a value or an Error, and TRY() to hand the Error up.
//
// Our code never throws, but the heap does: std::bad_alloc unwinds whatever was going on, and
// NoThrow() makes it ENOMEM; std::length_error, too, which is a container asked for more than there
// can ever be. Any other exception is our bug, like a failed CHECK: where a library reports by
// exceptions (std::thread, spdlog), whoever calls it catches that kind right there. NoThrow() is
// noexcept, so what slips through ends the process where it is noticed, and never unwinds through
// libfuse's frames.
//
// Every function that can fail returns Result<T>; the FUSE and CLI edges turn an Error into an
// errno, an exit code and one clear message. An Error carries an errno value and a short context;
// ordinary answers of hot paths (ENOENT of a lookup) carry none and cost no heap.
#pragma once

#include <cerrno>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace ingot {

// An errno value and what was being done. `code` is positive (ENOENT, not -ENOENT). Copies never
// throw, for tl::expected makes them where nothing may (std::terminate); without memory the copy's
// context is empty.
struct Error {
  Error() = default;
  explicit Error(int errno_code) : code(errno_code) {}
  Error(int errno_code, std::string what) : code(errno_code), context(std::move(what)) {}
  Error(const Error& other) noexcept : code(other.code) { CopyContext(other); }
  Error(Error&& other) noexcept = default;
  Error& operator=(const Error& other) noexcept {
    code = other.code;
    if (this != &other) CopyContext(other);
    return *this;
  }
  Error& operator=(Error&& other) noexcept = default;
  ~Error() = default;

  int code = 0;
  std::string context;

 private:
  void CopyContext(const Error& other) {
    try {
      context = other.context;
    } catch (const std::bad_alloc&) {
      context.clear();
    }
  }
};

// tl::expected is not [[nodiscard]] by itself, hence the derived class.
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  [[nodiscard]] int error_code() const { return this->has_value() ? 0 : this->error().code; }
};

// Failure(EIO, "superblock: checksum") reads as the return statement of a failing function.
[[nodiscard]] inline tl::unexpected<Error> Failure(int code, std::string context = {}) {
  return tl::unexpected<Error>(Error(code, std::move(context)));
}

// Failure with the errno that the last system call left; `what` names the call and its object.
[[nodiscard]] inline tl::unexpected<Error> FailureFromErrno(std::string what) {
  return Failure(errno, std::move(what));
}

// What `work` returns, a Result; ENOMEM if the heap had nothing left for it. For edges, and for
// steps of what goes on, or cleans up, after one of them failed.
template <typename Work>
[[nodiscard]] auto NoThrow(Work&& work) noexcept -> decltype(std::forward<Work>(work)()) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
    return Failure(ENOMEM);
  } catch (const std::length_error&) {
    return Failure(ENOMEM);
  }
}

// "EUCLEAN" for EUCLEAN; for messages and logs. Unknown values give "errno".
[[nodiscard]] const char* ErrnoName(int code);

// One line for people: "context: reason (ENAME)".
[[nodiscard]] std::string Describe(const Error& error);

namespace internal {
// For TRY: tl::expected<void> has no value() of an rvalue.
template <typename T>
T TakeValue(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}
}  // namespace internal

}  // namespace ingot

#define INGOT_TRY_CONCAT2(a, b) a##b
#define INGOT_TRY_CONCAT(a, b) INGOT_TRY_CONCAT2(a, b)
#define INGOT_TRY_IMPL(name, expression)                                \
  ({                                                                    \
    auto&& name = (expression);                                         \
    if (!name.has_value()) [[unlikely]]                                 \
      return ::tl::unexpected<::ingot::Error>(std::move(name).error()); \
    ::ingot::internal::TakeValue(std::move(name));                      \
  })

// TRY(expression): the value of a Result, or return its Error from the enclosing function.
#define TRY(...) INGOT_TRY_IMPL(INGOT_TRY_CONCAT(try_result_, __COUNTER__), __VA_ARGS__)
