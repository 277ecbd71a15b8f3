// SPDX-License-Identifier: BSD-3-Clause
// The order of things: options, process, session, signals, mount, serve, unmount.
#include "fs/fuse/daemon.h"

#include <cstdlib>
#include <filesystem>

#include "fs/fuse/background.h"
#include "fs/fuse/maintenance.h"
#include "fs/fuse/pool.h"
#include "fs/fuse/process.h"
#include "fs/fuse/session.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

Result<void> OpenAndRun(const MountOptions& options, const ReadyCallback& ready) {
  const auto volume = TRY(OpenPool(options));
  return RunDaemon(*volume, options, ready);
}

void StartLog(const MountOptions& options) {
  if (options.log_file.empty()) {
    log::ToStderr(options.log_level);
  } else {
    log::ToFile(options.log_file, options.log_level);
  }
}

// A daemon's working directory is not its starter's.
std::string Absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::canonical(path, error);
  return error ? path : absolute.string();
}

}  // namespace

Result<void> RunDaemon(Volume& volume, const MountOptions& options, const ReadyCallback& ready) {
  PrepareProcess();
  const auto session = TRY(Session::Create(volume, options));
  // From here on threads are made; none of them may take the signals.
  const auto signals = TRY(SignalWatch::Start([&] { session->Stop(); }));
  TRY(session->Mount());
  log::Info("mounted, pool={} mountpoint={}", options.pool_path, options.mountpoint);
  const Result<void> served = [&]() -> Result<void> {
    const auto maintenance = TRY(Maintenance::Start(
        volume, session->activity(), [&] { return session->may_change_by_itself(); }));
    return session->Serve([&] {
      NotifySupervisor();
      ready();
    });
  }();
  session->Unmount();
  log::Info("unmounted, pool={} mountpoint={}", options.pool_path, options.mountpoint);
  return served;
}

Result<void> MountPool(const MountOptions& given) {
  MountOptions options = given;
  options.pool_path = Absolute(options.pool_path);
  TRY(ValidateMountOptions(options));
  options.mountpoint = Absolute(options.mountpoint);
  if (!options.log_file.empty()) options.log_file = std::filesystem::absolute(options.log_file);
  if (options.source_name.empty()) options.source_name = given.pool_path;
  StartLog(options);
  if (options.foreground) return OpenAndRun(options, [] {});
  return RunInBackground([&](const ReadyCallback& ready) { return OpenAndRun(options, ready); });
}

}  // namespace ingot
