// SPDX-License-Identifier: BSD-3-Clause
// What a bare FUSE round trip costs: a server that speaks /dev/fuse by itself, without any library,
// and answers from memory; and a client in another process that calls stat(2) on its root.
//
// usage: fuse_floor DIR OPERATIONS (root only: it calls mount(2) and umount2(2) itself)
// Attributes are valid for no time, so each stat is exactly one GETATTR, which the server's own
// count proves. Prints JSON.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/bench/timing.h"

namespace ingot::bench {
namespace {

constexpr size_t kBufferBytes = 64 << 10;

[[noreturn]] void Fail(const char* what) {
  (void)std::fprintf(stderr, "fuse_floor: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void Answer(int device, uint64_t unique, int error, const void* body, size_t size_bytes) {
  fuse_out_header header{};
  header.len = static_cast<uint32_t>(sizeof(header) + size_bytes);
  header.error = -error;
  header.unique = unique;
  iovec pieces[2] = {{&header, sizeof(header)}, {const_cast<void*>(body), size_bytes}};
  // A reply that the kernel refuses is one to a request that was given up.
  (void)!writev(device, pieces, size_bytes == 0 ? 1 : 2);
}

void AnswerInit(int device, const fuse_in_header& request, const fuse_init_in& wanted) {
  fuse_init_out reply{};
  reply.major = FUSE_KERNEL_VERSION;
  reply.minor = std::min<uint32_t>(wanted.minor, FUSE_KERNEL_MINOR_VERSION);
  reply.max_write = 4096;
  reply.max_background = 16;
  reply.congestion_threshold = 12;
  Answer(device, request.unique, 0, &reply, sizeof(reply));
}

void AnswerAttributes(int device, const fuse_in_header& request) {
  fuse_attr_out reply{};  // valid for no time
  reply.attr.ino = FUSE_ROOT_ID;
  reply.attr.mode = S_IFDIR | 0755;
  reply.attr.nlink = 2;
  Answer(device, request.unique, 0, &reply, sizeof(reply));
}

// Until the unmount.
[[noreturn]] void Serve(int device, std::atomic<uint64_t>& served) {
  std::vector<char> buffer(kBufferBytes);
  for (;;) {
    const ssize_t size_bytes = read(device, buffer.data(), buffer.size());
    if (size_bytes < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
    if (size_bytes < static_cast<ssize_t>(sizeof(fuse_in_header))) _exit(0);
    fuse_in_header request;
    std::memcpy(&request, buffer.data(), sizeof(request));
    switch (request.opcode) {
      case FUSE_INIT: {
        fuse_init_in wanted;
        std::memcpy(&wanted, buffer.data() + sizeof(request), sizeof(wanted));
        AnswerInit(device, request, wanted);
        break;
      }
      case FUSE_GETATTR:
        served.fetch_add(1, std::memory_order_relaxed);
        AnswerAttributes(device, request);
        break;
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        break;  // have no reply
      default:
        Answer(device, request.unique, ENOSYS, nullptr, 0);
    }
  }
}

// The mount and its server; both go with this object.
class Server {
 public:
  explicit Server(std::string directory) : directory_(std::move(directory)) {
    void* shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) Fail("mmap");
    served_ = new (shared) std::atomic<uint64_t>(0);
    const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0) Fail("/dev/fuse");
    const std::string options =
        "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
    if (mount("fuse_floor", directory_.c_str(), "fuse.floor", MS_NOSUID | MS_NODEV,
              options.c_str()) != 0) {
      Fail("mount");
    }
    process_ = fork();
    if (process_ == 0) Serve(device, *served_);
    close(device);
    if (process_ < 0) {
      umount2(directory_.c_str(), MNT_DETACH);
      Fail("fork");
    }
  }
  ~Server() {
    umount2(directory_.c_str(), MNT_DETACH);
    waitpid(process_, nullptr, 0);
  }
  Server(const Server&) = delete;

  [[nodiscard]] uint64_t served() const { return served_->load(); }

 private:
  const std::string directory_;
  std::atomic<uint64_t>* served_ = nullptr;
  pid_t process_ = -1;
};

// False: something went otherwise than it must for the figure to mean anything.
bool Measure(const std::string& directory, uint64_t operations, Samples& samples) {
  const Server server(directory);
  struct stat status {};
  bool good = true;
  for (uint64_t i = 0; i < operations / 10; ++i) good &= stat(directory.c_str(), &status) == 0;
  const uint64_t before = server.served();
  for (uint64_t i = 0; i < operations; ++i) {
    samples.Time([&] { good &= stat(directory.c_str(), &status) == 0; });
  }
  return good && server.served() - before == operations;
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    (void)std::fprintf(stderr, "usage: fuse_floor DIR OPERATIONS\n");
    return 2;
  }
  ingot::bench::Samples samples;
  if (!ingot::bench::Measure(argv[1], std::stoull(argv[2]), samples)) {
    (void)std::fprintf(stderr, "fuse_floor: a stat was not exactly one request\n");
    return 1;
  }
  (void)std::printf("{\"floor\": {%s}}\n", samples.Json().c_str());
  return 0;
}
