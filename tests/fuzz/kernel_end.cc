// SPDX-License-Identifier: BSD-3-Clause
// One buffer in, one reply out. Bytes behind a request are zeros, as in a buffer of its own.
#include "tests/fuzz/kernel_end.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "pmemdev/base/check.h"
#include "pmemdev/base/fields.h"

namespace ingot::tests {
namespace {

constexpr size_t kHeadersBytes = 4096;
constexpr int32_t kMaxErrno = 512;  // the kernel refuses replies with more
constexpr size_t kBufferBytes = (1 << 20) + (64 << 10);

KernelEnd* attached = nullptr;

// The only reply to an interrupt is ENOSYS: "send no more of them".
bool IsRightCount(uint32_t opcode, size_t replies) {
  if (opcode == FUSE_INTERRUPT) return replies <= 1;
  const bool is_silent = opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
  return replies == (is_silent ? 0 : 1);
}

template <typename T>
T Load(std::span<const std::byte> from) {
  T value{};
  std::memcpy(&value, from.data(), std::min(sizeof(value), from.size()));
  return value;
}

}  // namespace

KernelEnd::KernelEnd(Session& session) : session_(session), memory_(kBufferBytes) {
  CHECK(attached == nullptr, "two at once");
  attached = this;
  fuse_custom_io io{};
  io.read = &KernelEnd::Read;
  io.writev = &KernelEnd::Write;
  const int descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
  const Result<void> done = session_.Attach(io, descriptor);
  CHECK(done.has_value(), "{}", Describe(done.error()));
}

KernelEnd::~KernelEnd() {
  attached = nullptr;
}

ssize_t KernelEnd::Read(int, void* to, size_t size_bytes, void*) {
  const auto& request = attached->request_;
  CHECK(request.size() <= size_bytes, "{} bytes do not fit {}", request.size(), size_bytes);
  std::memcpy(to, request.data(), request.size());
  return static_cast<ssize_t>(request.size());
}

ssize_t KernelEnd::Write(int, struct iovec* pieces, int count, void*) {
  return static_cast<ssize_t>(attached->Take(std::span(pieces, static_cast<size_t>(count))));
}

size_t KernelEnd::Take(std::span<const struct iovec> pieces) {
  std::vector<std::byte> reply;
  for (const struct iovec& piece : pieces) {
    const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
    reply.insert(reply.end(), bytes, bytes + piece.iov_len);
  }
  const size_t size_bytes = reply.size();
  const bool is_notification = Load<fuse_out_header>(reply).unique == 0;
  if (!is_notification) replies_.push_back(std::move(reply));
  return size_bytes;
}

void KernelEnd::Init(uint32_t minor, uint64_t flags) {
  fuse_init_in body{};
  body.major = FUSE_KERNEL_VERSION;
  body.minor = minor;
  body.max_readahead = 128 << 10;
  body.flags = static_cast<uint32_t>(flags) | FUSE_INIT_EXT | FUSE_MAX_PAGES;
  body.flags2 = static_cast<uint32_t>(flags >> 32);
  Send(FUSE_INIT, From{}, BytesOf(body));
}

void KernelEnd::Send(uint32_t opcode, const From& from, std::span<const std::byte> body,
                     uint64_t max_reply_bytes) {
  fuse_in_header header{};
  header.len = static_cast<uint32_t>(sizeof(header) + body.size());
  header.opcode = opcode;
  header.unique = ++unique_;
  header.nodeid = from.node;
  header.uid = from.uid;
  header.gid = from.gid;
  header.pid = from.pid;
  const auto bytes = BytesOf(header);
  request_.assign(bytes.begin(), bytes.end());
  request_.insert(request_.end(), body.begin(), body.end());
  replies_.clear();

  // A write's payload begins on a page, as in the daemon's own buffers.
  fuse_buf buffer{};
  buffer.mem = memory_.data() + kHeadersBytes - sizeof(header) - sizeof(fuse_write_in);
  buffer.size = memory_.size() - kHeadersBytes;
  const int received = fuse_session_receive_buf(session_.raw(), &buffer);
  CHECK(received == static_cast<int>(request_.size()), "received {}", received);
  fuse_session_process_buf(session_.raw(), &buffer);
  std::memset(buffer.mem, 0, request_.size());
  CheckReply(opcode, from, max_reply_bytes);
}

void KernelEnd::CheckReply(uint32_t opcode, const From& from, uint64_t max_reply_bytes) {
  CHECK(IsRightCount(opcode, replies_.size()), "opcode {}: {} replies", opcode, replies_.size());
  if (replies_.empty()) return;
  const std::span<const std::byte> reply = replies_[0];
  const auto header = Load<fuse_out_header>(reply);
  CHECK(reply.size() >= sizeof(header) && header.len == reply.size() && header.unique == unique_,
        "opcode {}: a reply of {} bytes, length {}, unique {} of {}", opcode, reply.size(),
        header.len, header.unique, unique_);
  CHECK(header.error <= 0 && header.error > -kMaxErrno, "opcode {}: error {}", opcode,
        header.error);
  const auto body = reply.subspan(sizeof(header));
  CHECK(header.error == 0 || body.empty(), "opcode {}: error {} with a body", opcode, header.error);
  CHECK(body.size() <= max_reply_bytes, "opcode {}: a body of {} bytes, at most {}", opcode,
        body.size(), max_reply_bytes);
  if (header.error == 0) NoteReferences(opcode, from, body);
}

void KernelEnd::NoteReferences(uint32_t opcode, const From& from, std::span<const std::byte> body) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      return NoteEntry(body);
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      NoteEntry(body);
      opens_.push_back(Load<fuse_entry_out>(body).nodeid);
      return;
    case FUSE_OPEN:
      opens_.push_back(from.node);
      return;
    case FUSE_READDIRPLUS:
      return NoteEntries(body);
    default:
      return;
  }
}

void KernelEnd::NoteEntry(std::span<const std::byte> entry) {
  const auto out = Load<fuse_entry_out>(entry);
  if (out.nodeid != 0) ++lookups_[out.nodeid];
}

// As fs/fuse/readdir.c walks them.
void KernelEnd::NoteEntries(std::span<const std::byte> list) {
  while (list.size() >= FUSE_NAME_OFFSET_DIRENTPLUS) {
    const auto entry = Load<fuse_direntplus>(list);
    const size_t size_bytes = FUSE_DIRENTPLUS_SIZE(&entry);
    CHECK(entry.dirent.namelen > 0 && entry.dirent.namelen <= 255, "a name of {} bytes",
          entry.dirent.namelen);
    CHECK(size_bytes <= list.size(), "an entry of {} bytes in {}", size_bytes, list.size());
    NoteEntry(list);
    list = list.subspan(size_bytes);
  }
  CHECK(list.empty(), "{} bytes behind the last entry", list.size());
}

void KernelEnd::Forget(uint64_t node, uint64_t count) {
  const auto known = lookups_.find(node);
  if (known == lookups_.end()) return;
  const uint64_t given = std::min(std::max<uint64_t>(count, 1), known->second);
  known->second -= given;
  if (known->second == 0) lookups_.erase(known);
  const fuse_forget_in body{given};
  Send(FUSE_FORGET, From{.node = node}, BytesOf(body));
}

void KernelEnd::Release(uint64_t node) {
  const auto handle = std::ranges::find(opens_, node);
  if (handle == opens_.end()) return;
  opens_.erase(handle);
  const fuse_release_in body{};
  Send(FUSE_RELEASE, From{.node = node}, BytesOf(body));
}

}  // namespace ingot::tests
