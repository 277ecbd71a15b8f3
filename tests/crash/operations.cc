// SPDX-License-Identifier: BSD-3-Clause
// The small base and what is done on it: the list of ACE (Mohan et al., OSDI'18), with the calls
// that Linux has had since and the sizes around words, lines, pages.
#include "tests/crash/operations.h"

#include <linux/falloc.h>
#include <linux/fs.h>

#include <span>

#include "tests/crash/operations_internal.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {

using crash::Add;
using crash::AddTorn;
using crash::kPunch;
using crash::Operations;

namespace {

std::vector<Operation> SmallHistory() {
  std::vector<Operation> made;
  for (const char* path : {"/a", "/b", "/a/sub", "/a/full"}) {
    made.push_back({.kind = Kind::kMkdir, .path = path, .mode = 0755});
  }
  for (const char* path : {"/a/tiny", "/a/page", "/a/sparse", "/b/attr", "/a/full/x", "/a/empty"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0644});
  }
  made.push_back({.kind = Kind::kWrite, .path = "/a/tiny", .size = 7, .seed = 1});
  made.push_back({.kind = Kind::kWrite, .path = "/a/page", .size = 4097, .seed = 2});
  made.push_back(
      {.kind = Kind::kWrite, .path = "/a/sparse", .offset = 50'000, .size = 4096, .seed = 3});
  made.push_back({.kind = Kind::kTruncate, .path = "/a/sparse", .size = 100'000});
  made.push_back({.kind = Kind::kLink, .path = "/a/page", .path2 = "/b/hard"});
  made.push_back({.kind = Kind::kSymlink, .path = "/a/link", .name = "tiny"});
  made.push_back({.kind = Kind::kMknod, .path = "/b/fifo", .mode = 0600});
  made.push_back({.kind = Kind::kSetXattr, .path = "/a/page", .name = "user.x", .size = 9});
  made.push_back({.kind = Kind::kSetXattr, .path = "/b/attr", .name = "user.big", .size = 5000});
  return made;
}

void AddNames(Operations& list) {
  Add(list, "creat", {.kind = Kind::kCreate, .path = "/a/new", .mode = 0644});
  Add(list, "creat in /", {.kind = Kind::kCreate, .path = "/new", .mode = 0600});
  Add(list, "mkdir", {.kind = Kind::kMkdir, .path = "/a/newdir", .mode = 0755});
  Add(list, "symlink", {.kind = Kind::kSymlink, .path = "/b/s", .name = "../a/tiny"});
  Add(list, "symlink of a page",
      {.kind = Kind::kSymlink, .path = "/b/long", .name = std::string(700, 't')});
  Add(list, "mknod", {.kind = Kind::kMknod, .path = "/a/fifo", .mode = 0600});
  Add(list, "link", {.kind = Kind::kLink, .path = "/a/page", .path2 = "/b/page"});
  Add(list, "link over", {.kind = Kind::kLink, .path = "/a/page", .path2 = "/b/attr"});
  Add(list, "link in place", {.kind = Kind::kLink, .path = "/a/tiny", .path2 = "/a/tiny2"});
  Add(list, "unlink inline", {.kind = Kind::kUnlink, .path = "/a/tiny"});
  Add(list, "unlink one of two", {.kind = Kind::kUnlink, .path = "/a/page"});
  Add(list, "unlink the other", {.kind = Kind::kUnlink, .path = "/b/hard"});
  Add(list, "unlink with xattrs", {.kind = Kind::kUnlink, .path = "/b/attr"});
  Add(list, "unlink sparse", {.kind = Kind::kUnlink, .path = "/a/sparse"});
  Add(list, "unlink the new", {.kind = Kind::kUnlink, .path = "/a/new"});
  Add(list, "rmdir", {.kind = Kind::kRmdir, .path = "/a/sub"});
  Add(list, "rmdir of a full one", {.kind = Kind::kRmdir, .path = "/a/full"});
  const auto rename = [&list](const char* name, const char* from, const char* to,
                              uint32_t flags = 0) {
    Add(list, name, {.kind = Kind::kRename, .path = from, .path2 = to, .flags = flags});
  };
  rename("rename", "/a/tiny", "/a/tiny3");
  rename("rename to another directory", "/a/tiny", "/b/tiny");
  rename("rename over a linked file", "/a/tiny", "/a/page");
  rename("rename over the last name", "/a/page", "/b/attr");
  rename("rename over itself", "/a/page", "/b/hard");
  rename("rename a directory", "/a/sub", "/a/sub2");
  rename("move a directory", "/a/full", "/b/full");
  rename("rename over a directory", "/a/full", "/a/sub");
  rename("move over a directory", "/b", "/a/sub");
  rename("exchange files", "/a/tiny", "/b/attr", RENAME_EXCHANGE);
  rename("exchange file and directory", "/a/full", "/b/attr", RENAME_EXCHANGE);
  rename("exchange directories", "/a/full", "/b", RENAME_EXCHANGE);
  rename("rename to a free name", "/a/empty", "/b/e", RENAME_NOREPLACE);
  rename("rename to a used name", "/a/empty", "/b/attr", RENAME_NOREPLACE);
  rename("rename with whiteout", "/a/empty", "/b/e2", RENAME_WHITEOUT);
}

void AddWrites(Operations& list) {
  for (const uint64_t size : {1u, 63u, 65u, 4095u, 4097u}) {
    AddTorn(list, fmt::format("append {} to 7", size),
            {.kind = Kind::kAppend, .path = "/a/tiny", .size = size, .seed = size}, 7);
  }
  AddTorn(list, "append 65 to 4097",
          {.kind = Kind::kAppend, .path = "/a/page", .size = 65, .seed = 9}, 4097);
  AddTorn(list, "append to empty", {.kind = Kind::kAppend, .path = "/a/empty", .size = 7}, 0);
  const auto write = [&list](const char* path, uint64_t offset, uint64_t size) {
    AddTorn(list, fmt::format("write {} at {} of {}", size, offset, path),
            {.kind = Kind::kWrite, .path = path, .offset = offset, .size = size, .seed = size + 1},
            offset, offset + size);
  };
  write("/a/tiny", 3, 1);
  write("/a/page", 4090, 7);
  write("/a/page", 1, 4095);
  write("/a/page", 63, 65);
  write("/a/sparse", 49'999, 63);
  write("/a/sparse", 8190, 4097);
  write("/a/tiny", 30'000, 65);
  const auto truncate = [&list](const char* path, uint64_t size) {
    AddTorn(list, fmt::format("truncate {} to {}", path, size),
            {.kind = Kind::kTruncate, .path = path, .size = size}, 0, 0);
  };
  truncate("/a/tiny", 0);
  truncate("/a/tiny", 3);
  truncate("/a/tiny", 5000);
  truncate("/a/page", 4096);
  truncate("/a/page", 1);
  truncate("/a/page", 9000);
  truncate("/a/sparse", 52'001);
  const auto allocate = [&list](const char* path, uint32_t flags, uint64_t offset, uint64_t size) {
    AddTorn(
        list, fmt::format("fallocate {:#x} {} at {} of {}", flags, size, offset, path),
        {.kind = Kind::kFallocate, .path = path, .offset = offset, .size = size, .flags = flags},
        offset, offset + size);
  };
  allocate("/a/page", FALLOC_FL_KEEP_SIZE, 0, 20'000);
  allocate("/a/sparse", 0, 90'000, 30'000);
  allocate("/a/tiny", 0, 0, 10'000);
  allocate("/a/page", kPunch, 1, 4096);
  allocate("/a/sparse", kPunch, 49'152, 8192);
  allocate("/a/page", FALLOC_FL_ZERO_RANGE, 100, 6000);
  AddTorn(
      list, "copy a range into a file",
      {.kind = Kind::kCopyRange, .path = "/a/page", .path2 = "/a/tiny", .offset2 = 2, .size = 4096},
      2, 4098);
  AddTorn(list, "copy a hole over data",
          {.kind = Kind::kCopyRange,
           .path = "/a/sparse",
           .path2 = "/a/page",
           .offset = 4096,
           .offset2 = 0,
           .size = 8192},
          0, 8192);
}

void AddAttributes(Operations& list) {
  const auto xattr = [&list](const char* path, const char* name, uint64_t size) {
    Add(list, fmt::format("setxattr {} of {} on {}", name, size, path),
        {.kind = Kind::kSetXattr, .path = path, .name = name, .size = size, .seed = 4});
  };
  xattr("/a/tiny", "user.x", 7);
  xattr("/a/page", "user.x", 65);
  xattr("/a", "user.dir", 4095);
  xattr("/b/attr", "user.more", 9000);
  Add(list, "removexattr the last",
      {.kind = Kind::kRemoveXattr, .path = "/a/page", .name = "user.x"});
  Add(list, "removexattr a big one",
      {.kind = Kind::kRemoveXattr, .path = "/b/attr", .name = "user.big"});
  Add(list, "chmod", {.kind = Kind::kChmod, .path = "/a/page", .mode = 0600});
  Add(list, "chmod of a directory", {.kind = Kind::kChmod, .path = "/a", .mode = 0700});
  Add(list, "chown", {.kind = Kind::kChown, .path = "/a/tiny", .flags = 1000});
  Add(list, "utimens",
      {.kind = Kind::kSetTimes, .path = "/a/page", .offset = 1'000'000'000, .size = 7});
}

// What an earlier operation may have taken away.
Result<InodeNumber> Find(Volume& volume, std::initializer_list<const char*> path) {
  InodeNumber inode = Volume::kRoot;
  for (const char* name : path) {
    inode = TRY(volume.names().Lookup(inode, name))
    .inode;
    volume.names().Forget(inode, 1);
  }
  return inode;
}

std::string AnswerOf(const Result<void>& done) {
  return done ? "ok" : ErrorText(done.error_code());
}

Result<void> MakeUnnamed(Volume& volume, bool link) {
  const InodeNumber directory = TRY(Find(volume, {"a"}));
  NewNode node;
  node.mode = S_IFREG | 0600;
  node.open = true;
  const Attributes made = TRY(volume.names().CreateUnnamed(directory, node, Caller{}));
  const std::string bytes = MakeBytes(5, 5000);
  TRY(volume.data().Write(made.inode, 0, std::as_bytes(std::span(bytes)), {}));
  if (link) {
    TRY(volume.names().Link(made.inode, directory, "tmpfile"));
    volume.names().Forget(made.inode, 1);
  }
  volume.names().Release(made.inode);
  volume.names().Forget(made.inode, 1);
  return {};
}

// The last name goes while two handles are open; then they are closed.
std::string UnlinkOpenFile(Volume& volume) {
  const Result<InodeNumber> inode = Find(volume, {"a", "sparse"});
  if (!inode) return ErrorText(inode.error().code);
  (void)volume.names().Open(*inode);
  (void)volume.names().Open(*inode);
  const std::string answer =
      VolumeSubject(volume).Run({.kind = Kind::kUnlink, .path = "/a/sparse"});
  volume.names().Release(*inode);
  volume.names().Release(*inode);
  return answer;
}

std::string RunAndClose(Volume& volume, const Operation& operation) {
  const Result<InodeNumber> inode = Find(volume, {operation.path.c_str() + 1});
  if (!inode) return ErrorText(inode.error().code);
  (void)volume.names().Open(*inode);
  const std::string answer = VolumeSubject(volume).Run(operation);
  volume.names().Release(*inode);
  return answer;
}

Result<void> SetNoAtime(Volume& volume) {
  const InodeNumber inode = TRY(Find(volume, {"b"}));
  return volume.attributes().SetFlags(inode, media::kInodeNoAtime, media::kInodeNoAtime);
}

// In the tick of the file's last change: nothing of the inode is to be changed, so that the bytes
// go to their place and no transaction follows.
std::string WriteInTick(Volume& volume, const Operation& operation) {
  const Result<InodeNumber> inode = Find(volume, {"a", "sparse"});
  if (!inode) return ErrorText(inode.error().code);
  const Result<Attributes> attributes = volume.attributes().Get(*inode);
  if (!attributes || attributes->mtime != attributes->ctime) return ErrorText(ESTALE);
  const FixedChance::Stop stop(attributes->mtime);
  return VolumeSubject(volume).Run(operation);
}

void AddOverwrites(Operations& list) {
  for (const uint64_t size : {1u, 7u, 63u, 65u, 1000u, 4093u}) {
    const Operation write{
        .kind = Kind::kWrite, .path = "/a/sparse", .offset = 50'001, .size = size, .seed = size};
    CrashOperation added;
    added.name = fmt::format("overwrite {} in one tick", size);
    added.run = [write](Volume& volume) { return WriteInTick(volume, write); };
    added.torn = TornRange{write.path, write.offset, write.offset + size, false};
    list.push_back(std::move(added));
  }
}

// Unnamed files: with a name in the end, and without.
void AddUnnamed(Operations& list) {
  list.push_back({"O_TMPFILE", [](Volume& v) { return AnswerOf(MakeUnnamed(v, false)); }});
  list.push_back({"O_TMPFILE and link", [](Volume& v) { return AnswerOf(MakeUnnamed(v, true)); }});
  list.push_back({"unlink of an open file", UnlinkOpenFile});
  list.push_back({"chattr +A", [](Volume& v) { return AnswerOf(SetNoAtime(v)); }});
}

}  // namespace

namespace crash {

void Add(Operations& list, std::string name, Operation operation) {
  CrashOperation added;
  added.name = std::move(name);
  added.operation = operation;
  added.run = [operation](Volume& volume) { return VolumeSubject(volume).Run(operation); };
  list.push_back(std::move(added));
}

void AddTorn(Operations& list, std::string name, Operation operation, uint64_t begin, uint64_t end,
             bool in_steps) {
  const bool copies = operation.kind == Kind::kCopyRange;
  const TornRange range{copies ? operation.path2 : operation.path, begin, end, in_steps};
  Add(list, std::move(name), std::move(operation));
  list.back().torn = range;
}

void AddClosed(Operations& list, std::string name, Operation operation, uint64_t begin,
               uint64_t end, bool in_steps) {
  AddTorn(list, std::move(name), operation, begin, end, in_steps);
  list.back().run = [operation](Volume& volume) { return RunAndClose(volume, operation); };
}

Operations SmallOperations() {
  Operations list;
  AddNames(list);
  AddWrites(list);
  AddOverwrites(list);
  AddAttributes(list);
  AddUnnamed(list);
  return list;
}

}  // namespace crash

const char* NameOf(Base base) {
  switch (base) {
    case Base::kSmall:
      return "small";
    case Base::kLarge:
      return "large";
    case Base::kCrowded:
      return "crowded";
    case Base::kPrivileged:
      return "privileged";
    default:
      return "full";
  }
}

std::vector<Operation> HistoryOf(Base base) {
  if (base == Base::kPrivileged) return crash::PrivilegedHistory();
  return base == Base::kSmall ? SmallHistory() : crash::OtherHistory(base);
}

int MakeBase(Base base, const PoolOptions& options) {
  // A small pool is full with little to read: twelve of its sixteen MiB are label, lanes and
  // tables.
  const uint64_t size_bytes = uint64_t{base == Base::kFull ? 16u : 32u} << 20;
  const FixedChance fixed;
  ModelledPool pool(size_bytes, options);
  for (const Operation& operation : HistoryOf(base)) pool.Run(operation);
  if (base == Base::kPrivileged) crash::GivePrivileges(pool.volume());
  if (base == Base::kFull) {
    Operation fill{.kind = Kind::kAppend, .path = "/fill", .size = 1 << 20};
    while (fill.size >= kPageSize) {
      if (pool.RunOnVolume(fill) != fmt::format("ok {}", fill.size)) fill.size /= 2;
    }
  }
  return CopyOfPool(pool.fd());
}

std::vector<CrashOperation> OperationsOn(Base base) {
  if (base == Base::kPrivileged) return crash::PrivilegedOperations();
  return base == Base::kSmall ? crash::SmallOperations() : crash::OtherOperations(base);
}

}  // namespace ingot::tests
