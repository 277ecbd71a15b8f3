// SPDX-License-Identifier: BSD-3-Clause
// One request of the kernel: who asks, and its reply, sent exactly once.
//
// Lives on the serving thread's stack from arrival to the last touch of the volume. A reply that
// the kernel did not take (the caller is gone, or the reply's source faulted) is over as well: it
// is never tried again, only its references are given back. Not thread-safe.
#pragma once

#include <sys/uio.h>

#include <span>
#include <string>

#include "fs/core/volume.h"
#include "fs/fuse/activity.h"
#include "fs/fuse/libfuse.h"

namespace ingot {

class Session;

class Request {
 public:
  Request(fuse_req_t request, Operation operation) noexcept;
  ~Request();
  Request(const Request&) = delete;

  [[nodiscard]] Session& session() { return session_; }
  [[nodiscard]] Volume& volume();
  [[nodiscard]] Caller caller() const;
  [[nodiscard]] uint32_t umask() const;
  [[nodiscard]] pid_t pid() const;
  [[nodiscard]] Operation operation() const { return operation_; }

  // False if the filesystem was shut down; the request is then answered already.
  [[nodiscard]] bool Admit();
  // After the handler: an error that it returned becomes the reply. (Out of memory after the reply
  // is nobody's concern.)
  void Finish(const Result<void>& result);

  // --- replies
  // ------------------------------------------------------------------------------------
  void Done();
  void None();  // forgets have no reply
  // Hands one lookup reference (and for Created one open) over to the kernel, or gives them back.
  void Entry(const Attributes& attributes);
  void NoEntry();  // "there is none", to be remembered
  void Created(const Attributes& attributes, const fuse_file_info& file);
  void Opened(InodeNumber inode, const fuse_file_info& file);
  void ReplyAttributes(const Attributes& attributes);
  void ReplyStatx(const Attributes& attributes);
  void Target(const std::string& target);
  void Written(uint64_t size_bytes);
  void Offset(uint64_t offset);
  void Statistics(const struct statvfs& statistics);
  void XattrSize(size_t size_bytes);
  void IoctlResult(std::span<const std::byte> bytes);
  // 0, or the errno value with which the kernel refused the reply. EFAULT: a source byte could not
  // be read; the kernel has answered the caller with EIO.
  int Bytes(std::span<const std::byte> bytes);
  int Pieces(std::span<const struct iovec> pieces);

  // The reply's own memory if the request came through io_uring, else empty. Filled, it is sent
  // without another copy by Bytes().
  [[nodiscard]] std::span<std::byte> Payload();

 private:
  fuse_req_t Take();

  fuse_req_t request_;  // null once answered
  Session& session_;
  const Operation operation_;
  Activity::Busy busy_;
};

// The callback for libfuse of a handler `Result<void> F(Request&, arguments...)`. Nothing may be
// thrown through libfuse's frames, hence noexcept; and only the handler itself needs memory.
template <Operation operation, auto function>
struct Handler;
template <Operation operation, typename... Arguments,
          Result<void> (*function)(Request&, Arguments...)>
struct Handler<operation, function> {
  static void Call(fuse_req_t raw, Arguments... arguments) noexcept {
    Request request(raw, operation);
    if (!request.Admit()) return;
    request.Finish(NoThrow([&] { return function(request, arguments...); }));
  }
};

}  // namespace ingot
