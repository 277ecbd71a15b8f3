// SPDX-License-Identifier: BSD-3-Clause
// Bodies of requests, field by field.
#include "tests/fuzz/request_maker.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "pmemdev/base/fields.h"

namespace ingot::tests {
namespace {

constexpr uint32_t kStatx = 52;  // FUSE_STATX, younger than Debian 12's headers
constexpr uint64_t kMaxTransferBytes = 1 << 20;
constexpr size_t kMaxPayloadBytes = 64 << 10;

constexpr std::array<uint32_t, 20> kSizes = {
    0,    1,    7,     8,     24,    160,     255,     320,  336,        4095,
    4096, 4097, 65535, 65536, 65537, 1 << 19, 1 << 20, 9000, 0x7FFFFFFF, 0xFFFFFFFF};
constexpr std::array<uint64_t, 20> kOffsets = {0,
                                               1,
                                               335,
                                               336,
                                               4095,
                                               4096,
                                               9000,
                                               65536,
                                               (1 << 20) - 1,
                                               1 << 20,
                                               2 << 20,
                                               6 << 20,
                                               1ULL << 32,
                                               1ULL << 40,
                                               (1ULL << 62) - 4096,
                                               1ULL << 62,
                                               (1ULL << 63) - 1,
                                               1ULL << 63,
                                               ~0ULL - 4095,
                                               ~0ULL};

uint64_t Offset(Input& input) {
  const uint8_t choice = input.Byte();
  if (choice >= 250) return input.Take<uint64_t>();
  return kOffsets[choice % kOffsets.size()] + (choice < 200 ? 0 : input.Byte());
}

uint32_t Size(Input& input) {
  const uint8_t choice = input.Byte();
  return choice >= 240 ? input.Take<uint32_t>() : kSizes[choice % kSizes.size()];
}

std::string Name(Input& input) {
  const uint8_t choice = input.Byte();
  if (choice < 96) return fmt::format("f{}", choice % 8);
  if (choice < 160) return fmt::format("d{}", choice % 4);
  constexpr std::array<const char*, 12> kOdd = {"",          ".",        "..",       "/",
                                                "a/b",       "short",    "long",     "linked",
                                                "truncated", "special1", "\xff\xfe", "lost+found"};
  if (choice < 208) return kOdd[choice % kOdd.size()];
  if (choice < 240) return std::string(254 + choice % 4, static_cast<char>('a' + choice % 4));
  const auto bytes = input.Bytes(choice - 239);
  return {bytes.begin(), bytes.end()};
}

std::string XattrName(Input& input) {
  constexpr std::array<const char*, 16> kNames = {"user.x",
                                                  "user.y",
                                                  "trusted.x0",
                                                  "trusted.x1",
                                                  "trusted.x3",
                                                  "security.capability",
                                                  "system.posix_acl_access",
                                                  "system.posix_acl_default",
                                                  "user.ingot.status",
                                                  "user.ingot.remount",
                                                  "user.ingot.map",
                                                  "user.",
                                                  "system.other",
                                                  "",
                                                  "nothing",
                                                  "user.long"};
  const uint8_t choice = input.Byte();
  if (choice >= 248) return "user." + std::string(245 + choice % 8, 'n');
  return kNames[choice % kNames.size()];
}

}  // namespace

class RequestMaker::Body {
 public:
  template <typename T>
  Body& Add(const T& value) {
    return AddBytes(BytesOf(value));
  }
  // With its end; what is behind a zero byte is the next string's.
  Body& AddName(const std::string& name) {
    AddBytes(std::as_bytes(std::span(name)));
    bytes_.push_back(std::byte{0});
    return *this;
  }
  Body& AddBytes(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Body& AddPayload(size_t size_bytes, uint8_t value) {
    bytes_.insert(bytes_.end(), size_bytes, static_cast<std::byte>(value));
    return *this;
  }
  [[nodiscard]] std::span<const std::byte> get() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

uint64_t RequestMaker::Node(Input& input) const {
  constexpr std::array<uint64_t, 10> kOdd = {0,          2,          3,          7,          128,
                                             1ULL << 20, 1ULL << 32, 1ULL << 51, 1ULL << 63, ~0ULL};
  const uint8_t choice = input.Byte();
  if (choice < 64) return FUSE_ROOT_ID;
  if (choice < 72) return kOdd[choice % kOdd.size()];
  if (choice < 80) return input.Take<uint64_t>();
  // The sample's own inodes, which a kernel would know after a while.
  if (choice < 144) return 1 + choice % 64;
  const auto& known = kernel_.lookups();
  if (known.empty()) return FUSE_ROOT_ID;
  return std::next(known.begin(), static_cast<ptrdiff_t>(choice % known.size()))->first;
}

KernelEnd::From RequestMaker::From(Input& input) const {
  KernelEnd::From from{.node = Node(input)};
  const uint8_t who = input.Byte();
  if ((who & 1) != 0) from.uid = 1000;
  if ((who & 2) != 0) from.gid = 100;
  // Capabilities are looked up in /proc, which takes time: seldom somebody who exists.
  from.pid = who < 16 ? static_cast<uint32_t>(getpid()) : who < 24 ? 0xFFFFFFFF : 0;
  return from;
}

void RequestMaker::SendNames(Input& input, uint32_t opcode) {
  const KernelEnd::From from = From(input);
  Body body;
  const uint32_t mode = input.Take<uint16_t>();
  switch (opcode) {
    case FUSE_MKNOD:
      body.Add(fuse_mknod_in{mode, Size(input), input.Byte(), 0});
      break;
    case FUSE_MKDIR:
      body.Add(fuse_mkdir_in{mode, input.Byte()});
      break;
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      body.Add(fuse_create_in{input.Take<uint32_t>(), mode, input.Byte(), 0});
      break;
    case FUSE_RENAME:
      body.Add(fuse_rename_in{Node(input)});
      break;
    case FUSE_RENAME2:
      body.Add(fuse_rename2_in{Node(input), input.Byte(), 0});
      break;
    case FUSE_LINK:
      body.Add(fuse_link_in{Node(input)});
      break;
    default:
      break;
  }
  body.AddName(Name(input));
  if (opcode == FUSE_RENAME || opcode == FUSE_RENAME2) body.AddName(Name(input));
  if (opcode == FUSE_SYMLINK) body.AddName(std::string(Size(input) % 5000, 't'));
  kernel_.Send(opcode, from, body.get());
}

void RequestMaker::SendData(Input& input, uint32_t opcode) {
  const KernelEnd::From from = From(input);
  Body body;
  uint64_t limit = kMaxTransferBytes;
  switch (opcode) {
    case FUSE_OPEN:
      body.Add(fuse_open_in{input.Take<uint32_t>(), input.Byte()});
      break;
    case FUSE_WRITE: {
      fuse_write_in write{};
      write.offset = Offset(input);
      write.size = std::min<uint32_t>(Size(input), kMaxPayloadBytes);
      write.write_flags = input.Byte();
      write.flags = input.Take<uint32_t>();
      body.Add(write).AddPayload(write.size, input.Byte());
      break;
    }
    case FUSE_COPY_FILE_RANGE: {
      fuse_copy_file_range_in copy{};
      copy.off_in = Offset(input);
      copy.nodeid_out = Node(input);
      copy.off_out = Offset(input);
      copy.len = Offset(input);
      body.Add(copy);
      break;
    }
    default: {  // reads of files and directories
      fuse_read_in read{};
      read.offset = Offset(input);
      // The kernel asks for no more than was agreed on.
      read.size = static_cast<uint32_t>(std::min<uint64_t>(Size(input), kMaxTransferBytes));
      read.read_flags = input.Byte();
      limit = read.size;
      body.Add(read);
    }
  }
  kernel_.Send(opcode, from, body.get(), limit);
}

void RequestMaker::SendSpace(Input& input, uint32_t opcode) {
  const KernelEnd::From from = From(input);
  Body body;
  if (opcode == FUSE_FALLOCATE) {
    fuse_fallocate_in range{};
    range.offset = Offset(input);
    range.length = Offset(input);
    range.mode = input.Byte();
    body.Add(range);
  } else if (opcode == FUSE_LSEEK) {
    fuse_lseek_in seek{};
    seek.offset = Offset(input);
    seek.whence = input.Byte() % 6;
    body.Add(seek);
  }
  kernel_.Send(opcode, from, body.get());
}

void RequestMaker::SendXattr(Input& input, uint32_t opcode) {
  const KernelEnd::From from = From(input);
  const uint32_t size = std::min<uint32_t>(Size(input), kMaxTransferBytes);
  Body body;
  uint64_t limit = kMaxTransferBytes;
  if (opcode == FUSE_SETXATTR) {
    const uint32_t value_bytes = std::min<uint32_t>(size, 65537);
    const uint32_t flags = input.Byte() % 4;
    const std::string name = XattrName(input);
    // Raw values: lists of access rights are parsed.
    const auto raw = std::as_bytes(input.Bytes(value_bytes < 64 ? value_bytes : 0));
    body.Add(value_bytes).Add(flags).AddName(name).AddBytes(raw);
    body.AddPayload(value_bytes - raw.size(), 'v');
  } else {
    if (opcode != FUSE_REMOVEXATTR) {
      body.Add(fuse_getxattr_in{size, 0});
      limit = size == 0 ? sizeof(fuse_getxattr_out) : size;
    }
    if (opcode != FUSE_LISTXATTR) body.AddName(XattrName(input));
  }
  kernel_.Send(opcode, from, body.get(), limit);
}

void RequestMaker::SendAttributes(Input& input, uint32_t opcode) {
  const KernelEnd::From from = From(input);
  Body body;
  if (opcode == FUSE_SETATTR) {
    fuse_setattr_in set{};
    set.valid = input.Take<uint32_t>();
    set.size = Offset(input);
    set.atime = Offset(input);
    set.mtime = Offset(input);
    set.ctime = Offset(input);
    set.atimensec = Size(input);
    set.mtimensec = Size(input);
    set.ctimensec = Size(input);
    set.mode = input.Take<uint32_t>();
    set.uid = input.Byte();
    set.gid = input.Byte();
    body.Add(set);
  } else if (opcode == FUSE_GETATTR) {
    body.Add(fuse_getattr_in{input.Byte(), 0, 0});
  } else if (opcode == kStatx) {
    body.AddPayload(24, input.Byte());
  }
  kernel_.Send(opcode, from, body.get());
}

void RequestMaker::SendIoctl(Input& input) {
  constexpr std::array<uint32_t, 8> kCommands = {FS_IOC_GETFLAGS,
                                                 FS_IOC_SETFLAGS,
                                                 FS_IOC_FSGETXATTR,
                                                 FS_IOC_FSSETXATTR,
                                                 FS_IOC_GETVERSION,
                                                 0x8004587d,
                                                 0,
                                                 0xFFFFFFFF};
  const KernelEnd::From from = From(input);
  fuse_ioctl_in ioctl{};
  ioctl.flags = input.Byte();
  ioctl.cmd = input.Pick(kCommands);
  ioctl.arg = Offset(input);
  const auto argument = std::as_bytes(input.Bytes(input.Below(48)));
  ioctl.in_size = static_cast<uint32_t>(argument.size());
  ioctl.out_size = Size(input);
  kernel_.Send(FUSE_IOCTL, from, Body().Add(ioctl).AddBytes(argument).get());
}

void RequestMaker::GiveBack(Input& input) {
  const uint64_t node = Node(input);
  if (input.Below(2) == 0) {
    kernel_.Forget(node, input.Byte());
  } else if (!kernel_.opens().empty()) {
    kernel_.Release(kernel_.opens()[input.Below(kernel_.opens().size())]);
  }
}

// Any bytes, but for what the kernel fills in: sizes of what follows in the request.
void RequestMaker::SendRaw(Input& input) {
  const KernelEnd::From from = From(input);
  auto opcode = static_cast<uint32_t>(input.Below(64));
  const auto raw = std::as_bytes(input.Bytes(input.Byte()));
  std::vector<std::byte> body(raw.begin(), raw.end());
  const auto limit = [&body](size_t at, size_t follows) {
    if (body.size() < at + sizeof(uint32_t)) return;
    uint32_t size = 0;
    std::memcpy(&size, body.data() + at, sizeof(size));
    const size_t room = body.size() > follows ? body.size() - follows : 0;
    size = static_cast<uint32_t>(std::min<size_t>(size, room));
    std::memcpy(body.data() + at, &size, sizeof(size));
  };
  switch (opcode) {
    case FUSE_INIT:
    case FUSE_DESTROY:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_RELEASE:
    case FUSE_NOTIFY_REPLY:
      opcode = FUSE_GETATTR;
      break;
    case FUSE_WRITE:
      limit(offsetof(fuse_write_in, size), sizeof(fuse_write_in));
      break;
    case FUSE_IOCTL:
      limit(offsetof(fuse_ioctl_in, in_size), sizeof(fuse_ioctl_in));
      break;
    case FUSE_SETXATTR:
      limit(0, FUSE_COMPAT_SETXATTR_IN_SIZE + 256);
      break;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: {
      // No more than was agreed on.
      constexpr size_t kHighHalf = offsetof(fuse_read_in, size) + 2;
      if (body.size() > kHighHalf + 1) body[kHighHalf] = body[kHighHalf + 1] = std::byte{0};
      break;
    }
    default:
      break;
  }
  kernel_.Send(opcode, from, body);
}

void RequestMaker::SendNext(Input& input) {
  constexpr std::array<uint32_t, 10> kNames = {FUSE_LOOKUP,  FUSE_MKNOD,  FUSE_MKDIR, FUSE_SYMLINK,
                                               FUSE_UNLINK,  FUSE_RMDIR,  FUSE_LINK,  FUSE_CREATE,
                                               FUSE_RENAME2, FUSE_TMPFILE};
  constexpr std::array<uint32_t, 6> kData = {FUSE_READ,    FUSE_WRITE,       FUSE_OPEN,
                                             FUSE_READDIR, FUSE_READDIRPLUS, FUSE_COPY_FILE_RANGE};
  constexpr std::array<uint32_t, 4> kSpace = {FUSE_FALLOCATE, FUSE_LSEEK, FUSE_STATFS,
                                              FUSE_READLINK};
  constexpr std::array<uint32_t, 4> kXattr = {FUSE_SETXATTR, FUSE_GETXATTR, FUSE_LISTXATTR,
                                              FUSE_REMOVEXATTR};
  constexpr std::array<uint32_t, 3> kAttributes = {FUSE_SETATTR, FUSE_GETATTR, kStatx};
  switch (input.Below(16)) {
    case 0:
      return SendRaw(input);
    case 1:
      return SendIoctl(input);
    case 2:
      return GiveBack(input);
    case 3:
    case 4:
      return SendAttributes(input, input.Pick(kAttributes));
    case 5:
    case 6:
      return SendXattr(input, input.Pick(kXattr));
    case 7:
      return SendSpace(input, input.Pick(kSpace));
    case 8:
    case 9:
    case 10:
    case 11:
      return SendData(input, input.Pick(kData));
    default:
      return SendNames(input, input.Pick(kNames));
  }
}

}  // namespace ingot::tests
