// SPDX-License-Identifier: BSD-3-Clause
// ingot doctor: what admin finds and what FUSE and the kernel say, one line each.
//
// Exit codes: 0 files will be mapped directly; 1 it works, but something is lost; 2 wrong usage;
// 3 it doesn't work.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "fs/admin/doctor.h"
#include "fs/admin/mounts.h"
#include "fs/cli/command.h"
#include "fs/cli/errors.h"
#include "fs/cli/render.h"
#include "fs/core/pool_path.h"
#include "fs/fuse/caller.h"
#include "fs/fuse/kernel_probe.h"
#include "fs/fuse/mount_options.h"

namespace ingot::cli {
namespace {

using admin::Diagnoses;
using admin::Diagnosis;
using admin::Health;

constexpr int kExitBroken = 3;

struct DoctorArguments {
  std::string path;
  bool json = false;
};

// A file to offer to the kernel as backing: the pool's region, or one without a name.
int OpenSample(const std::string& directory) {
  const std::string region = directory + "/" + PoolPath::kRegionName;
  const int fd = open(region.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0) return fd;
  return open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

Diagnosis ExamineStacking(const KernelProbe& probe, const std::string& directory) {
  const int sample = OpenSample(directory);
  if (sample < 0) {
    return {"passthrough", Health::kWarning, "no file there to try it with", "ls -ld " + directory};
  }
  const Result<void> taken = probe.TakesBackingFile(sample);
  close(sample);
  if (taken) {
    return {"passthrough", Health::kOk, "the kernel takes the host's files as backing files", ""};
  }
  if (taken.error_code() == ELOOP) {
    return {"passthrough", Health::kWarning,
            "the host is stacked on another filesystem (overlayfs), whose files the kernel doesn't "
            "take",
            "ingot mkfs DIRECTORY, on the filesystem below"};
  }
  return {"passthrough", Health::kWarning,
          fmt::format("the kernel refuses the host's files ({})", ErrnoName(taken.error_code())),
          ""};
}

Diagnoses ExaminePassthrough(const std::string& directory) {
  const bool may_register = HasCapability(getpid(), CAP_SYS_ADMIN);
  const Result<KernelProbe> probe = KernelProbe::Open();
  if (!probe && may_register) {
    return {{"passthrough", Health::kWarning,
             "the kernel can't be asked: " + Describe(probe.error()), ""}};
  }
  // Unprivileged, nothing can be asked; what is missing then is the privilege.
  const bool offered = !probe || probe->offers_passthrough();
  if (const std::string why = WhyNotDirect(DirectMode::kAuto, offered, may_register);
      !why.empty()) {
    return {{"passthrough", Health::kWarning, why,
             may_register ? "uname -r; zgrep FUSE_PASSTHROUGH /proc/config.gz" : "run it as root"}};
  }
  if (!directory.empty()) return {ExamineStacking(*probe, directory)};
  return {{"passthrough", Health::kOk,
           fmt::format("the kernel offers it, FUSE 7.{}", probe->protocol_minor()), ""}};
}

Diagnoses ExamineFuse(const std::string& directory) {
  Diagnoses found;
  const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  const int code = device < 0 ? errno : 0;
  if (device >= 0) close(device);
  if (code == 0) {
    found.push_back({"/dev/fuse", Health::kOk, "it can be opened", ""});
  } else {
    found.push_back({"/dev/fuse", Health::kProblem,
                     fmt::format("it can't be opened ({})", ErrnoName(code)),
                     code == EACCES || code == EPERM ? "chmod 666 /dev/fuse" : "modprobe fuse"});
  }
  const LibfuseFacts libfuse = LookAtLibfuse();
  found.push_back({"libfuse", libfuse.has_passthrough ? Health::kOk : Health::kWarning,
                   fmt::format("version {}{}", libfuse.version,
                               libfuse.has_passthrough ? "" : ", passthrough came with 3.17"),
                   libfuse.has_passthrough ? "" : "scripts/setup builds a newer one"});
  if (code == 0) {
    for (Diagnosis& each : ExaminePassthrough(directory)) found.push_back(std::move(each));
  }
  const bool rings = KernelOffersIoUring();
  found.push_back({"io_uring", Health::kOk,
                   rings ? "switched on" : "switched off: requests come through /dev/fuse",
                   rings ? "" : "echo Y > /sys/module/fuse/parameters/enable_uring"});
  return found;
}

void Append(Diagnoses& to, Diagnoses from) {
  std::ranges::move(from, std::back_inserter(to));
}

// What the path is: a mount's source stands for whatever lies in the mount.
Result<Diagnoses> Examine(const DoctorArguments& options) {
  Diagnoses found = admin::ExamineMachine();
  std::string path = options.path;
  if (path.empty()) {
    Append(found, ExamineFuse(""));
    return found;
  }
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 && errno != ENOTCONN) return FailureFromErrno(path);
  if (const auto mount = TRY(admin::FindMountAt(path)); mount && mount->source.starts_with('/')) {
    path = mount->source;
  } else if (const auto inside = admin::FindMountOf(path);
             inside && *inside && (*inside)->source.starts_with('/')) {
    path = (*inside)->source;
  }
  if (stat(path.c_str(), &status) != 0) return FailureFromErrno(path);
  if (S_ISBLK(status.st_mode)) {
    Append(found, admin::ExamineDevice(path));
    const Result<PoolPath> pool = ResolvePool(path);
    Append(found, ExamineFuse(pool ? pool->directory : ""));
    if (pool) Append(found, admin::ExaminePool(path));
    return found;
  }
  if (!S_ISDIR(status.st_mode)) {
    Append(found, ExamineFuse(""));
    Append(found, admin::ExaminePool(path));
    return found;
  }
  Append(found, admin::ExamineHostOf(path));
  Append(found, ExamineFuse(path));
  if (ResolvePool(path).error_code() == ENOENT) {
    found.push_back({"pool", Health::kOk, "there is none here yet", "ingot mkfs " + path});
  } else {
    Append(found, admin::ExaminePool(path));
  }
  return found;
}

Health Worst(const Diagnoses& found) {
  Health worst = Health::kOk;
  for (const Diagnosis& each : found) worst = std::max(worst, each.health);
  return worst;
}

const char* Verdict(Health worst) {
  switch (worst) {
    case Health::kOk:
      return "files will be mapped directly";
    case Health::kWarning:
      return "it works, but something is lost";
    case Health::kProblem:
      return "it doesn't work";
  }
  return "";
}

int ExitCodeOf(Health worst) {
  switch (worst) {
    case Health::kOk:
      return kExitOk;
    case Health::kWarning:
      return kExitFailure;
    case Health::kProblem:
      return kExitBroken;
  }
  return kExitBroken;
}

void PrintAsJson(const DoctorArguments& options, const Diagnoses& found) {
  Json list = Json::array();
  for (const Diagnosis& each : found) {
    Json entry{
        {"subject", each.subject}, {"health", admin::NameOf(each.health)}, {"reason", each.reason}};
    if (!each.command.empty()) entry["command"] = each.command;
    list.push_back(std::move(entry));
  }
  const Health worst = Worst(found);
  Json json{{"path", options.path}, {"verdict", Verdict(worst)}, {"exit_code", ExitCodeOf(worst)}};
  json["findings"] = std::move(list);
  Print(json, true);
}

void PrintAsText(const Diagnoses& found) {
  std::string text;
  for (const Diagnosis& each : found) {
    text += fmt::format("{:<8} {:<12} {}\n", admin::NameOf(each.health), each.subject, each.reason);
    if (!each.command.empty()) text += fmt::format("{:<21}  Hint: {}\n", "", each.command);
  }
  text += fmt::format("{}\n", Verdict(Worst(found)));
  std::fputs(text.c_str(), stdout);
}

int RunDoctor(const DoctorArguments& options) {
  const Result<Diagnoses> found = Examine(options);
  if (!found) {
    PrintError({"examine", options.path}, found.error());
    return kExitBroken;
  }
  if (options.json) {
    PrintAsJson(options, *found);
  } else {
    PrintAsText(*found);
  }
  return ExitCodeOf(Worst(*found));
}

}  // namespace

Action SetUpDoctor(CLI::App& app) {
  auto options = std::make_shared<DoctorArguments>();
  app.add_option("path", options->path,
                 "pool, mount point, block device, or a directory for a pool; none: the machine")
      ->type_name("POOL|DIR|DEV");
  app.add_flag("-j,--json", options->json, "print JSON");
  return [options] { return RunDoctor(*options); };
}

}  // namespace ingot::cli
