// SPDX-License-Identifier: BSD-3-Clause
// The kernel's references at the session's edge: what was counted for a reply that the kernel did
// not take is given back, and what the kernel gives back arrives, however little memory there is.
//
// The test plays the kernel, with buffers of its own.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>
#include <type_traits>

#include "fs/fuse/session.h"
#include "pmemdev/base/log.h"
#include "tests/support/failing_memory.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{16} << 20;

// The kernel's end of the connection. Needs no heap, so that the session alone can lack it.
class Connection {
 public:
  static Result<void> Attach(Session& session) {
    fuse_custom_io io{};
    io.read = [](int, void*, size_t, void*) -> ssize_t { return 0; };
    io.writev = &Connection::Take;
    return session.Attach(io, open("/dev/null", O_RDWR | O_CLOEXEC));
  }

  // 0, or the reply's errno value; its body is left in `reply`.
  template <typename Body>
  static int Send(Session& session, uint32_t opcode, uint64_t node, const Body& body,
                  std::string_view name = {}) {
    alignas(4096) static thread_local std::array<char, 8192> memory;
    memory.fill(0);
    auto* header = reinterpret_cast<fuse_in_header*>(memory.data());
    constexpr size_t kBodyBytes = std::is_empty_v<Body> ? 0 : sizeof(body);
    std::memcpy(memory.data() + sizeof(*header), &body, kBodyBytes);
    std::ranges::copy(name, memory.data() + sizeof(*header) + kBodyBytes);
    header->len = static_cast<uint32_t>(sizeof(*header) + kBodyBytes + name.size() + 1);
    header->opcode = opcode;
    header->unique = 42;
    header->nodeid = node;
    error = 0;
    fuse_buf buffer{};
    buffer.mem = memory.data();
    buffer.size = header->len;
    fuse_session_process_buf(session.raw(), &buffer);
    return error;
  }

  static inline std::array<char, 65536> reply;
  static inline int error = 0;
  static inline bool refuses = false;  // as if whoever asked were gone

 private:
  static ssize_t Take(int, iovec* pieces, int count, void*) {
    size_t size_bytes = 0;
    for (int i = 0; i < count; ++i) {
      if (pieces[i].iov_len == 0) continue;
      std::memcpy(reply.data() + size_bytes, pieces[i].iov_base, pieces[i].iov_len);
      size_bytes += pieces[i].iov_len;
    }
    const auto* header = reinterpret_cast<const fuse_out_header*>(reply.data());
    error = -header->error;
    if (refuses && error == 0) {
      errno = ENOENT;
      return -1;
    }
    return static_cast<ssize_t>(size_bytes);
  }
};

struct Nothing {};

class ReferencesAtTheEdge : public testing::Test {
 protected:
  void SetUp() override {
    log::ToStderr(log::Level::kOff);
    auto opened = OpenPool(NewPool(kPoolBytes));
    ASSERT_OK(opened);
    volume_ = std::move(*opened);
    NewNode node;
    node.mode = S_IFREG | 0600;
    file_ = volume_->names().Create(Volume::kRoot, "file", node, {}).value().inode;
    volume_->names().Forget(file_, 1);
    MountOptions options;
    options.io_uring = Switch::kOff;
    session_ = Session::Create(*volume_, options).value();
    const Result<void> attached = Connection::Attach(*session_);
    if (attached.error_code() == EOPNOTSUPP) GTEST_SKIP() << Describe(attached.error());
    ASSERT_OK(attached);
    fuse_init_in init{};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    init.flags = FUSE_INIT_EXT | FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS;
    ASSERT_EQ(Connection::Send(*session_, FUSE_INIT, 0, init), 0);
  }
  void TearDown() override {
    Connection::refuses = false;
    log::ToStderr(log::Level::kWarning);
  }

  // All inodes that there can be.
  uint64_t Referenced() {
    uint64_t count = 0;
    const InodeTable& inodes = volume_->core().inodes;
    const uint64_t pages = volume_->device().geometry().page_count();
    for (LogicalPage page(0); page.value < pages; ++page) {
      const PageDescriptor* descriptor = volume_->device().page_array().Peek(page);
      if (descriptor == nullptr || descriptor->state != PageState::kInodePage) continue;
      for (uint32_t slot = 0; slot < media::kInodesPerPage; ++slot) {
        const InodeNumber inode(page.value * media::kInodesPerPage + slot);
        if (inode != Volume::kRoot && inodes.IsReferenced(inode)) ++count;
      }
    }
    return count;
  }

  // On a thread that has served nothing yet, and without any memory.
  template <typename Body>
  void SendWithoutMemory(uint32_t opcode, uint64_t node, const Body& body) {
    std::thread worker([&] {
      const FailingMemory memory(1, FailingMemory::Failures::kAllFromThere);
      Connection::Send(*session_, opcode, node, body);
    });
    worker.join();
  }

  void SendAll(const std::function<void(const char*)>& after, const std::string& suffix);

  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Session> session_;
  InodeNumber file_;
};

TEST_F(ReferencesAtTheEdge, ForgetsArriveWithoutMemory) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Connection::Send(*session_, FUSE_LOOKUP, FUSE_ROOT_ID, Nothing{}, "file"), 0);
  }
  EXPECT_EQ(Referenced(), 1u);
  SendWithoutMemory(FUSE_FORGET, file_.value, fuse_forget_in{.nlookup = 2});
  EXPECT_EQ(Referenced(), 1u);
  struct {
    fuse_batch_forget_in head;
    fuse_forget_one one;
  } batch{{.count = 1, .dummy = 0}, {.nodeid = file_.value, .nlookup = 1}};
  SendWithoutMemory(FUSE_BATCH_FORGET, 0, batch);
  EXPECT_EQ(Referenced(), 0u);
}

TEST_F(ReferencesAtTheEdge, ReleasesArriveWithoutMemory) {
  ASSERT_EQ(Connection::Send(*session_, FUSE_OPEN, file_.value, fuse_open_in{}), 0);
  EXPECT_EQ(Referenced(), 1u);
  SendWithoutMemory(FUSE_RELEASE, file_.value, fuse_release_in{});
  EXPECT_EQ(Referenced(), 0u);
}

// Each request that counts, of names that end with `suffix`, behind one that doesn't.
void ReferencesAtTheEdge::SendAll(const std::function<void(const char*)>& after,
                                  const std::string& suffix) {
  const uint64_t root = FUSE_ROOT_ID;
  const auto send = [&](const char* what, uint32_t opcode, uint64_t node, const auto& body,
                        std::string_view name = {}) {
    Connection::Send(*session_, opcode, node, body, name);
    after(what);
  };
  const std::array names{"mknod" + suffix, "mkdir" + suffix, "link" + suffix, "create" + suffix};
  fuse_mknod_in node{};
  node.mode = S_IFREG | 0600;
  fuse_create_in file{};
  file.mode = S_IFREG | 0600;
  fuse_read_in listing{};
  listing.size = 8192;
  send("getattr", FUSE_GETATTR, root, fuse_getattr_in{});
  send("lookup", FUSE_LOOKUP, root, Nothing{}, "file");
  send("mknod", FUSE_MKNOD, root, node, names[0]);
  send("mkdir", FUSE_MKDIR, root, fuse_mkdir_in{.mode = 0700, .umask = 0}, names[1]);
  send("link", FUSE_LINK, root, fuse_link_in{.oldnodeid = file_.value}, names[2]);
  send("create", FUSE_CREATE, root, file, names[3]);
  send("tmpfile", FUSE_TMPFILE, root, file, "/");
  send("open", FUSE_OPEN, file_.value, fuse_open_in{});
  send("readdirplus", FUSE_READDIRPLUS, root, listing);
}

TEST_F(ReferencesAtTheEdge, AreGivenBackIfTheReplyIsNotTaken) {
  Connection::refuses = true;
  SendAll([&](const char* what) { EXPECT_EQ(Referenced(), 0u) << what; }, "");
  // It was all done, and the unnamed file is gone for good.
  Connection::refuses = false;
  for (const char* name : {"mknod", "mkdir", "link", "create"}) {
    EXPECT_EQ(Connection::Send(*session_, FUSE_LOOKUP, FUSE_ROOT_ID, Nothing{}, name), 0) << name;
  }
  EXPECT_EQ(Referenced(), 4u);
  EXPECT_FSCK_CLEAN(volume_->device());
}

TEST_F(ReferencesAtTheEdge, AreGivenBackWhereverMemoryRunsOut) {
  Connection::refuses = true;
  uint64_t errors = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    bool has_failed = false;
    std::optional<FailingMemory> memory;
    const std::string suffix = std::to_string(n);
    // The next request begins with what ends this one.
    const auto after = [&](const char* what) {
      memory.reset();
      has_failed = has_failed || FailingMemory::HasFailed();
      errors += Connection::error == ENOMEM ? 1 : 0;
      EXPECT_EQ(Referenced(), 0u) << what;
      memory.emplace(n, FailingMemory::Failures::kOne);
    };
    SendAll(after, suffix);
    memory.reset();
    if (HasFailure() || !has_failed) break;
  }
  EXPECT_GT(errors, 10u) << "no memory was missed";
  const std::atomic<bool> stop{false};
  ASSERT_OK(volume_->orphans().Recover(stop));
  EXPECT_FSCK_CLEAN(volume_->device());
}

}  // namespace
}  // namespace ingot::tests
