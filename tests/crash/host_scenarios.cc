// SPDX-License-Identifier: BSD-3-Clause
// Spares, new files, promotion, deletion, replacement, truncation: each as small as it can be, for
// every part of it is lost in turn.
#include "tests/crash/host_scenarios.h"

#include <linux/fs.h>

#include <fmt/format.h>

#include "pmemdev/base/check.h"

namespace ingot::tests {
namespace {

constexpr InodeNumber kRoot = Volume::kRoot;
constexpr const char* kNone = "(none)";

template <typename T>
T Must(Result<T> result) {
  CHECK(result.has_value(), "{}", Describe(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::string Pattern(size_t size_bytes, char first = 'a') {
  std::string text(size_bytes, '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>(first + static_cast<char>(i * 7 % 13));
  }
  return text;
}

NewNode Node(bool backed) {
  NewNode node;
  node.mode = S_IFREG | 0644;
  node.likely_mapped = backed;
  return node;
}

InodeNumber Make(Volume& volume, std::string_view name, bool backed) {
  const Attributes made = Must(volume.names().Create(kRoot, name, Node(backed), Caller{}));
  CHECK(made.is_backed == backed, "{}", name);
  return made.inode;
}

// With a reference, as the kernel's.
InodeNumber Find(Volume& volume, std::string_view name) {
  return Must(volume.names().Lookup(kRoot, name)).inode;
}

void Write(Volume& volume, InodeNumber inode, std::string_view text, uint64_t offset = 0,
           bool sync = false) {
  FileData::WriteOptions options;
  options.sync = sync;
  while (!text.empty()) {
    const uint64_t done =
        Must(volume.data().Write(inode, offset, std::as_bytes(std::span(text)), options));
    offset += done;
    text.remove_prefix(done);
  }
}

void MakeSynced(Volume& volume, std::string_view name, std::string_view text) {
  const InodeNumber inode = Make(volume, name, true);
  Write(volume, inode, text);
  Must(volume.data().Sync(inode, false));
  volume.names().Forget(inode, 1);
}

std::string Read(Volume& volume, std::string_view name) {
  const auto found = volume.names().Lookup(kRoot, name);
  if (!found) return found.error_code() == ENOENT ? kNone : Describe(found.error());
  std::string text(size_t{2} << 20, '\0');
  const auto size =
      volume.data().ReadInto(found->inode, 0, std::as_writable_bytes(std::span(text)));
  volume.names().Forget(found->inode, 1);
  if (!size) return Describe(size.error());
  text.resize(*size);
  return text;
}

std::string Shortly(const std::string& text) {
  return fmt::format("'{}' ({} bytes)", text.substr(0, 24), text.size());
}

// One of these; at the end the last one.
std::string IsOneOf(Volume& volume, std::string_view name, bool at_end,
                    const std::vector<std::string>& allowed) {
  const std::string text = Read(volume, name);
  if (at_end && text != allowed.back())
    return fmt::format("{} is {} at the end", name, Shortly(text));
  if (std::ranges::find(allowed, text) != allowed.end()) return "";
  return fmt::format("{} is {}", name, Shortly(text));
}

// Written without a sync, each byte is what it was or was to be, or zero; at the end `wanted`.
std::string IsMixOf(Volume& volume, std::string_view name, bool at_end, const std::string& before,
                    const std::string& wanted) {
  const std::string text = Read(volume, name);
  if (at_end) return text == wanted ? "" : fmt::format("{} is {} at the end", name, Shortly(text));
  if (text == kNone && before == kNone) return "";
  const size_t longest = std::max(before == kNone ? 0 : before.size(), wanted.size());
  if (text.size() > longest) return fmt::format("{} is {}", name, Shortly(text));
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_old = i < before.size() && text[i] == before[i] && before != kNone;
    const bool is_new = i < wanted.size() && text[i] == wanted[i];
    if (!is_old && !is_new && text[i] != '\0') {
      return fmt::format("{} has a foreign byte at {}", name, i);
    }
  }
  return "";
}

void Nothing(Volume&) {}

HostScenario Creation(bool by_write) {
  return {
      by_write ? "create and write with O_SYNC" : "create, write, fsync", Nothing,
      [by_write](Volume& volume) {
        const InodeNumber inode = Make(volume, "db", true);
        Write(volume, inode, "contents", 0, by_write);
        if (!by_write) Must(volume.data().Sync(inode, false));
      },
      [](Volume& volume, bool at_end) { return IsMixOf(volume, "db", at_end, kNone, "contents"); },
      by_write ? "file_write.cc" : "file_data.cc"};
}

HostScenario Promotion(bool scattered) {
  const std::string page = Pattern(4096);
  const std::string text = scattered ? std::string() : Pattern(90'000);
  constexpr uint64_t kPages = 40;
  std::string wanted = text;
  for (uint64_t i = 0; scattered && i < kPages; ++i) {
    wanted.resize(i * 8192);
    wanted += page;
  }
  return {scattered ? "promotion of a scattered file" : "promotion",
          [=](Volume& volume) {
            const InodeNumber inode = Make(volume, "large", false);
            Write(volume, inode, text);
            for (uint64_t i = 0; scattered && i < kPages; ++i) Write(volume, inode, page, i * 8192);
          },
          [](Volume& volume) { CHECK(Must(volume.data().MakeDirect(Find(volume, "large"))), ""); },
          [wanted](Volume& volume, bool) { return IsOneOf(volume, "large", true, {wanted}); },
          "promotion.cc"};
}

HostScenario Crossing() {
  const std::string text = Pattern((1 << 20) + 5000);
  const size_t synced = 1000 << 10;
  return {
      "the write that crosses 1 MiB",
      [=](Volume& volume) { Write(volume, Make(volume, "large", false), text.substr(0, synced)); },
      [=](Volume& volume) {
        const InodeNumber inode = Find(volume, "large");
        Write(volume, inode, text.substr(synced), synced);
        Must(volume.data().Sync(inode, false));
      },
      [=](Volume& volume, bool at_end) -> std::string {
        const std::string got = Read(volume, "large");
        if (got.substr(0, synced) != text.substr(0, synced)) return "what was durable is lost";
        return IsMixOf(volume, "large", at_end, text.substr(0, synced), text);
      },
      "promotion.cc"};
}

HostScenario FailedPromotion() {
  return {"a spare that was written and is nobody's", Nothing,
          [](Volume& volume) {
            {
              BackingFiles::Spare spare = Must(volume.core().backing->TakeSpare());
              Must(spare.file().Write(0, std::as_bytes(std::span("somebody's secret"))));
            }
            (void)Make(volume, "other", true);
            Must(volume.core().backing->Upkeep());
          },
          [](Volume& volume, bool at_end) {
            return IsOneOf(volume, "other", at_end, {kNone, ""});
          },
          ""};
}

HostScenario Deletion(bool while_open) {
  return {while_open ? "unlink while it is open, last close" : "unlink",
          [](Volume& volume) {
            MakeSynced(volume, "goes", "contents");
            MakeSynced(volume, "stays", "here");
          },
          [=](Volume& volume) {
            const InodeNumber inode = Find(volume, "goes");
            if (while_open) Must(volume.names().Open(inode));
            if (!while_open) volume.names().Forget(inode, 1);
            Must(volume.names().Unlink(kRoot, "goes"));
            if (while_open) {
              volume.names().Forget(inode, 1);
              volume.names().Release(inode);
            }
            Must(volume.core().backing->Upkeep());
          },
          [](Volume& volume, bool at_end) {
            if (Read(volume, "stays") != "here") return std::string("another file was lost");
            return IsOneOf(volume, "goes", at_end, {"contents", kNone});
          },
          ""};
}

enum class Replaces : uint8_t { kByRename, kByExchange, kByExchangeFrom };

// Write, rename: old or new, never in between, without any fsync of the user's; whichever of the
// two names an exchange is told first.
HostScenario Replacement(Replaces how) {
  const bool exchange = how != Replaces::kByRename;
  const bool backwards = how == Replaces::kByExchangeFrom;
  return {backwards  ? "exchange, told the other way"
          : exchange ? "exchange"
                     : "rename over",
          [](Volume& volume) { MakeSynced(volume, "config", "old"); },
          [=](Volume& volume) {
            Write(volume, Make(volume, "config.new", true), "new");
            Must(volume.names().Rename(kRoot, backwards ? "config" : "config.new", kRoot,
                                       backwards ? "config.new" : "config",
                                       exchange ? RENAME_EXCHANGE : 0, Caller{}));
            Must(volume.core().backing->Upkeep());
          },
          [](Volume& volume, bool at_end) {
            return IsOneOf(volume, "config", at_end, {"old", "new"});
          },
          "core.cc"};
}

HostScenario NamingTheUnnamed() {
  return {"link of an unnamed file", Nothing,
          [](Volume& volume) {
            const InodeNumber inode =
                Must(volume.names().CreateUnnamed(kRoot, Node(true), Caller{})).inode;
            Write(volume, inode, "contents");
            Must(volume.names().Link(inode, kRoot, "named"));
          },
          [](Volume& volume, bool at_end) {
            return IsOneOf(volume, "named", at_end, {kNone, "contents"});
          },
          "core.cc"};
}

HostScenario Rewriting() {
  return {"cut to nothing, written anew, closed",
          [](Volume& volume) { MakeSynced(volume, "notes", "what it was"); },
          [](Volume& volume) {
            const InodeNumber inode = Find(volume, "notes");
            Must(volume.names().Open(inode));
            Must(volume.data().Truncate(inode, 0, false));
            Write(volume, inode, "WHAT IT IS");
            volume.names().Release(inode);
            Must(volume.core().backing->Upkeep());
          },
          [](Volume& volume, bool at_end) {
            return IsMixOf(volume, "notes", at_end, "what it was", "WHAT IT IS");
          },
          ""};
}

HostScenario Truncation() {
  const std::string before = Pattern(9000);
  const std::string wanted = before.substr(0, 3000) + std::string(3000, '\0') + Pattern(50, 'N');
  return {
      "truncate down and up, write, fsync",
      [=](Volume& volume) { MakeSynced(volume, "log", before); },
      [=](Volume& volume) {
        const InodeNumber inode = Find(volume, "log");
        Must(volume.data().Truncate(inode, 3000, false));
        Must(volume.data().Truncate(inode, 6000, false));
        Write(volume, inode, Pattern(50, 'N'), 6000);
        Must(volume.data().Sync(inode, true));
      },
      [=](Volume& volume, bool at_end) { return IsMixOf(volume, "log", at_end, before, wanted); },
      "file_data.cc"};
}

// What a mount does first: spares and deleted files of the last one go, new spares come.
HostScenario Recovery() {
  return {"recovery",
          [](Volume& volume) {
            MakeSynced(volume, "stays", "here");
            MakeSynced(volume, "goes", "contents");
            Must(volume.names().Unlink(kRoot, "goes"));
          },
          [](Volume& volume) {
            Must(volume.orphans().Recover([] { return true; }));
            Must(volume.core().backing->Upkeep());
            Must(volume.core().backing->Upkeep());
          },
          [](Volume& volume, bool) {
            if (Read(volume, "goes") != kNone) return std::string("a deleted file is back");
            return IsOneOf(volume, "stays", true, {"here"});
          },
          ""};
}

// A short file goes back into extents, of which the host must not lose a byte.
HostScenario Demotion() {
  const std::string text = Pattern(90'000);
  return {"demotion",
          [=](Volume& volume) {
            MakeSynced(volume, "short", text);
            MakeSynced(volume, "shorter", "few bytes");
          },
          [](Volume& volume) {
            Must(volume.orphans().Recover([] { return true; }));
            const InodeNumber inode = Find(volume, "short");
            CHECK(!Must(volume.attributes().Get(inode)).is_backed, "it was not demoted");
            Must(volume.core().backing->Upkeep());
          },
          [=](Volume& volume, bool) {
            if (Read(volume, "shorter") != "few bytes") return std::string("inline bytes are lost");
            return IsOneOf(volume, "short", true, {text});
          },
          ""};
}

}  // namespace

std::vector<HostScenario> HostScenarios() {
  return {Creation(false),
          Creation(true),
          Promotion(false),
          Promotion(true),
          Crossing(),
          FailedPromotion(),
          Deletion(false),
          Deletion(true),
          Replacement(Replaces::kByRename),
          Replacement(Replaces::kByExchange),
          Replacement(Replaces::kByExchangeFrom),
          NamingTheUnnamed(),
          Rewriting(),
          Truncation(),
          Recovery(),
          Demotion()};
}

}  // namespace ingot::tests
