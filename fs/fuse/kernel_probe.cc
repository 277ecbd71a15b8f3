// SPDX-License-Identifier: BSD-3-Clause
// FUSE_INIT by hand: libfuse would want a mount point. The structs are the protocol's of Linux
// 6.9 (7.40), which Debian 12's headers don't have yet.
#include "fs/fuse/kernel_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "fs/fuse/backing_ioctl.h"
#include "fs/fuse/libfuse.h"

namespace ingot {
namespace {

constexpr uint32_t kOpcodeInit = 26;
constexpr uint64_t kFlagInitExt = uint64_t{1} << 30;
constexpr uint64_t kFlagPassthrough = uint64_t{1} << 37;
constexpr uint64_t kFlagOverIoUring = uint64_t{1} << 41;
// The kernel's smallest: FUSE_MIN_READ_BUFFER.
constexpr size_t kReadBytes = 8192;
constexpr int kWaitMs = 2000;

struct InitRequest {
  uint32_t length, opcode;
  uint64_t unique, node;
  uint32_t uid, gid, pid;
  uint16_t extensions_length, padding;
  uint32_t major, minor, max_readahead, flags, flags2;
};
struct InitReply {
  uint32_t length;
  int32_t error;
  uint64_t unique;
  uint32_t major, minor, max_readahead, flags;
  uint16_t max_background, congestion_threshold;
  uint32_t max_write, time_gran;
  uint16_t max_pages, map_alignment;
  uint32_t flags2, max_stack_depth;
  std::array<uint32_t, 6> unused;
};
static_assert(sizeof(InitReply) == 16 + 64);

Result<void> Configure(int context, const char* key, const std::string& value) {
  if (fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return {};
  return FailureFromErrno(key);
}

}  // namespace

Result<KernelProbe> KernelProbe::Open() {
  const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return FailureFromErrno("/dev/fuse");
  KernelProbe probe(device, fsopen("fuse", FSOPEN_CLOEXEC));
  if (probe.context_ < 0) return FailureFromErrno("fsopen");
  TRY(Configure(probe.context_, "source", "ingot-probe"));
  TRY(Configure(probe.context_, "fd", std::to_string(device)));
  TRY(Configure(probe.context_, "rootmode", "40000"));
  TRY(Configure(probe.context_, "user_id", "0"));
  TRY(Configure(probe.context_, "group_id", "0"));
  if (fsconfig(probe.context_, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return FailureFromErrno("making a FUSE connection");
  }
  TRY(probe.Handshake());
  return probe;
}

Result<void> KernelProbe::Handshake() {
  struct pollfd events = {device_, POLLIN, 0};
  if (poll(&events, 1, kWaitMs) != 1) return Failure(EPROTO, "the kernel sends no handshake");
  std::array<char, kReadBytes> buffer{};
  const ssize_t got = read(device_, buffer.data(), buffer.size());
  if (got < 0) return FailureFromErrno("reading from /dev/fuse");
  InitRequest request{};
  std::memcpy(&request, buffer.data(), std::min(sizeof(request), static_cast<size_t>(got)));
  if (request.opcode != kOpcodeInit) return Failure(EPROTO, "the kernel begins otherwise");
  protocol_minor_ = request.minor;
  uint64_t offered = request.flags;
  if ((offered & kFlagInitExt) != 0) offered |= uint64_t{request.flags2} << 32;
  offers_passthrough_ = (offered & kFlagPassthrough) != 0;
  offers_io_uring_ = (offered & kFlagOverIoUring) != 0;

  const uint64_t wanted = offered & (kFlagInitExt | kFlagPassthrough);
  InitReply reply{};
  reply.length = sizeof(reply);
  reply.unique = request.unique;
  reply.major = request.major;
  reply.minor = request.minor;
  reply.flags = static_cast<uint32_t>(wanted);
  reply.flags2 = static_cast<uint32_t>(wanted >> 32);
  reply.max_write = 4096;
  reply.time_gran = 1;
  // As the daemon has it: the host's files lie on no stacked filesystem.
  reply.max_stack_depth = 1;
  if (write(device_, &reply, sizeof(reply)) != sizeof(reply)) {
    return FailureFromErrno("answering the handshake");
  }
  return {};
}

KernelProbe::~KernelProbe() {
  // First the connection, so that the end of the filesystem waits for nobody.
  if (device_ >= 0) close(device_);
  if (context_ >= 0) close(context_);
}

KernelProbe::KernelProbe(KernelProbe&& other) noexcept
    : device_(std::exchange(other.device_, -1)),
      context_(std::exchange(other.context_, -1)),
      protocol_minor_(other.protocol_minor_),
      offers_passthrough_(other.offers_passthrough_),
      offers_io_uring_(other.offers_io_uring_) {}

Result<void> KernelProbe::TakesBackingFile(int fd) const {
  if (!offers_passthrough_) return Failure(EOPNOTSUPP, "the kernel offers no passthrough");
  UnregisterBacking(device_, TRY(RegisterBacking(device_, fd)));
  return {};
}

LibfuseFacts LookAtLibfuse() {
  constexpr int kFirstWithPassthrough = 317;
  return {fuse_pkgversion(), fuse_version() >= kFirstWithPassthrough};
}

std::string WhyNotDirect(DirectMode direct, bool kernel_offers_passthrough, bool has_sys_admin) {
  if (direct == DirectMode::kNever) return "mounted with direct=never";
  if (!kernel_offers_passthrough) {
    return "the kernel doesn't offer FUSE passthrough (Linux 6.9, CONFIG_FUSE_PASSTHROUGH)";
  }
  if (!has_sys_admin) return "the daemon lacks CAP_SYS_ADMIN";
  return {};
}

std::string DescribeRefusal(int code) {
  if (code == ELOOP) {
    return "the host's filesystem lies upon another one (overlayfs, ecryptfs), whose files the "
           "kernel doesn't pass through";
  }
  return fmt::format("the kernel refuses the host's files ({})", ErrnoName(code));
}

std::string WhyHostIsRefused(int fd) {
  const Result<KernelProbe> probe = KernelProbe::Open();
  if (!probe || !probe->offers_passthrough()) return {};
  const int code = probe->TakesBackingFile(fd).error_code();
  const bool is_for_ever = code == ELOOP || code == EOPNOTSUPP || code == ENOTTY;
  return is_for_ever ? DescribeRefusal(code) : std::string();
}

}  // namespace ingot
