// SPDX-License-Identifier: BSD-3-Clause
// Names: looking up, reading directories and links, and the kernel's references. Writes nothing but
// what the end of a reference frees.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "fs/core/attributes.h"
#include "fs/core/names.h"
#include "fs/core/names_internal.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

constexpr uint64_t kCookieOfDot = 1;
constexpr uint64_t kCookieOfDotDot = 2;

// Without a name and without a holder: it is only waiting to be freed.
bool IsGone(const Core& core, const media::Inode& inode) {
  return inode.links == 0 && !core.inodes.IsReferenced(InodeNumber(inode.number));
}

}  // namespace

Result<Attributes> Names::Lookup(InodeNumber parent, std::string_view name) {
  if (name == ".") return LookupByNumber(parent, std::nullopt);
  TRY(names::CheckName(name));
  InodeNumber child;
  {
    const SharedInodeLock lock(core_.locks, parent);
    const media::Inode directory = TRY(core_.reader.ReadInode(parent));
    TRY(names::CheckDirectory(directory));
    if (name == "..") {
      if (directory.links == 0) return Failure(ENOENT);
      child = InodeNumber(directory.parent);
    } else {
      child = TRY(core_.directories.Find(directory, name)).inode;
    }
    // Neither outside of the pool nor a bitmap: what is counted there is the page array's own.
    const uint32_t index = IndexInGroup(PageOf(child));
    if (child.value == 0 || !core_.device.geometry().Contains(PageOf(child)) ||
        (index != media::kFirstInodePage && index < media::kReservedPagesPerGroup)) {
      return Failure(EUCLEAN,
                     fmt::format("inode {}: entry of inode {}", parent.value, child.value));
    }
    // What comes next lies in four places that no cache may have: fetched at once, not in turns.
    core_.reader.PrefetchInode(child);
    __builtin_prefetch(&core_.locks.Stripe(core_.locks.StripeOf(child)), 1);
    // Under the parent's lock the entry can't go, hence its inode can't be freed: no need to hold
    // both locks at once. If the name goes right after, the lookup came before that.
    core_.inodes.AddLookup(child);
  }
  // Not only an error of the inode, also the want of memory for its text takes the reference back.
  Result<Attributes> attributes = NoThrow([&]() -> Result<Attributes> {
    const SharedInodeLock lock(core_.locks, child);
    return core_.AttributesOf(TRY(core_.reader.ReadInodeHead(child)));
  });
  if (attributes) return attributes;
  Forget(child, 1);
  if (attributes.error_code() != ESTALE) return attributes;
  return Failure(EUCLEAN,
                 fmt::format("inode {}: entry of free inode {}", parent.value, child.value));
}

Result<Attributes> Names::LookupByNumber(InodeNumber number, std::optional<uint32_t> generation) {
  const SharedInodeLock lock(core_.locks, number);
  TRY(core_.inodes.CheckNumber(number));
  const media::Inode inode = TRY(core_.reader.ReadInodeHead(number));
  if (generation && *generation != inode.generation) return Failure(ESTALE);
  if (IsGone(core_, inode)) return Failure(ESTALE);
  const Attributes attributes = TRY(core_.AttributesOf(inode));
  core_.inodes.AddLookup(number);
  return attributes;
}

void Names::Forget(InodeNumber inode, uint64_t count) noexcept {
  if (core_.inodes.Forget(inode, count) == 0) ReclaimIfUnreferenced(inode);
}

void Names::ReclaimIfUnreferenced(InodeNumber inode) noexcept {
  if (core_.inodes.IsReferenced(inode) || !core_.CheckWritable()) return;
  // Whoever gave the reference back can't do anything about it; the next mount's recovery tries
  // again. Nor may destructors, which give references back, throw.
  if (const Result<void> done = NoThrow([&] { return orphans_.Reclaim(inode); }); !done) {
    log::Warning("event=reclaim inode={} error={} reason=\"{}\"", inode.value,
                 ErrnoName(done.error().code), done.error().context);
  }
}

Result<std::string> Names::ReadLink(InodeNumber number) {
  uint64_t size_bytes = 0;
  {
    const SharedInodeLock lock(core_.locks, number);
    const media::Inode inode = TRY(core_.reader.ReadInode(number));
    if (!S_ISLNK(inode.mode)) return Failure(EINVAL);
    if (inode.body_form == media::BodyForm::kInline) {
      return std::string(reinterpret_cast<const char*>(inode.tail.data()), inode.body_bytes);
    }
    size_bytes = inode.size_bytes;
  }
  if (size_bytes >= kPageSize) {
    return Failure(EUCLEAN, fmt::format("inode {}: length of a symlink", number.value));
  }
  // The target never changes, so that no lock need be held in between.
  std::string target(size_bytes, '\0');
  target.resize(TRY(data_.ReadInto(number, 0, std::as_writable_bytes(std::span(target)))));
  return target;
}

Result<void> Names::VisitDirectory(InodeNumber number, uint64_t cookie, DirectoryVisitor visit) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode directory = TRY(core_.reader.ReadInode(number));
  TRY(names::CheckDirectory(directory));
  if (directory.links == 0) return Failure(ENOENT);
  if (cookie < kCookieOfDot && !visit({kCookieOfDot, number, DT_DIR, "."})) return {};
  const InodeNumber parent(directory.parent);
  if (cookie < kCookieOfDotDot && !visit({kCookieOfDotDot, parent, DT_DIR, ".."})) return {};
  return core_.directories.Visit(directory, std::max(cookie, kCookieOfDotDot), visit);
}

Result<std::vector<DirectoryEntry>> Names::ReadDirectory(InodeNumber number, uint64_t cookie,
                                                         size_t max_entries) {
  std::vector<DirectoryEntry> entries;
  TRY(VisitDirectory(number, cookie, [&](const DirectoryEntryView& entry) {
    if (entries.size() == max_entries) return false;
    entries.push_back({entry.key, entry.inode, entry.type, std::string(entry.name)});
    return entries.size() < max_entries;
  }));
  return entries;
}

Result<void> Names::Open(InodeNumber number) {
  const SharedInodeLock lock(core_.locks, number);
  const media::Inode inode = TRY(core_.reader.ReadInodeHead(number));
  if (IsGone(core_, inode)) return Failure(ESTALE);
  core_.inodes.AddOpen(number);
  return {};
}

void Names::AfterLastClose(InodeNumber inode) noexcept {
  data_.Closed(inode);
  ReclaimIfUnreferenced(inode);
}

}  // namespace ingot
