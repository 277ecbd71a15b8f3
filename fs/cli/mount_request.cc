// SPDX-License-Identifier: BSD-3-Clause
// Three tables: options without a value, options with one, and what belongs to mount(8) or to the
// kernel's own listing of a mount (which mount -o remount repeats).
#include "fs/cli/mount_request.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "fs/cli/suggest.h"

namespace ingot::cli {
namespace {

using Request = MountRequest;

void SetReadOnly(Request& request, bool read_only) {
  request.read_only = read_only;
  request.mount.volume.read_only = read_only;
}
void SetSuid(Request& request, bool value) { request.suid = request.mount.suid = value; }
void SetDev(Request& request, bool value) { request.dev = request.mount.dev = value; }
void SetExec(Request& request, bool value) { request.exec = request.mount.exec = value; }

void SetExtra(Request& request, const char* name, bool value) {
  auto& extra = request.mount.extra;
  std::erase(extra, name);
  if (value) extra.emplace_back(name);
}

void SetAtime(Request& request, AtimeMode mode) {
  request.mount.volume.atime = mode;
  // The kernel keeps no access times of ours; the flag is for those who read /proc/mounts.
  SetExtra(request, "noatime", mode == AtimeMode::kNever);
}

struct Flag {
  const char* name;
  void (*apply)(Request&);
};
constexpr Flag kFlags[] = {
    {"rw", [](Request& r) { SetReadOnly(r, false); }},
    {"ro", [](Request& r) { SetReadOnly(r, true); }},
    {"suid", [](Request& r) { SetSuid(r, true); }},
    {"nosuid", [](Request& r) { SetSuid(r, false); }},
    {"dev", [](Request& r) { SetDev(r, true); }},
    {"nodev", [](Request& r) { SetDev(r, false); }},
    {"exec", [](Request& r) { SetExec(r, true); }},
    {"noexec", [](Request& r) { SetExec(r, false); }},
    {"atime", [](Request& r) { SetAtime(r, AtimeMode::kRelative); }},
    {"relatime", [](Request& r) { SetAtime(r, AtimeMode::kRelative); }},
    {"norelatime", [](Request& r) { SetAtime(r, AtimeMode::kRelative); }},
    {"noatime", [](Request& r) { SetAtime(r, AtimeMode::kNever); }},
    {"strictatime", [](Request& r) { SetAtime(r, AtimeMode::kStrict); }},
    // All is durable on return as it is; the flags are shown in /proc/mounts.
    {"sync", [](Request& r) { SetExtra(r, "sync", true); }},
    {"async", [](Request& r) { SetExtra(r, "sync", false); }},
    {"dirsync", [](Request& r) { SetExtra(r, "dirsync", true); }},
    {"defaults",
     [](Request& r) {
       SetReadOnly(r, false);
       SetSuid(r, true);
       SetDev(r, true);
       SetExec(r, true);
     }},
    // As mount(8) documents: these imply what makes a user's mount harmless, unless said otherwise
    // later.
    {"user",
     [](Request& r) {
       SetSuid(r, false);
       SetDev(r, false);
       SetExec(r, false);
     }},
    {"users",
     [](Request& r) {
       SetSuid(r, false);
       SetDev(r, false);
       SetExec(r, false);
     }},
    {"owner",
     [](Request& r) {
       SetSuid(r, false);
       SetDev(r, false);
     }},
    {"group",
     [](Request& r) {
       SetSuid(r, false);
       SetDev(r, false);
     }},
    {"nofail", [](Request& r) { r.nofail = true; }},
    {"remount", [](Request& r) { r.remount = true; }},
    {"allow_other", [](Request& r) { r.mount.allow_other = true; }},
    {"noallow_other", [](Request& r) { r.mount.allow_other = false; }},
    {"nonempty", [](Request& r) { r.mount.nonempty = true; }},
    {"atomic", [](Request& r) { r.mount.volume.atomic = true; }},
    {"noatomic", [](Request& r) { r.mount.volume.atomic = false; }},
};

constexpr const char* kSwallowed[] = {
    // mount(8)'s, systemd's and fstab's
    "auto", "noauto", "nouser", "nousers", "noowner", "nogroup", "_netdev", "silent", "loud",
    "iversion", "noiversion", "diratime", "nodiratime", "nolazytime", "mand", "nomand",
    "nostrictatime",
    // always so here
    "default_permissions"};
constexpr const char* kSwallowedWithValue[] = {
    "comment", "subtype",
    // the kernel's own, repeated by mount -o remount
    "fd", "rootmode", "user_id", "group_id", "max_read", "blksize", "user", "uhelper", "helper"};
// SELinux's, for the kernel.
constexpr const char* kSecurityContexts[] = {"context", "fscontext", "defcontext", "rootcontext"};

template <typename T>
struct Choice {
  const char* text;
  T value;
};
template <typename T, size_t N>
Result<T> Choose(std::string_view name, std::string_view value, const Choice<T> (&choices)[N]) {
  std::vector<std::string> texts;
  for (const Choice<T>& choice : choices) {
    if (value == choice.text) return choice.value;
    texts.emplace_back(choice.text);
  }
  const auto nearest = Nearest(value, texts);
  return Failure(EINVAL, fmt::format("option '{}' can't be '{}'. Hint: {}={}", name, value, name,
                                     nearest.value_or(fmt::format("{}", fmt::join(texts, "|")))));
}

Result<uint32_t> ParseCount(std::string_view name, std::string_view value) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) {
    return Failure(EINVAL, fmt::format("option '{}' wants a number, not '{}'", name, value));
  }
  return number;
}

struct Valued {
  const char* name;
  Result<void> (*apply)(Request&, std::string_view name, std::string_view value);
};
constexpr Valued kValued[] = {
    {"cache",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       static constexpr Choice<CacheMode> kChoices[] = {{"none", CacheMode::kNone},
                                                        {"small", CacheMode::kSmall}};
       r.mount.cache = TRY(Choose(name, value, kChoices));
       return {};
     }},
    {"direct",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       static constexpr Choice<DirectMode> kChoices[] = {{"auto", DirectMode::kAuto},
                                                         {"always", DirectMode::kAlways},
                                                         {"never", DirectMode::kNever}};
       r.mount.volume.direct = TRY(Choose(name, value, kChoices));
       return {};
     }},
    {"page_array",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       static constexpr Choice<PageArrayChoice> kChoices[] = {{"auto", PageArrayChoice::kAuto},
                                                              {"device", PageArrayChoice::kDevice},
                                                              {"dram", PageArrayChoice::kDram}};
       r.mount.page_array = TRY(Choose(name, value, kChoices));
       return {};
     }},
    {"io_uring",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       static constexpr Choice<Switch> kChoices[] = {
           {"auto", Switch::kAuto}, {"on", Switch::kOn}, {"off", Switch::kOff}};
       r.mount.io_uring = TRY(Choose(name, value, kChoices));
       return {};
     }},
    {"threads",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       r.mount.threads = TRY(ParseCount(name, value));
       return {};
     }},
    {"spin",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       if (value == "auto") {
         r.mount.spin_us.reset();
       } else {
         r.mount.spin_us = TRY(ParseCount(name, value));
       }
       return {};
     }},
    {"log",
     [](Request& r, std::string_view, std::string_view value) -> Result<void> {
       r.mount.log_file = value;
       return {};
     }},
    {"loglevel",
     [](Request& r, std::string_view name, std::string_view value) -> Result<void> {
       static constexpr Choice<log::Level> kChoices[] = {{"debug", log::Level::kDebug},
                                                         {"info", log::Level::kInfo},
                                                         {"warning", log::Level::kWarning},
                                                         {"error", log::Level::kError},
                                                         {"off", log::Level::kOff}};
       r.mount.log_level = TRY(Choose(name, value, kChoices));
       return {};
     }},
    {"fsname",
     [](Request& r, std::string_view, std::string_view value) -> Result<void> {
       r.mount.source_name = value;
       r.uses_source = true;
       return {};
     }},
    {"source",
     [](Request& r, std::string_view, std::string_view value) -> Result<void> {
       r.mount.source_name = value;
       r.uses_source = true;
       return {};
     }},
};

// libfuse splits at commas that no backslash precedes.
std::string EscapeCommas(std::string_view option) {
  std::string escaped;
  for (const char c : option) {
    if (c == ',') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

Result<void> UnknownOption(std::string_view option, bool sloppy, Request& request) {
  if (sloppy) {
    request.ignored.emplace_back(option);
    return {};
  }
  if (option == "lazytime") {
    return Failure(EINVAL,
                   "option 'lazytime' can't be had: a time is durable when the call that changed "
                   "it returns. Hint: relatime, which is the default, or noatime");
  }
  const std::string_view name = option.substr(0, option.find('='));
  const auto nearest = Nearest(name, KnownMountOptions());
  return Failure(EINVAL, fmt::format("unknown option '{}'. Hint: {}", option,
                                     nearest.has_value() ? "did you mean '" + *nearest + "'?"
                                                         : "ingot mount --help"));
}

Result<void> ApplyOption(std::string_view option, bool sloppy, Request& request) {
  if (option.starts_with("x-") || option.starts_with("X-")) return {};
  const size_t equals = option.find('=');
  const std::string_view name = option.substr(0, equals);
  const auto is_name = [name](const auto& entry) { return name == entry; };
  if (equals == std::string_view::npos) {
    const auto* flag = std::ranges::find_if(kFlags, is_name, &Flag::name);
    if (flag != std::end(kFlags)) {
      flag->apply(request);
      request.given.emplace_back(name);
      return {};
    }
    if (std::ranges::any_of(kSwallowed, is_name)) return {};
    if (std::ranges::any_of(kValued, is_name, &Valued::name)) {
      return Failure(EINVAL, fmt::format("option '{}' wants a value", name));
    }
  } else {
    const std::string_view value = option.substr(equals + 1);
    const auto* valued = std::ranges::find_if(kValued, is_name, &Valued::name);
    if (valued != std::end(kValued)) {
      if (value.empty()) return Failure(EINVAL, fmt::format("option '{}' wants a value", name));
      request.given.emplace_back(name);
      return valued->apply(request, name, value);
    }
    if (std::ranges::any_of(kSwallowedWithValue, is_name)) return {};
    if (std::ranges::any_of(kSecurityContexts, is_name)) {
      request.mount.extra.push_back(EscapeCommas(option));
      return {};
    }
  }
  return UnknownOption(option, sloppy, request);
}

}  // namespace

Result<void> ParseMountOptions(std::string_view text, bool sloppy, MountRequest& request) {
  while (!text.empty()) {
    // A comma inside quotes belongs to the value, as mount(8) has it for context="...".
    size_t end = 0;
    for (bool quoted = false; end < text.size() && (quoted || text[end] != ','); ++end) {
      if (text[end] == '"') quoted = !quoted;
    }
    if (end != 0) TRY(ApplyOption(text.substr(0, end), sloppy, request));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

std::vector<std::string> KnownMountOptions() {
  std::vector<std::string> names;
  for (const Flag& flag : kFlags) names.emplace_back(flag.name);
  for (const Valued& valued : kValued) names.emplace_back(valued.name);
  for (const char* name : kSwallowed) names.emplace_back(name);
  return names;
}

}  // namespace ingot::cli
