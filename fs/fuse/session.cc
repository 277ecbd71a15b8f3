// SPDX-License-Identifier: BSD-3-Clause
// libfuse's session from its making to its unmount.
#include "fs/fuse/session.h"

#include <linux/capability.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include "fs/fuse/attribute_conversion.h"
#include "fs/fuse/caller.h"
#include "fs/fuse/fuse_messages.h"
#include "fs/fuse/kernel_probe.h"
#include "fs/fuse/operations.h"
#include "fs/fuse/session_arguments.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

constexpr uint32_t kFailuresLoggedPerSecond = 5;

uint32_t ThreadLimit(const MountOptions& options) {
  if (options.threads != 0) return options.threads;
  // Requests compute, they don't wait, but for msync on plain files: a few more than CPUs.
  return std::clamp(2 * std::thread::hardware_concurrency(), 4U, 16U);
}

// libfuse makes a ring, with a thread, for each CPU that there could be.
size_t ServingThreads(const MountOptions& options) {
  return ThreadLimit(options) + static_cast<size_t>(get_nprocs_conf());
}

std::set<std::string> ThreadIds() {
  std::set<std::string> ids;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    ids.insert(task.path().filename());
  }
  return ids;
}

}  // namespace

Session::Session(Volume& volume, const MountOptions& options)
    : volume_(volume),
      options_(options),
      activity_(ServingThreads(options)),
      started_(time(nullptr)) {
  if (volume.core().backing == nullptr) return;
  passthrough_ = std::make_unique<Passthrough>(volume, options.cache);
}

Session::~Session() {
  workers_.reset();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

bool Session::WantsIoUring() const {
  return options_.io_uring == Switch::kOn ||
         (options_.io_uring == Switch::kAuto && KernelOffersIoUring());
}

Result<std::unique_ptr<Session>> Session::Create(Volume& volume, const MountOptions& options) {
  std::unique_ptr<Session> session(new Session(volume, options));
  CollectFuseMessages();
  fuse_lowlevel_ops operations = MakeOperations(session->passthrough_ != nullptr);
  operations.init = &Session::Init;
  SessionArguments arguments(options, session->WantsIoUring());
  session->session_ =
      fuse_session_new(arguments.get(), &operations, sizeof(operations), session.get());
  if (session->session_ == nullptr) return Failure(EINVAL, TakeFuseMessage("mount options"));
  return session;
}

void Session::Init(void* self, fuse_conn_info* connection) noexcept {
  auto& session = *static_cast<Session*>(self);
  session.init_result_ = NoThrow([&]() -> Result<void> {
    const Wanted wanted{
        session.WantsIoUring(),
        session.passthrough_ != nullptr && session.options_.volume.direct != DirectMode::kNever};
    session.negotiated_ = Negotiate(*connection, wanted);
    // Before the answer: rings serve from then on.
    TRY(session.StartPassthrough());
    return {};
  });
  session.initialised_.store(true);
}

Result<void> Session::Mount() {
  errno = 0;
  if (fuse_session_mount(session_, options_.mountpoint.c_str()) != 0) {
    const int code = errno;
    return Failure(code != 0 ? code : EIO, TakeFuseMessage("mount"));
  }
  MakeWorkers();
  return {};
}

Result<void> Session::Attach(const fuse_custom_io& io, int descriptor) {
  const int result = fuse_session_custom_io(session_, &io, sizeof(io), descriptor);
  if (result == -ENOTSUP) return Failure(EOPNOTSUPP, "libfuse was built without custom io");
  if (result != 0) return Failure(EINVAL, TakeFuseMessage("custom io"));
  MakeWorkers();
  return {};
}

void Session::MakeWorkers() {
  workers_ = std::make_unique<Workers>(
      session_, Workers::Options{ThreadLimit(options_), spin_us(), !options_.spin_us.has_value(),
                                 kMaxTransferBytes});
}

Result<void> Session::AnswerInit() {
  const std::set<std::string> threads_before = ThreadIds();
  fuse_buf buffer{};
  int received = 0;
  while (!initialised_.load() && fuse_session_exited(session_) == 0) {
    received = fuse_session_receive_buf(session_, &buffer);
    if (received > 0) {
      fuse_session_process_buf(session_, &buffer);
    } else if (received != -EINTR && received != -EAGAIN) {
      break;
    }
  }
  std::free(buffer.mem);
  if (!initialised_.load()) {
    return Failure(received < 0 ? -received : EIO, TakeFuseMessage("FUSE handshake"));
  }
  TRY(init_result_);
  // libfuse sets the rings up while it answers, each with a thread, and carries on without them if
  // it can't: without threads there are no rings.
  const std::set<std::string> threads = ThreadIds();
  negotiated_.io_uring = negotiated_.io_uring && !std::ranges::includes(threads_before, threads);
  if (!negotiated_.io_uring && options_.io_uring == Switch::kOn) {
    return Failure(EOPNOTSUPP,
                   "io_uring=on: its rings can't be set up (descriptors, memory or "
                   "locked memory are short). Hint: use io_uring=auto");
  }
  return {};
}

// Where files can't be mapped directly, none gets a backing file: its own would be of no use.
Result<void> Session::StartPassthrough() {
  if (passthrough_ == nullptr) return {};
  std::string why_not = WhyNotDirect(options_.volume.direct, negotiated_.passthrough,
                                     HasCapability(getpid(), CAP_SYS_ADMIN));
  // Asked of a connection of its own: this one takes no file before it serves requests.
  if (why_not.empty()) why_not = WhyHostIsRefused(volume_.device().mapping().fd());
  if (options_.volume.direct == DirectMode::kAlways && !why_not.empty()) {
    return Failure(EOPNOTSUPP, "direct=always: " + why_not + ". Hint: use direct=auto");
  }
  if (!why_not.empty()) volume_.core().direct = DirectMode::kNever;
  passthrough_->Start(fuse_session_fd(session_), std::move(why_not));
  return {};
}

double Session::AttributeTimeoutOf(const Attributes& attributes) const {
  if (!attributes.is_backed || passthrough_ == nullptr ||
      passthrough_->MayChangeUnseen(attributes.inode)) {
    return AttributeTimeout(attributes);
  }
  Attributes seen = attributes;
  seen.is_backed = false;
  return AttributeTimeout(seen);
}

void Session::Forget(InodeNumber inode, uint64_t count) noexcept {
  volume_.names().Forget(inode, count);
  if (passthrough_ != nullptr) passthrough_->Forgotten(inode);
}

void Session::CloseHandle(InodeNumber inode, uint64_t handle) noexcept {
  if (passthrough_ != nullptr) return passthrough_->Close(inode, handle);
  volume_.names().Release(inode);
}

Result<void> Session::Serve(const std::function<void()>& ready) {
  TRY(AnswerInit());
  ready();
  if (negotiated_.io_uring) return ServeThroughRings();
  // Reads and writes: either Stop() finds the workers here, or what it did before is seen below.
  serving_.exchange(workers_.get());
  if (fuse_session_exited(session_) != 0) return {};
  const int error = workers_->Run();
  if (error != 0) return Failure(error, "serving requests");
  return {};
}

Result<void> Session::ServeThroughRings() {
  // The rings' threads are libfuse's, one a CPU, and only its own loop ends them. What still comes
  // through /dev/fuse (forgets, and what finds no free ring entry) is served by these few.
  fuse_loop_config* config = fuse_loop_cfg_create();
  if (config == nullptr) return Failure(ENOMEM, "serving requests");
  fuse_loop_cfg_set_clone_fd(config, 0);
  fuse_loop_cfg_set_max_threads(config, 4);
  const int result = fuse_session_loop_mt(session_, config);
  fuse_loop_cfg_destroy(config);
  if (result < 0) return Failure(-result, TakeFuseMessage("serving requests"));
  return {};
}

void Session::Stop() {
  // First the flag, then the look: whoever begins to serve does it the other way round. Adding
  // nothing is a look that also writes, so that of the two one comes first (thread sanitizers know
  // no fences).
  fuse_session_exit(session_);
  if (Workers* workers = serving_.fetch_add(0); workers != nullptr) workers->Stop();
}

void Session::Unmount() {
  fuse_session_unmount(session_);
}

uint32_t Session::spin_us() const {
  // Measured on two CPUs: a round trip of 12 us instead of 17; longer spins find no more.
  constexpr uint32_t kAutomaticSpinUs = 20;
  if (options_.spin_us.has_value()) return *options_.spin_us;
  return std::thread::hardware_concurrency() > 1 ? kAutomaticSpinUs : 0;
}

uint32_t Session::threads() const {
  return negotiated_.io_uring ? std::thread::hardware_concurrency() : workers_->count();
}

void Session::StopAtimes(bool stop) {
  atimes_stopped_.store(stop, std::memory_order_relaxed);
  if (stop) volume_.data().DropReservations();  // whose files would be settled at their close
}

void Session::TouchAtime(InodeNumber inode) {
  if (atimes_stopped_.load(std::memory_order_relaxed)) return;
  volume_.attributes().TouchAtime(inode);
}

void Session::ShutDown() {
  log::Warning("session: shut down by ioctl, mountpoint={}", options_.mountpoint);
  shut_down_.store(true);
}

void Session::NoteFailure(Operation operation, const Error& error) {
  const int64_t now = time(nullptr);
  if (failures_until_.exchange(now) != now) failures_.store(0);
  if (failures_.fetch_add(1) >= kFailuresLoggedPerSecond) return;
  log::Failed("request failed, operation={} error={} reason=\"{}\"", NameOf(operation),
              ErrnoName(error.code), error.context);
}

void Session::InvalidateAttributes(InodeNumber inode) {
  // A negative offset touches no data. ENOENT: the kernel doesn't know the inode.
  fuse_lowlevel_notify_inval_inode(session_, inode.value, -1, 0);
}

}  // namespace ingot
