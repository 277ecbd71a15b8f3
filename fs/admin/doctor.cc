// SPDX-License-Identifier: BSD-3-Clause
// The machine and the pool. What a host filesystem is asked for is in doctor_host.cc.
#include "fs/admin/doctor.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "fs/admin/status.h"

namespace ingot::admin {
namespace {

// Passthrough came with 6.9; 6.12 is the first long-term kernel that has it.
constexpr int kWantedMajor = 6;
constexpr int kWantedMinor = 12;
// One descriptor for each large file that is open.
constexpr rlim_t kWantedFiles = 4096;

Diagnosis ExamineKernel() {
  struct utsname names {};
  int major = 0;
  int minor = 0;
  if (uname(&names) != 0 || std::sscanf(names.release, "%d.%d", &major, &minor) != 2) {
    return {"kernel", Health::kWarning, "its version can't be read", ""};
  }
  const bool is_new = major > kWantedMajor || (major == kWantedMajor && minor >= kWantedMinor);
  if (is_new) return {"kernel", Health::kOk, fmt::format("Linux {}", names.release), ""};
  return {"kernel", Health::kWarning,
          fmt::format("Linux {} is older than {}.{}, from which on files can be mapped directly",
                      names.release, kWantedMajor, kWantedMinor),
          "apt install -t stable-backports linux-image-amd64"};
}

// The choice in brackets, as in "always [madvise] never".
std::string ChosenIn(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word.starts_with('[') && word.ends_with(']')) return word.substr(1, word.size() - 2);
  }
  return {};
}

Diagnosis ExamineHugePages() {
  const std::string folder = "/sys/kernel/mm/transparent_hugepage/";
  const std::string chosen = ChosenIn(folder + "enabled");
  const std::string shared = ChosenIn(folder + "shmem_enabled");
  if (chosen.empty()) {
    return {"huge pages", Health::kWarning,
            "the kernel has no transparent huge pages: mappings are of 4 KiB pages", ""};
  }
  if (shared == "deny") {
    return {"huge pages", Health::kWarning, "tmpfs may have none (shmem_enabled is deny)",
            "echo never > " + folder + "shmem_enabled"};
  }
  return {"huge pages", Health::kOk,
          fmt::format("enabled is {}, shmem_enabled is {}", chosen, shared), ""};
}

Diagnosis ExamineFileLimit() {
  struct rlimit limit {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return {"open files", Health::kWarning, "the limit can't be read", ""};
  }
  if (limit.rlim_max >= kWantedFiles) {
    return {"open files", Health::kOk, fmt::format("up to {}", limit.rlim_max), ""};
  }
  return {"open files", Health::kWarning,
          fmt::format("at most {}, and each large file that is open takes one", limit.rlim_max),
          "ulimit -Hn 1048576"};
}

Diagnosis ExamineSizeLimit() {
  struct rlimit limit {};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) {
    return {"file size", Health::kOk, "no limit", ""};
  }
  return {"file size", Health::kWarning,
          fmt::format("files end at {} bytes (RLIMIT_FSIZE)", limit.rlim_max),
          "ulimit -Hf unlimited"};
}

Diagnosis ExamineDamage(const std::string& pool, const Json& status) {
  const Json journal = status.value("journal", Json::object());
  const Json device = status.value("device", Json::object());
  const Json space = status.value("space", Json::object());
  const uint64_t lanes = journal.value("unreadable_lanes", uint64_t{0});
  const uint64_t groups = space.value("damaged_groups", uint64_t{0});
  const uint64_t poisoned = device.value("poisoned_pages", uint64_t{0});
  if (lanes + groups + poisoned != 0) {
    return {"pool", lanes != 0 ? Health::kProblem : Health::kWarning,
            fmt::format("damaged: {} journal lanes, {} groups, {} pages", lanes, groups, poisoned),
            "ingot fsck -y " + pool};
  }
  if (journal.value("needs_recovery", false)) {
    return {"pool", Health::kOk, "it was in use when its daemon ended; the next mount recovers it",
            ""};
  }
  return {"pool", Health::kOk,
          fmt::format("{}, uuid {}",
                      status.value("mounted", false)
                          ? "mounted on " + status.value("mountpoint", std::string())
                          : std::string("whole"),
                      device.value("uuid", std::string())),
          ""};
}

}  // namespace

const char* NameOf(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarning:
      return "warning";
    case Health::kProblem:
      return "problem";
  }
  return "unknown";
}

Diagnoses ExamineMachine() {
  return {ExamineKernel(), ExamineHugePages(), ExamineFileLimit(), ExamineSizeLimit()};
}

Diagnoses ExaminePool(const std::string& pool) {
  const Result<Json> status = Status(pool);
  if (!status) {
    constexpr std::string_view kHint = ". Hint: ";
    std::string reason = Describe(status.error());
    std::string command =
        status.error_code() == ENOTCONN ? "ingot umount -l " + pool : "ingot fsck " + pool;
    if (const size_t hint = reason.find(kHint); hint != std::string::npos) {
      command = reason.substr(hint + kHint.size());
      reason.resize(hint);
    }
    return {{"pool", Health::kProblem, reason, command}};
  }
  Diagnoses found{ExamineDamage(pool, *status)};
  struct stat file {};
  if (stat(pool.c_str(), &file) == 0 && !S_ISDIR(file.st_mode) && !S_ISBLK(file.st_mode)) {
    found.push_back({"kind", Health::kWarning,
                     "a pool in one file or on a devdax device: FUSE can't pass its files on, they "
                     "are mapped through the page cache",
                     "ingot mkfs DIRECTORY, or ingot mkfs --format /dev/pmemN"});
  }
  const Json mount = status->value("mount", Json::object());
  if (mount.value("direct", std::string()) == "never") {
    found.push_back({"mount", Health::kWarning, "mounted with direct=never",
                     fmt::format("ingot umount {0} && ingot mount {1} {0}",
                                 mount.value("mountpoint", std::string()), pool)});
  }
  if (mount.value("read_only", false)) {
    found.push_back({"mount", Health::kOk, "mounted read-only", ""});
  }
  return found;
}

}  // namespace ingot::admin
