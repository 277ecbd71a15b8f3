// SPDX-License-Identifier: BSD-3-Clause
// Replies through libfuse, and what is given back when one could not be delivered.
#include "fs/fuse/request.h"

#include "fs/fuse/attribute_conversion.h"
#include "fs/fuse/session.h"
#include "pmemdev/base/check.h"

namespace ingot {
namespace {

Session& SessionOf(fuse_req_t request) {
  return *static_cast<Session*>(fuse_req_userdata(request));
}

bool IsForget(Operation operation) {
  return operation == Operation::kForget || operation == Operation::kForgetMulti;
}

}  // namespace

Request::Request(fuse_req_t request, Operation operation) noexcept
    : request_(request),
      session_(SessionOf(request)),
      operation_(operation),
      busy_(session_.activity(), operation) {}

Request::~Request() {
  CHECK(request_ == nullptr, "{}: not answered", NameOf(operation_));
}

Volume& Request::volume() {
  return session_.volume();
}

Caller Request::caller() const {
  const fuse_ctx* context = fuse_req_ctx(request_);
  return Caller{context->uid, context->gid};
}

uint32_t Request::umask() const {
  return fuse_req_ctx(request_)->umask;
}
pid_t Request::pid() const {
  return fuse_req_ctx(request_)->pid;
}

fuse_req_t Request::Take() {
  CHECK(request_ != nullptr, "{}: answered twice", NameOf(operation_));
  return std::exchange(request_, nullptr);
}

bool Request::Admit() {
  if (!session_.is_shut_down()) return true;
  if (IsForget(operation_)) {
    None();
  } else {
    fuse_reply_err(Take(), EIO);
  }
  return false;
}

void Request::Finish(const Result<void>& result) {
  if (result) return;
  const Error& error = result.error();
  if (request_ == nullptr && error.code == ENOMEM) return;
  if (error.code == EIO || error.code == EUCLEAN) session_.NoteFailure(operation_, error);
  CHECK(error.code > 0, "{}: {}", NameOf(operation_), error.code);
  CHECK(!IsForget(operation_), "{}: {}", NameOf(operation_), error.code);
  fuse_reply_err(Take(), error.code);
}

void Request::Done() {
  fuse_reply_err(Take(), 0);
}
void Request::None() {
  fuse_reply_none(Take());
}

void Request::Entry(const Attributes& attributes) {
  fuse_entry_param entry = ToEntry(attributes);
  entry.attr_timeout = session_.AttributeTimeoutOf(attributes);
  if (fuse_reply_entry(Take(), &entry) != 0) session_.Forget(attributes.inode, 1);
}

void Request::NoEntry() {
  fuse_entry_param entry{};
  entry.entry_timeout = kForeverSeconds;
  fuse_reply_entry(Take(), &entry);
}

void Request::Created(const Attributes& attributes, const fuse_file_info& file) {
  fuse_entry_param entry = ToEntry(attributes);
  entry.attr_timeout = session_.AttributeTimeoutOf(attributes);
  if (fuse_reply_create(Take(), &entry, &file) == 0) return;
  session_.CloseHandle(attributes.inode, file.fh);
  session_.Forget(attributes.inode, 1);
}

void Request::Opened(InodeNumber inode, const fuse_file_info& file) {
  if (fuse_reply_open(Take(), &file) != 0) session_.CloseHandle(inode, file.fh);
}

void Request::ReplyAttributes(const Attributes& attributes) {
  const struct stat status = ToStat(attributes);
  fuse_reply_attr(Take(), &status, session_.AttributeTimeoutOf(attributes));
}

void Request::ReplyStatx(const Attributes& attributes) {
  struct statx status = ToStatx(attributes);
  fuse_reply_statx(Take(), 0, &status, session_.AttributeTimeoutOf(attributes));
}

void Request::Target(const std::string& target) {
  fuse_reply_readlink(Take(), target.c_str());
}
void Request::Written(uint64_t size_bytes) {
  fuse_reply_write(Take(), size_bytes);
}
void Request::Offset(uint64_t offset) {
  fuse_reply_lseek(Take(), static_cast<off_t>(offset));
}
void Request::Statistics(const struct statvfs& statistics) {
  fuse_reply_statfs(Take(), &statistics);
}
void Request::XattrSize(size_t size_bytes) {
  fuse_reply_xattr(Take(), size_bytes);
}

void Request::IoctlResult(std::span<const std::byte> bytes) {
  fuse_reply_ioctl(Take(), 0, bytes.data(), bytes.size());
}

int Request::Bytes(std::span<const std::byte> bytes) {
  return -fuse_reply_buf(Take(), reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

int Request::Pieces(std::span<const struct iovec> pieces) {
  if (pieces.empty()) return Bytes({});
  if (pieces.size() == 1) {  // needs no vector from the heap
    return Bytes({static_cast<const std::byte*>(pieces[0].iov_base), pieces[0].iov_len});
  }
  return -fuse_reply_iov(Take(), pieces.data(), static_cast<int>(pieces.size()));
}

std::span<std::byte> Request::Payload() {
  if (!fuse_req_is_uring(request_)) return {};
  char* payload = nullptr;
  size_t size_bytes = 0;
  if (fuse_req_get_payload(request_, &payload, &size_bytes, nullptr) != 0) return {};
  return {reinterpret_cast<std::byte*>(payload), size_bytes};
}

}  // namespace ingot
