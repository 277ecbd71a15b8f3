// SPDX-License-Identifier: BSD-3-Clause
// Files with set-id bits and capabilities, and what takes these from them: the calls that the
// daemon makes (fs/fuse/privileges.h), in its order.
#include <linux/falloc.h>
#include <sys/stat.h>

#include <span>

#include "fs/core/xattrs.h"
#include "tests/crash/operations_internal.h"

namespace ingot::tests::crash {
namespace {

constexpr size_t kCapabilityBytes = 20;  // VFS_CAP_REVISION_2
constexpr std::array kPrivileged{"inline", "file", "sparse"};

Result<InodeNumber> Find(Volume& volume, const std::string& name) {
  const Attributes found = TRY(volume.names().Lookup(Volume::kRoot, name));
  volume.names().Forget(found.inode, 1);
  return found.inode;
}

Result<void> Set(Volume& volume, const std::string& name, const AttributeChange& change) {
  TRY(volume.attributes().Set(TRY(Find(volume, name)), change));
  return {};
}

Result<void> SetCapability(Volume& volume, const std::string& name) {
  const std::string value = MakeBytes(6, kCapabilityBytes);
  return volume.xattrs().Set(TRY(Find(volume, name)), kCapabilityName,
                             std::as_bytes(std::span(value)), XattrSetMode::kAny, false);
}

// Who asks: root keeps set-id bits, nobody keeps capabilities.
enum class Asks : uint8_t { kAnybody, kRoot };

Result<void> ClearPrivileges(Volume& volume, const std::string& path, Asks who) {
  const InodeNumber inode = TRY(Find(volume, path.substr(1)));
  if (who == Asks::kAnybody) {
    AttributeChange change;
    change.kill_privileges = true;
    TRY(volume.attributes().Set(inode, change));
    return {};
  }
  const auto value = volume.xattrs().Get(inode, kCapabilityName);
  return value ? volume.xattrs().Remove(inode, kCapabilityName) : Result<void>();
}

Result<std::string> Write(Volume& volume, const Operation& operation, Asks who) {
  const InodeNumber inode = TRY(Find(volume, operation.path.substr(1)));
  const std::string bytes = MakeBytes(operation.seed, operation.size);
  const uint64_t written = TRY(volume.data().Write(inode, operation.offset,
                                                   std::as_bytes(std::span(bytes)),
                                                   {.append = operation.kind == Kind::kAppend,
                                                    .kill_privileges = who == Asks::kAnybody}));
  return fmt::format("ok {}", written);
}

Result<std::string> Change(Volume& volume, const Operation& operation, Asks who) {
  if (operation.kind == Kind::kWrite || operation.kind == Kind::kAppend) {
    return Write(volume, operation, who);
  }
  if (operation.kind == Kind::kTruncate) {
    AttributeChange change;
    change.size_bytes = operation.size;
    change.kill_privileges = who == Asks::kAnybody;
    TRY(Set(volume, operation.path.substr(1), change));
    return "ok";
  }
  const bool copies = operation.kind == Kind::kCopyRange;
  if (copies) TRY(Find(volume, operation.path.substr(1)));
  TRY(ClearPrivileges(volume, copies ? operation.path2 : operation.path, who));
  return VolumeSubject(volume).Run(operation);
}

void AddChange(Operations& list, std::string name, Operation operation, uint64_t begin,
               uint64_t end, Asks who = Asks::kAnybody) {
  AddTorn(list, std::move(name), operation, begin, end);
  list.back().torn->takes_set_ids = who == Asks::kAnybody;
  list.back().torn->takes_capability = true;
  list.back().run = [operation, who](Volume& volume) {
    const Result<std::string> answer = Change(volume, operation, who);
    return answer ? *answer : ErrorText(answer.error().code);
  };
}

void AddWrites(Operations& list) {
  const auto write = [&list](const char* path, uint64_t offset, uint64_t size,
                             Asks who = Asks::kAnybody) {
    AddChange(list,
              fmt::format("{} {} at {} of {}", who == Asks::kRoot ? "root's write" : "write", size,
                          offset, path),
              {.kind = Kind::kWrite, .path = path, .offset = offset, .size = size, .seed = 8},
              offset, offset + size, who);
  };
  write("/file", 63, 65);
  write("/file", 4000, 4095);
  write("/file", 8999, 500);
  write("/file", 30'000, 65);
  write("/file", 1, 7, Asks::kRoot);
  write("/file", 20'000, 7, Asks::kRoot);
  write("/sparse", 100, 100);
  write("/inline", 3, 7);
  write("/inline", 50, 4000);
  AddChange(list, "append", {.kind = Kind::kAppend, .path = "/file", .size = 5000, .seed = 9}, 9000,
            UINT64_MAX);
}

void AddSizes(Operations& list) {
  const auto truncate = [&list](const char* path, uint64_t size, Asks who = Asks::kAnybody) {
    AddChange(list,
              fmt::format("{} {} to {}", who == Asks::kRoot ? "root's truncate" : "truncate", path,
                          size),
              {.kind = Kind::kTruncate, .path = path, .size = size}, 0, 0, who);
  };
  truncate("/file", 4097);
  truncate("/file", 0);
  truncate("/file", 20'000);
  truncate("/file", 5, Asks::kRoot);
  truncate("/inline", 1);
  truncate("/inline", 6000);
  const auto allocate = [&list](const char* path, uint32_t flags, uint64_t offset, uint64_t size,
                                Asks who = Asks::kAnybody) {
    AddChange(
        list, fmt::format("fallocate {:#x} {} at {} of {}", flags, size, offset, path),
        {.kind = Kind::kFallocate, .path = path, .offset = offset, .size = size, .flags = flags},
        offset, offset + size, who);
  };
  allocate("/file", kPunch, 1, 4096);
  allocate("/file", kPunch, 2000, 7, Asks::kRoot);
  allocate("/sparse", kPunch, 8192, 4096);
  allocate("/inline", kPunch, 2, 9);
  allocate("/file", FALLOC_FL_ZERO_RANGE, 100, 12'000);
  allocate("/file", 0, 0, 30'000);
  AddChange(
      list, "copy a range into it",
      {.kind = Kind::kCopyRange, .path = "/source", .path2 = "/file", .offset2 = 2, .size = 4096},
      2, 4098);
  AddChange(list, "copy a hole over it",
            {.kind = Kind::kCopyRange,
             .path = "/holes",
             .path2 = "/file",
             .offset = 4096,
             .offset2 = 0,
             .size = 8192},
            0, 8192);
  AddChange(list, "copy a hole behind it",
            {.kind = Kind::kCopyRange,
             .path = "/holes",
             .path2 = "/file",
             .offset = 4096,
             .offset2 = 9000,
             .size = 8192},
            9000, UINT64_MAX);
}

void AddAttributes(Operations& list) {
  const auto add = [&list](const char* name, std::function<Result<void>(Volume&)> change) {
    list.push_back({name, [change](Volume& volume) {
                      const Result<void> done = change(volume);
                      return done ? "ok" : ErrorText(done.error().code);
                    }});
  };
  const auto change_mode = [&add](const char* name, uint32_t mode) {
    add(name, [mode](Volume& volume) {
      AttributeChange change;
      change.mode = mode;
      return Set(volume, "file", change);
    });
  };
  change_mode("chmod", 0755);
  change_mode("chmod to set-id again", 06711);
  add("chown", [](Volume& volume) {
    AttributeChange change;
    change.uid = change.gid = 1000;
    change.kill_privileges = true;
    return Set(volume, "file", change);
  });
  add("chown to nobody else", [](Volume& volume) {
    AttributeChange change;
    change.ctime = Time{1'850'000'000, 0};
    change.kill_privileges = true;
    return Set(volume, "file", change);
  });
  add("setcap", [](Volume& volume) { return SetCapability(volume, "file"); });
  add("setcap -r", [](Volume& volume) {
    return ClearPrivileges(volume, "/file", Asks::kRoot);
  });
}

}  // namespace

std::vector<Operation> PrivilegedHistory() {
  std::vector<Operation> made;
  for (const char* path : {"/inline", "/file", "/sparse", "/source", "/holes"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0755});
  }
  const auto write = [&made](const char* path, uint64_t offset, uint64_t size) {
    made.push_back(
        {.kind = Kind::kWrite, .path = path, .offset = offset, .size = size, .seed = size});
  };
  write("/inline", 0, 60);
  write("/file", 0, 9000);
  write("/sparse", 8192, 4096);
  write("/source", 0, 5000);
  write("/holes", 16'384, 100);
  return made;
}

void GivePrivileges(Volume& volume) {
  for (const char* name : kPrivileged) {
    AttributeChange change;
    change.mode = 06755;
    const Result<void> changed = Set(volume, name, change);
    CHECK(changed.has_value(), "{}", Describe(changed.error()));
    const Result<void> set = SetCapability(volume, name);
    CHECK(set.has_value(), "{}", Describe(set.error()));
  }
}

Operations PrivilegedOperations() {
  Operations list;
  AddWrites(list);
  AddSizes(list);
  AddAttributes(list);
  Add(list, "rename over it", {.kind = Kind::kRename, .path = "/source", .path2 = "/file"});
  return list;
}

}  // namespace ingot::tests::crash
