// SPDX-License-Identifier: BSD-3-Clause
// Making and ending the session; what the kernel's switch is called.
#include "tests/system/hosted_mount.h"

#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <future>

namespace ingot::tests {
namespace {

constexpr const char* kSwitch = "/sys/module/fuse/parameters/enable_uring";

}  // namespace

Result<std::unique_ptr<HostedMount>> HostedMount::Start(std::unique_ptr<Volume> volume,
                                                        bool through_io_uring) {
  std::unique_ptr<HostedMount> mount(new HostedMount());
  mount->volume_ = std::move(volume);
  std::string path = "/tmp/ingot-hosted-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return FailureFromErrno("mkdtemp");
  mount->path_ = path;
  MountOptions options;
  options.mountpoint = path;
  options.source_name = "hosted";
  options.io_uring = through_io_uring ? Switch::kOn : Switch::kOff;
  if (through_io_uring && !KernelOffersIoUring()) return Failure(EOPNOTSUPP, "io_uring");
  mount->session_ = TRY(Session::Create(*mount->volume_, options));
  TRY(mount->session_->Mount());
  const auto ready = std::make_shared<std::promise<bool>>();
  std::future<bool> is_ready = ready->get_future();
  mount->server_ = std::thread([session = mount->session_.get(), ready] {
    bool told = false;
    const Result<void> served = session->Serve([&] {
      told = true;
      ready->set_value(true);
    });
    if (!told) ready->set_value(served.has_value());
  });
  if (!is_ready.get()) return Failure(EIO, "the session did not begin to serve");
  return mount;
}

void HostedMount::Unmount() {
  if (server_.joinable()) {
    umount2(path_.c_str(), MNT_DETACH);
    server_.join();
  }
  session_.reset();
}

HostedMount::~HostedMount() {
  Unmount();
  if (!path_.empty()) rmdir(path_.c_str());
}

std::string HostedMount::Status() const {
  std::string value(64 << 10, '\0');
  const ssize_t got = getxattr(path_.c_str(), "user.ingot.status", value.data(), value.size());
  value.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return value;
}

IoUringSwitch::IoUringSwitch() {
  std::ifstream(kSwitch) >> before_;
  std::ofstream(kSwitch) << "Y";
  is_on_ = KernelOffersIoUring();
}

IoUringSwitch::~IoUringSwitch() {
  if (!before_.empty()) std::ofstream(kSwitch) << before_;
}

}  // namespace ingot::tests
