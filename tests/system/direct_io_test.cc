// SPDX-License-Identifier: BSD-3-Clause
// The kernel's ways to move bytes without a copy of the program's own, out of and into mappings of
// backed files: O_DIRECT, pipes, sendfile, sockets, fixed buffers of io_uring. Each answer is the
// bare host's.
#include <arpa/inet.h>
#include <liburing.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "tests/paths.h"
#include "tests/system/mounted_pool.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kSize = 4 * kMiB;

// An ordinary file on the disk that the build is on; nameless.
Descriptor OrdinaryFile(int flags) {
  return Descriptor(BuildDir().string(), O_TMPFILE | O_RDWR | flags, 0600);
}

// From its beginning; through an aligned buffer, for what was opened O_DIRECT.
std::string Contents(int fd, size_t size_bytes) {
  const std::unique_ptr<char, decltype(&std::free)> buffer(
      static_cast<char*>(std::aligned_alloc(kSmallPage, size_bytes)), std::free);
  const ssize_t got = pread(fd, buffer.get(), size_bytes, 0);
  return {buffer.get(), got < 0 ? 0 : static_cast<size_t>(got)};
}

class Pipe {
 public:
  explicit Pipe(int size_bytes = 1 << 20) {
    EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0);
    EXPECT_GE(fcntl(ends_[1], F_SETPIPE_SZ, size_bytes), size_bytes);
  }
  ~Pipe() {
    for (const int fd : ends_) close(fd);
  }
  Pipe(const Pipe&) = delete;
  [[nodiscard]] int out() const { return ends_[0]; }
  [[nodiscard]] int in() const { return ends_[1]; }
  // What is in it.
  std::string Read(size_t size_bytes) {
    std::string got(size_bytes, '\0');
    const ssize_t size = read(ends_[0], got.data(), got.size());
    got.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return got;
  }

 private:
  std::array<int, 2> ends_{};
};

class DirectIo : public OnHostAndMount {};
INSTANTIATE_TEST_SUITE_P(Places, DirectIo,
                         testing::Values(Place::kHost, Place::kAuto, Place::kAlways), NameOf);

TEST_P(DirectIo, DiskToAndFromAMappingByDirectIo) {
  const Descriptor disk = OrdinaryFile(O_DIRECT);
  if (disk.get() < 0) GTEST_SKIP() << "the build directory has no O_DIRECT";
  const Descriptor file(Create("file", 2 * kSize));
  const Map map(file.get(), 2 * kSize);
  const std::string contents = Pattern(kSize, 1);
  memcpy(map.data(), contents.data(), kSize);
  ASSERT_EQ(pwrite(disk.get(), map.data(), kSize, 0), static_cast<ssize_t>(kSize))
      << strerror(errno);
  // Into pages that were never touched.
  ASSERT_EQ(pread(disk.get(), map.data() + kSize, kSize, 0), static_cast<ssize_t>(kSize))
      << strerror(errno);
  EXPECT_TRUE(Contents(file.get(), 2 * kSize) == contents + contents);
  EXPECT_EQ(map.PmdMappedBytes(), 2 * kSize);
}

TEST_P(DirectIo, TheFileItselfOpenedForDirectIo) {
  { const Descriptor file(Create("file", kSize)); }
  const Descriptor file(Path("file"), O_RDWR | O_DIRECT);
  ASSERT_GE(file.get(), 0) << strerror(file.code());
  const Descriptor buffer_file(Create("buffer", 2 * kSize));
  const Map buffer(buffer_file.get(), 2 * kSize), map(file.get(), kSize);
  const std::string contents = Pattern(kSize, 2);
  memcpy(buffer.data(), contents.data(), kSize);
  ASSERT_EQ(pwrite(file.get(), buffer.data(), kSize, 0), static_cast<ssize_t>(kSize))
      << strerror(errno);
  EXPECT_TRUE(std::string_view(map.data(), kSize) == contents);
  ASSERT_EQ(pread(file.get(), buffer.data() + kSize, kSize, 0), static_cast<ssize_t>(kSize));
  EXPECT_TRUE(std::string_view(buffer.data() + kSize, kSize) == contents);
  // From its own mapping to itself: the bytes are both source and target.
  ASSERT_EQ(pwrite(file.get(), map.data(), kSize / 2, kSize / 2), static_cast<ssize_t>(kSize / 2));
  EXPECT_TRUE(std::string_view(map.data() + kSize / 2, kSize / 2) == contents.substr(0, kSize / 2));
}

TEST_P(DirectIo, PipesTakeAndGive) {
  const Descriptor file(Create("file", kSize)), other(Create("other", kSize));
  const Map map(file.get(), kSize);
  const std::string contents = Pattern(kSize, 3);
  memcpy(map.data(), contents.data(), kSize);
  constexpr size_t kPart = 512 << 10;
  Pipe pipe, copy;
  // The mapping's pages themselves.
  const iovec part{map.data() + 777, kPart};
  ASSERT_EQ(vmsplice(pipe.in(), &part, 1, 0), static_cast<ssize_t>(kPart)) << strerror(errno);
  ASSERT_EQ(tee(pipe.out(), copy.in(), kPart, 0), static_cast<ssize_t>(kPart)) << strerror(errno);
  EXPECT_TRUE(pipe.Read(kPart) == contents.substr(777, kPart));
  // Out of the pipe into another backed file.
  off_t to = 4099;
  size_t moved = 0;
  while (moved < kPart) {
    const ssize_t size = splice(copy.out(), nullptr, other.get(), &to, kPart - moved, 0);
    ASSERT_GT(size, 0) << strerror(errno);
    moved += static_cast<size_t>(size);
  }
  EXPECT_TRUE(Contents(other.get(), kSize).substr(4099, kPart) == contents.substr(777, kPart));
  // And from the file into a pipe.
  off_t from = 100'000;
  std::string got;
  while (got.size() < kPart) {
    const ssize_t size = splice(file.get(), &from, pipe.in(), nullptr, 64 << 10, 0);
    ASSERT_GT(size, 0) << strerror(errno);
    got += pipe.Read(static_cast<size_t>(size));
  }
  EXPECT_TRUE(got == contents.substr(100'000, got.size()));
  // vmsplice the other way round copies into the mapping.
  ASSERT_EQ(write(pipe.in(), "from the pipe", 13), 13);
  const iovec target{map.data() + kMiB, 13};
  ASSERT_EQ(vmsplice(pipe.out(), &target, 1, 0), 13) << strerror(errno);
  char read_back[14] = {};
  ASSERT_EQ(pread(file.get(), read_back, 13, kMiB), 13);
  EXPECT_STREQ(read_back, "from the pipe");
}

TEST_P(DirectIo, SendfileAndCopyFileRange) {
  const Descriptor file(Create("file", kSize)), other(Create("other", 0));
  const Descriptor disk = OrdinaryFile(0), back(Create("back", 0));
  const std::string contents = Pattern(kSize, 4);
  const Map map(file.get(), kSize);
  memcpy(map.data(), contents.data(), kSize);
  off_t from = 0;
  while (from < static_cast<off_t>(kSize)) {
    ASSERT_GT(sendfile(disk.get(), file.get(), &from, kSize), 0) << strerror(errno);
  }
  EXPECT_TRUE(Contents(disk.get(), kSize) == contents);
  from = 0;
  while (from < static_cast<off_t>(kSize)) {
    ASSERT_GT(sendfile(back.get(), disk.get(), &from, kSize), 0) << strerror(errno);
  }
  EXPECT_TRUE(Contents(back.get(), kSize) == contents);
  off_t source = 0, target = 0;
  while (source < static_cast<off_t>(kSize)) {
    ASSERT_GT(copy_file_range(file.get(), &source, other.get(), &target, kSize, 0), 0)
        << strerror(errno);
  }
  const Map copied(other.get(), kSize, PROT_READ);
  EXPECT_TRUE(std::string_view(copied.data(), kSize) == contents);
}

// Both ends of a TCP connection to this machine itself.
struct Connection {
  Descriptor sender, receiver;
};
std::unique_ptr<Connection> Connect() {
  const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* at = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.get(), at, size) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), at, &size) != 0) {
    return nullptr;
  }
  const int sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(sender, at, size) != 0) return nullptr;
  return std::unique_ptr<Connection>(
      new Connection{Descriptor(sender), Descriptor(accept(listener.get(), nullptr, nullptr))});
}

// Waits until the kernel has said that it is done with the buffers of `sends` calls.
bool AwaitZeroCopy(int fd, uint32_t sends) {
  for (uint32_t done = 0; done < sends;) {
    std::array<char, 256> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    pollfd wait{fd, 0, 0};
    if (recvmsg(fd, &message, MSG_ERRQUEUE) < 0) {
      if (errno != EAGAIN || poll(&wait, 1, 100'000) != 1) return false;
      continue;
    }
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr) return false;
    sock_extended_err error{};
    memcpy(&error, CMSG_DATA(header), sizeof(error));
    if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY || error.ee_errno != 0) return false;
    done += error.ee_data - error.ee_info + 1;
  }
  return true;
}

TEST_P(DirectIo, ZeroCopySendsFromAMappingAndReceivesIntoOne) {
  const auto connection = Connect();
  ASSERT_NE(connection, nullptr) << strerror(errno);
  const int sender = connection->sender.get(), on = 1;
  ASSERT_EQ(setsockopt(sender, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), 0) << strerror(errno);
  const Descriptor file(Create("file", kSize)), received(Create("received", kSize));
  const Map map(file.get(), kSize), target(received.get(), kSize);
  const std::string contents = Pattern(kSize, 5);
  memcpy(map.data(), contents.data(), kSize);
  std::thread receiver([&] {
    size_t done = 0;
    for (ssize_t size = 1; size > 0 && done < kSize;) {
      size = recv(connection->receiver.get(), target.data() + done, kSize - done, 0);
      done += size < 0 ? 0 : static_cast<size_t>(size);
    }
  });
  uint32_t sends = 0;
  size_t done = 0;
  while (done < kSize) {
    const ssize_t size = send(sender, map.data() + done, kSize - done, MSG_ZEROCOPY);
    if (size <= 0) break;
    done += static_cast<size_t>(size);
    ++sends;
  }
  EXPECT_EQ(done, kSize) << strerror(errno);
  shutdown(sender, SHUT_WR);
  receiver.join();
  EXPECT_TRUE(AwaitZeroCopy(sender, sends));
  EXPECT_TRUE(Contents(received.get(), kSize) == contents);
}

TEST_P(DirectIo, SendfileToASocket) {
  const auto connection = Connect();
  ASSERT_NE(connection, nullptr) << strerror(errno);
  const Descriptor file(Create("file", kSize));
  const std::string contents = Pattern(kSize, 6);
  ASSERT_EQ(pwrite(file.get(), contents.data(), kSize, 0), static_cast<ssize_t>(kSize));
  std::thread sender([&] {
    off_t from = 0;
    while (from < static_cast<off_t>(kSize) &&
           sendfile(connection->sender.get(), file.get(), &from, kSize) > 0) {
    }
    shutdown(connection->sender.get(), SHUT_WR);
  });
  std::string got(kSize, '\0');
  const ssize_t size = recv(connection->receiver.get(), got.data(), kSize, MSG_WAITALL);
  sender.join();
  EXPECT_EQ(size, static_cast<ssize_t>(kSize));
  EXPECT_TRUE(got == contents);
}

class Ring {
 public:
  Ring() : code_(io_uring_queue_init(8, &ring_, 0)) {}
  ~Ring() {
    if (code_ == 0) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  [[nodiscard]] int code() const { return -code_; }
  [[nodiscard]] int Register(const Map& map) {
    const iovec buffer{map.data(), map.bytes().size()};
    return -io_uring_register_buffers(&ring_, &buffer, 1);
  }
  // The result of the one request that `prepare` fills.
  template <typename Prepare>
  [[nodiscard]] int64_t Do(Prepare&& prepare) {
    prepare(io_uring_get_sqe(&ring_));
    if (io_uring_submit(&ring_) != 1) return -EIO;
    io_uring_cqe* answer = nullptr;
    if (io_uring_wait_cqe(&ring_, &answer) != 0) return -EIO;
    const int64_t result = answer->res;
    io_uring_cqe_seen(&ring_, answer);
    return result;
  }

 private:
  io_uring ring_{};
  const int code_;
};

TEST_P(DirectIo, FixedBuffersOfIoUringOverAMapping) {
  Ring ring;
  if (ring.code() != 0) GTEST_SKIP() << "io_uring: " << strerror(ring.code());
  const Descriptor disk = OrdinaryFile(0), direct = OrdinaryFile(O_DIRECT);
  const Descriptor file(Create("file", kSize)), second(Create("second", kSize));
  const Map map(file.get(), kSize);
  // Nobody may pin a DAX file's pages for long (FOLL_LONGTERM, check_vma_flags in mm/gup.c).
  ASSERT_EQ(ring.Register(map), TestHost::IsDax() ? EOPNOTSUPP : 0);
  if (TestHost::IsDax()) return;
  const std::string contents = Pattern(kSize / 2, 7);
  memcpy(map.data(), contents.data(), contents.size());
  constexpr auto kHalf = static_cast<unsigned>(kSize / 2);
  for (const int target : {disk.get(), direct.get(), second.get()}) {
    if (target < 0) continue;  // no O_DIRECT there
    memset(map.data() + kHalf, 0, kHalf);
    ASSERT_EQ(ring.Do([&](io_uring_sqe* sqe) {
      io_uring_prep_write_fixed(sqe, target, map.data(), kHalf, 0, 0);
    }),
              kHalf);
    EXPECT_TRUE(Contents(target, kHalf) == contents);
    ASSERT_EQ(ring.Do([&](io_uring_sqe* sqe) {
      io_uring_prep_read_fixed(sqe, target, map.data() + kHalf, kHalf, 0, 0);
    }),
              kHalf);
    EXPECT_TRUE(Contents(file.get(), kSize) == contents + contents);
  }
}

}  // namespace
}  // namespace ingot::tests
