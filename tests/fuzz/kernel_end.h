// SPDX-License-Identifier: BSD-3-Clause
// The kernel's end of a FUSE connection, played by a test: sends requests to a session one by one
// and judges the replies.
//
// It keeps what the kernel promises and libfuse relies on: lengths and counts inside a request fit
// it, strings end, references are given back at most as often as they were handed out. Everything
// else of a request may be anything. Borrows the session; one at a time in a process, because
// libfuse gives its io functions nothing to know it by.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "fs/fuse/session.h"

struct fuse_in_header;

namespace ingot::tests {

class KernelEnd {
 public:
  // Attaches to the session. Failures are CHECKs.
  explicit KernelEnd(Session& session);
  ~KernelEnd();
  KernelEnd(const KernelEnd&) = delete;

  struct From {
    uint64_t node = 0;
    uint32_t uid = 0;
    uint32_t gid = 0;
    uint32_t pid = 0;
  };
  // FUSE_INIT with these capabilities.
  void Init(uint32_t minor, uint64_t flags);
  // Sends one request and CHECKs its reply: one, or none where there is none to be; whole; an errno
  // value or a body. `max_reply_bytes`: what the body may have at most.
  void Send(uint32_t opcode, const From& from, std::span<const std::byte> body,
            uint64_t max_reply_bytes = 1 << 20);
  // Gives back references that the session has handed out, up to `count`.
  void Forget(uint64_t node, uint64_t count);
  void Release(uint64_t node);

  // Inodes that the session has told of.
  [[nodiscard]] const std::map<uint64_t, uint64_t>& lookups() const { return lookups_; }
  [[nodiscard]] const std::vector<uint64_t>& opens() const { return opens_; }

 private:
  static ssize_t Read(int descriptor, void* to, size_t size_bytes, void* session);
  static ssize_t Write(int descriptor, struct iovec* pieces, int count, void* session);
  size_t Take(std::span<const struct iovec> pieces);
  void CheckReply(uint32_t opcode, const From& from, uint64_t max_reply_bytes);
  void NoteReferences(uint32_t opcode, const From& from, std::span<const std::byte> body);
  void NoteEntry(std::span<const std::byte> entry);
  void NoteEntries(std::span<const std::byte> list);

  Session& session_;
  uint64_t unique_ = 0;
  std::vector<std::byte> request_;  // the one under way
  std::vector<std::byte> memory_;   // libfuse's buffer
  std::vector<std::vector<std::byte>> replies_;
  std::map<uint64_t, uint64_t> lookups_;
  std::vector<uint64_t> opens_;
};

}  // namespace ingot::tests
