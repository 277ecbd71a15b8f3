// SPDX-License-Identifier: BSD-3-Clause
// The table, and the words of the reply. The table's mutex is taken before an inode's stripe.
#include "fs/fuse/passthrough.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include "fs/fuse/open_mode.h"
#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"

namespace ingot {
namespace {

// What a handle remembers; the rest is with the inode.
enum HandleBits : uint64_t {
  kPassthrough = 1 << 0,
  kWriter = 1 << 1,
};

// FUSE_DEV_IOC_BACKING_CLOSE of linux/fuse.h, which Debian 12's doesn't have yet.
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

// The kernel opens the backing file with the user's flags, so that O_APPEND stays even if fcntl
// takes it away later: who can't map the file appends through the daemon (rule B5). Not those that
// may read: beside passthrough they would get stale pages through splice.
bool AppendsThroughDaemon(int flags) {
  return (flags & O_ACCMODE) == O_WRONLY && (flags & O_APPEND) != 0;
}

void FillReply(fuse_file_info& file, int backing_id) {
  file.fh = kPassthrough | (OpensForWriting(file.flags) ? uint64_t{kWriter} : 0);
  file.backing_id = backing_id;
  file.direct_io = AppendsThroughDaemon(file.flags);
  file.keep_cache = 0;  // refused beside passthrough
  file.parallel_direct_writes = 0;
  file.noflush = 1;  // there is no page cache to be written back
}

}  // namespace

Passthrough::~Passthrough() = default;

void Passthrough::Start(int descriptor, std::string why_not) {
  descriptor_ = descriptor;
  why_not_ = std::move(why_not);
}

Result<bool> Passthrough::Add(fuse_req_t request, InodeNumber inode, fuse_file_info& file) {
  auto found = entries_.find(inode.value);
  if (found == entries_.end()) {
    Entry entry;
    entry.file = TRY(volume_.data().BackingFileOf(inode));
    entry.backing_id = fuse_passthrough_open(request, entry.file->fd());
    if (entry.backing_id <= 0) {
      if (!refused_.exchange(true)) {
        log::Warning("fuse: the kernel refused a backing file, no more are tried, inode={}",
                     inode.value);
      }
      return false;
    }
    found = entries_.emplace(inode.value, std::move(entry)).first;
  }
  Entry& entry = found->second;
  FillReply(file, entry.backing_id);
  ++entry.handles;
  if ((file.fh & kWriter) != 0) {
    ++entry.writers;
    entry.file->AddWriter();
  }
  return true;
}

void Passthrough::Remove(InodeNumber inode, uint64_t handle) {
  const auto found = entries_.find(inode.value);
  CHECK(found != entries_.end(), "inode {}", inode.value);
  Entry& entry = found->second;
  if ((handle & kWriter) != 0) {
    --entry.writers;
    entry.file->RemoveWriter();
  }
  if (--entry.handles != 0) return;
  // Not by libfuse, which wants a request for it. The id is in nobody's use: nothing can fail.
  auto id = static_cast<uint32_t>(entry.backing_id);
  (void)ioctl(descriptor_, kBackingClose, &id);
  entries_.erase(found);
}

Result<bool> Passthrough::Decide(fuse_req_t request, const Attributes& attributes,
                                 fuse_file_info& file) {
  if (entries_.contains(attributes.inode.value)) return Add(request, attributes.inode, file);
  // The kernel wouldn't keep writers to the end of the file, or sync each write.
  constexpr uint32_t kDaemonsBusiness = media::kInodeAppendOnly | media::kInodeSync;
  if (!is_possible() || !attributes.is_backed) return false;
  if ((attributes.flags & kDaemonsBusiness) != 0) return false;
  if (volume_.core().inodes.Opens(attributes.inode) != 1) return false;
  return Add(request, attributes.inode, file);
}

// Backed files never have pages in the cache: the host has them.
void Passthrough::ChooseWithout(const Attributes& attributes, fuse_file_info& file) const {
  ChooseOpenMode(file, attributes.is_backed ? CacheMode::kNone : cache_, attributes.size_bytes);
}

Result<bool> Passthrough::Open(fuse_req_t request, InodeNumber inode, fuse_file_info& file) {
  const MutexLock lock(mutex_);
  TRY(volume_.names().Open(inode));
  const Result<bool> opened = NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> Result<bool> {
    // Read after it was counted: a file that is promoted later finds the handle.
    const Attributes attributes = TRY(volume_.attributes().Get(inode));
    TRY(CheckMayOpen(attributes, file.flags));
    if (!TRY(Decide(request, attributes, file))) {
      ChooseWithout(attributes, file);
      return false;
    }
    return (file.flags & O_ACCMODE) == O_RDWR && NoteMapped(inode);
  });
  if (!opened) volume_.names().Release(inode);
  return opened;
}

void Passthrough::OpenNew(fuse_req_t request, const Attributes& made, fuse_file_info& file) {
  const MutexLock lock(mutex_);
  const Result<void> opened = NoThrow([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> Result<void> {
    if ((file.flags & O_ACCMODE) == O_RDWR && made.is_backed) NoteMapped(made.inode);
    if (!TRY(Decide(request, made, file))) ChooseWithout(made, file);
    return {};
  });
  if (!opened) ChooseWithout(made, file);
}

void Passthrough::Close(InodeNumber inode, uint64_t handle) noexcept {
  if ((handle & kPassthrough) == 0) {
    volume_.names().Release(inode);
    return;
  }
  const MutexLock lock(mutex_);
  Remove(inode, handle);
  volume_.names().Release(inode);
}

bool Passthrough::NoteMapped(InodeNumber inode) {
  const bool is_first = mapped_.insert(inode.value).second;
  mapped_count_.store(mapped_.size());
  return is_first;
}

bool Passthrough::HasWriter(InodeNumber inode) const {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(inode.value);
  return found != entries_.end() && found->second.writers != 0;
}

bool Passthrough::MayChangeUnseen(InodeNumber inode) const {
  if (mapped_count_.load() == 0) return false;
  const MutexLock lock(mutex_);
  return mapped_.contains(inode.value);
}

void Passthrough::Forgotten(InodeNumber inode) noexcept {
  if (mapped_count_.load() == 0) return;
  const MutexLock lock(mutex_);
  if (volume_.core().inodes.IsReferenced(inode)) return;
  mapped_.erase(inode.value);
  mapped_count_.store(mapped_.size());
}

PassthroughState Passthrough::State() const {
  PassthroughState state;
  state.why_not = refused_.load() ? "the kernel refused a backing file" : why_not_;
  const MutexLock lock(mutex_);
  for (const auto& [inode, entry] : entries_) state.handles += entry.handles;
  return state;
}

}  // namespace ingot
