// SPDX-License-Identifier: BSD-3-Clause
// The table, and the words of the reply. A shard's mutex is taken before an inode's stripe, which
// is then only taken shared.
#include "fs/fuse/passthrough.h"

#include <fcntl.h>

#include <algorithm>

#include "fs/fuse/backing_ioctl.h"
#include "fs/fuse/kernel_probe.h"
#include "fs/fuse/open_mode.h"
#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

// What a handle remembers; the rest is with the inode.
enum HandleBits : uint64_t {
  kPassthrough = 1 << 0,
  kWriter = 1 << 1,
  // Without passthrough, write-only, no page cache; the bits above tell such handles apart.
  kCannotMap = 1 << 2,
};
constexpr int kSerialShift = 3;

// The kernel opens the backing file with the user's flags, so that O_APPEND stays even if fcntl
// takes it away later: who can't map the file appends through the daemon (rule B5). Not those that
// may read: beside passthrough they would get stale pages through splice.
bool AppendsThroughDaemon(int flags) {
  return (flags & O_ACCMODE) == O_WRONLY && (flags & O_APPEND) != 0;
}

void FillReply(fuse_file_info& file, uint32_t backing_id) {
  file.fh = kPassthrough | (OpensForWriting(file.flags) ? uint64_t{kWriter} : 0);
  file.backing_id = static_cast<int32_t>(backing_id);
  file.direct_io = AppendsThroughDaemon(file.flags);
  file.keep_cache = 0;  // refused beside passthrough
  file.parallel_direct_writes = 0;
  file.noflush = 1;  // there is no page cache to be written back
}

bool OpensToMap(int flags) {
  return (flags & O_ACCMODE) == O_RDWR;
}

}  // namespace

Passthrough::Passthrough(Volume& volume, CacheMode cache)
    : volume_(volume),
      cache_(cache),
      host_takes_direct_io_(volume.core().backing->directory().TakesDirectIo()) {}

Passthrough::~Passthrough() = default;

void Passthrough::Start(int descriptor, std::string why_not) {
  descriptor_ = descriptor;
  why_not_ = std::move(why_not);
}

// Backed files never have pages in the cache: the host has them.
void Passthrough::ChooseWithout(const Attributes& attributes, fuse_file_info& file) {
  ChooseOpenMode(file, attributes.is_backed ? CacheMode::kNone : cache_, attributes.size_bytes);
  if ((file.flags & O_ACCMODE) == O_WRONLY && file.direct_io != 0) {
    file.fh = next_serial_.fetch_add(1) << kSerialShift | kCannotMap;
    // A write beside others counts as a handle of the inode while it lasts (fuse_dio_lock in
    // fs/fuse/file.c), so that the kernel would keep an id which is given back meanwhile.
    file.parallel_direct_writes = 0;
  }
}

size_t Passthrough::IgnoredHandles(const Shard& shard, InodeNumber inode) {
  const auto found = shard.writers.find(inode.value);
  return found == shard.writers.end() ? 0 : found->second.size();
}

uint32_t Passthrough::Register(int fd) {
  const Result<uint32_t> id = RegisterBacking(descriptor_, fd);
  if (id) return *id;
  const int code = id.error_code();
  // Others (no memory, no descriptors) may pass.
  const bool is_for_ever =
      code == EPERM || code == ELOOP || code == ENOTTY || code == EOPNOTSUPP || code == ENOSYS;
  if (is_for_ever && refused_.exchange(code) == 0) {
    log::Warning("fuse: {}, error={}", WhyNot(), ErrnoName(code));
    volume_.core().direct = DirectMode::kNever;
  }
  return 0;
}

Result<Passthrough::Entry*> Passthrough::EntryFor(Shard& shard, InodeNumber inode) {
  const auto [found, is_new] = shard.entries.try_emplace(inode.value);
  Entry& entry = found->second;
  if (!is_new) return &entry;
  Result<std::shared_ptr<BackingFile>> file =
      NoThrow([&] { return volume_.data().BackingFileOf(inode); });
  if (file) entry.backing_id = Register((*file)->fd());
  if (entry.backing_id != 0) {
    entry.file = std::move(*file);
    return &entry;
  }
  shard.entries.erase(found);
  if (!file) return tl::unexpected<Error>(file.error());
  return nullptr;
}

Result<bool> Passthrough::Decide(Shard& shard, const Attributes& attributes, fuse_file_info& file) {
  const InodeNumber inode = attributes.inode;
  const bool have_others = shard.entries.contains(inode.value);
  // The kernel wouldn't keep writers to the end of the file, or sync each write.
  constexpr uint32_t kDaemonsBusiness = media::kInodeAppendOnly | media::kInodeSync;
  if (have_others) {
    // It must be as they are, and through such a mapping anything could be overwritten.
    const bool append_only = (attributes.flags & media::kInodeAppendOnly) != 0;
    if (append_only && OpensToMap(file.flags)) return Failure(EPERM);
  } else {
    if (!is_possible() || !attributes.is_backed) return false;
    if ((attributes.flags & kDaemonsBusiness) != 0) return false;
    if (volume_.core().inodes.Opens(inode) != 1 + IgnoredHandles(shard, inode)) return false;
  }
  if ((file.flags & O_DIRECT) != 0 && !host_takes_direct_io_) return Failure(EINVAL);
  // First what may find no memory: from the count on nothing fails.
  if (OpensToMap(file.flags)) shard.mapped.insert(inode.value);
  Entry* const entry = TRY(EntryFor(shard, inode));
  if (entry == nullptr) return false;
  if (OpensForWriting(file.flags)) volume_.core().backing->NoteTouched(entry->file->number());
  if ((file.flags & O_ACCMODE) != O_WRONLY) entry->file->NoteMappable();
  FillReply(file, entry->backing_id);
  ++entry->handles;
  handles_.fetch_add(1);
  if ((file.fh & kWriter) != 0) {
    ++entry->writers;
    entry->file->NotePastUs();
  }
  return true;
}

std::shared_ptr<BackingFile> Passthrough::Remove(Shard& shard, InodeNumber inode, uint64_t handle) {
  const auto found = shard.entries.find(inode.value);
  CHECK(found != shard.entries.end(), "inode {}", inode.value);
  Entry& entry = found->second;
  if ((handle & kWriter) != 0) --entry.writers;
  handles_.fetch_sub(1);
  if (--entry.handles != 0) return entry.file;
  UnregisterBacking(descriptor_, entry.backing_id);
  std::shared_ptr<BackingFile> file = std::move(entry.file);
  shard.entries.erase(found);
  return file;
}

Result<bool> Passthrough::Open(InodeNumber inode, fuse_file_info& file) {
  Shard& shard = ShardOf(inode);
  const MutexLock lock(shard.mutex);
  TRY(volume_.names().Open(inode));
  const Result<bool> opened = NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> Result<bool> {
    // Read after it was counted: a file that is promoted later finds the handle.
    const Attributes attributes = TRY(volume_.attributes().Get(inode));
    TRY(CheckMayOpen(attributes, file.flags));
    const bool was_mapped = shard.mapped.contains(inode.value);
    if (TRY(Decide(shard, attributes, file))) return OpensToMap(file.flags) && !was_mapped;
    ChooseWithout(attributes, file);
    return false;
  });
  // (Its last close may free it, but not here: the kernel looks it up, so that it has a reference.)
  if (!opened) volume_.names().Release(inode);
  return opened;
}

void Passthrough::OpenNew(const Attributes& made, fuse_file_info& file) {
  Shard& shard = ShardOf(made.inode);
  const MutexLock lock(shard.mutex);
  const Result<bool> opened =
      NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return Decide(shard, made, file); });
  if (!opened || !*opened) ChooseWithout(made, file);
}

void Passthrough::Close(InodeNumber inode, uint64_t handle) noexcept {
  bool is_last = false;
  std::shared_ptr<BackingFile> file;
  if ((handle & (kPassthrough | kCannotMap)) == 0) {
    is_last = volume_.names().DropOpen(inode);
  } else {
    Shard& shard = ShardOf(inode);
    const MutexLock lock(shard.mutex);
    if ((handle & kPassthrough) != 0) file = Remove(shard, inode, handle);
    if (const auto found = shard.writers.find(inode.value); found != shard.writers.end()) {
      std::erase(found->second, handle);
      if (found->second.empty()) shard.writers.erase(found);
    }
    is_last = volume_.names().DropOpen(inode);
  }
  // It may wait for locks and for the host.
  if (is_last) volume_.names().AfterLastClose(inode);
}

void Passthrough::NoteWritten(InodeNumber inode, uint64_t handle) noexcept {
  if ((handle & kCannotMap) == 0) return;
  std::atomic<uint64_t>& noted = noted_[(handle >> kSerialShift) % noted_.size()];
  if (noted.load(std::memory_order_relaxed) == handle) return;
  Shard& shard = ShardOf(inode);
  const MutexLock lock(shard.mutex);
  // Without memory it is noted at its next write.
  (void)NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> Result<void> {
    std::vector<uint64_t>& writers = shard.writers[inode.value];
    if (std::ranges::find(writers, handle) == writers.end()) writers.push_back(handle);
    noted.store(handle, std::memory_order_relaxed);
    return {};
  });
}

bool Passthrough::IsHeldBack(InodeNumber inode) const {
  const Shard& shard = ShardOf(inode);
  const MutexLock lock(shard.mutex);
  return volume_.core().inodes.Opens(inode) != IgnoredHandles(shard, inode) &&
         !shard.entries.contains(inode.value);
}

std::vector<std::shared_ptr<BackingFile>> Passthrough::OpenFiles() const {
  std::vector<std::shared_ptr<BackingFile>> files;
  for (const Shard& shard : std::span(shards_.get(), kShards)) {
    const MutexLock lock(shard.mutex);
    for (const auto& [inode, entry] : shard.entries) files.push_back(entry.file);
  }
  return files;
}

bool Passthrough::HasWriter(InodeNumber inode) const {
  const Shard& shard = ShardOf(inode);
  const MutexLock lock(shard.mutex);
  const auto found = shard.entries.find(inode.value);
  return found != shard.entries.end() && found->second.writers != 0;
}

bool Passthrough::MayChangeUnseen(InodeNumber inode) noexcept {
  Shard& shard = ShardOf(inode);
  const MutexLock lock(shard.mutex);
  if (shard.mapped.contains(inode.value)) return true;
  const Result<bool> quiet =
      NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return IsQuiet(shard, inode); });
  return !quiet || !*quiet;
}

// Handles of this mount would be taken for others'; new ones wait for the shard.
Result<bool> Passthrough::IsQuiet(Shard& shard, InodeNumber inode) {
  if (shard.quiet.contains(inode.value)) return true;
  if (shard.entries.contains(inode.value)) return false;
  if (TRY(volume_.data().BackingFileOf(inode))->IsOpenElsewhere()) return false;
  if (shard.quiet.size() >= kMaxQuiet) shard.quiet.clear();
  shard.quiet.insert(inode.value);
  return true;
}

void Passthrough::Forgotten(InodeNumber inode) noexcept {
  Shard& shard = ShardOf(inode);
  const MutexLock lock(shard.mutex);
  if (!volume_.core().inodes.IsReferenced(inode)) shard.mapped.erase(inode.value);
}

std::string Passthrough::WhyNot() const {
  const int code = refused_.load();
  return code == 0 ? why_not_ : DescribeRefusal(code);
}

}  // namespace ingot
