// SPDX-License-Identifier: BSD-3-Clause
// The bytes of regular files (and long symlinks) in the extent store: read, write, truncate,
// fallocate, seek, copy.
//
// New pages are durable before the metadata that shows them; everything is durable on return. Bytes
// of the last page behind the end of the file are undefined: whoever extends the file zeroes them
// first. Pages wholly behind the end are unwritten ones (preallocated), or a truncation is pending
// (kInodeOrphan), which whoever extends the file completes first. A plain overwrite in place may be
// torn by a crash at 8 bytes inside its range; with `atomic` each request (up to 1 MiB) is whole or
// not at all, see range_writer.h. Small contents live in the inode's tail; a file that crosses 1
// MiB gets whole huge pages, congruent with file offsets (data_placement.h). Locks are taken
// inside, except where a function takes a Transaction.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <sys/uio.h>

#include <absl/container/inlined_vector.h>

#include "fs/core/core.h"

namespace ingot {

class DataPlacement;
class PieceCompletion;
class Xattrs;

// Bytes to be replied: they point at the medium (or at a page of zeros), and the inode lock is held
// shared as long as the view lives, so nobody frees or moves them.
struct ReadView {
  SharedInodeLock lock;
  absl::InlinedVector<struct iovec, 8> pieces;
  uint64_t size_bytes = 0;
  // Of a backed file, instead of pieces: up to size_bytes from `offset` on; less at its end.
  std::shared_ptr<BackingFile> file;
  uint64_t offset = 0;
  // Inline contents are copied here (the inode was validated on a copy).
  std::array<std::byte, media::kInodeTailSize> inline_bytes;
  bool atime_is_stale = false;  // the caller ends with AttributeOperations::TouchAtime
};

enum FallocateFlags : uint32_t {  // as <linux/falloc.h>
  kFallocateKeepSize = 1,
  kFallocatePunchHole = 2,
  kFallocateZeroRange = 16,
};

class FileData {
 public:
  explicit FileData(Core& core);
  ~FileData();
  FileData(const FileData&) = delete;
  // To clear security.capability; made after FileData, hence not in the constructor.
  void set_xattrs(Xattrs* xattrs) { xattrs_ = xattrs; }

  // Up to `size_bytes` from `offset`; less at the end of the file. EISDIR, EINVAL for other types;
  // ESTALE. Fills `view` in place, because pieces may point into it; after an error it holds no
  // lock.
  Result<void> Read(InodeNumber inode, uint64_t offset, uint64_t size_bytes, ReadView& view);
  // Guarded copy of the same into memory: for callers without iovecs. EIO: poisoned.
  Result<uint64_t> ReadInto(InodeNumber inode, uint64_t offset, std::span<std::byte> to);

  struct WriteOptions {
    bool append = false;           // at the end of the file, whatever `offset` says
    bool kill_privileges = false;  // clear set-id bits (security.capability goes at any write)
    bool from_page_cache =
        false;  // writeback of a shared mapping: not refused on append-only files
    bool sync = false;  // O_SYNC, O_DSYNC: what else is durable only after a sync is so at once
  };
  // Writes all of `from` or fails; a short count only if space or memory ran out midway. ENOSPC,
  // EFBIG, EPERM (immutable, or append-only without append).
  Result<uint64_t> Write(InodeNumber inode, uint64_t offset, std::span<const std::byte> from,
                         const WriteOptions& options);

  // Sets the size: frees what is beyond, or extends by a hole. Large truncations run in several
  // transactions; a crash shows the new size (recovery completes) or the old one.
  Result<void> Truncate(InodeNumber inode, uint64_t size_bytes, bool kill_privileges);

  // EOPNOTSUPP for other modes. Punching and zeroing a range is atomic up to what one transaction
  // holds; beyond, a crash may leave a prefix done.
  Result<void> Fallocate(InodeNumber inode, uint32_t mode, uint64_t offset, uint64_t size_bytes);

  // ENXIO: at or behind the end (or no data behind, for data).
  Result<uint64_t> SeekData(InodeNumber inode, uint64_t offset);
  Result<uint64_t> SeekHole(InodeNumber inode, uint64_t offset);

  // fsync: of backed files the host's, all else is durable already. Holds no lock meanwhile.
  Result<void> Sync(InodeNumber inode, bool data_only);
  // EOPNOTSUPP, EIO: as Core::FileOf; EINVAL: it isn't backed. Takes the lock shortly.
  Result<std::shared_ptr<BackingFile>> BackingFileOf(InodeNumber inode);
  // Gives the file a backing file (true) if the pool has such; false: it has one already. EINVAL:
  // atomic files. EOPNOTSUPP: a device pool. Else what kept it from that.
  Result<bool> MakeDirect(InodeNumber inode);
  // For a mount's recovery: moves a short backed file (kInodeMayDemote) back into extents (true) if
  // nobody has looked it up, and nobody has it open or mapped from an earlier mount. False: it
  // stays as it is; later mounts ask again unless it is long by now. ENOSPC, ESTALE, EIO.
  Result<bool> Demote(InodeNumber inode);

  // Copies up to `size_bytes`; holes stay holes where the target has none. May be short. EINVAL:
  // ranges of one file overlap.
  Result<uint64_t> CopyRange(InodeNumber from, uint64_t from_offset, InodeNumber to,
                             uint64_t to_offset, uint64_t size_bytes);

  // The file's extents from `page` on, for map; at most `max`.
  Result<std::vector<Extent>> Extents(InodeNumber inode, FilePage page, size_t max);

  // The last handle was closed: volatile claims for appends are given back.
  void Closed(InodeNumber inode);
  // Gives back what is reserved for growing files: nothing is moved for their sake any more.
  void DropReservations();
  // What is done to backed files after that, in the background.
  [[nodiscard]] PieceCompletion& completion() { return *completion_; }

  // --- under the caller's exclusive lock and transaction
  // ---------------------------------------------- Frees data pages and tree nodes behind
  // `keep_pages`, as many as fit; true when all are gone.
  Result<bool> FreeBehind(Transaction& transaction, media::Inode& inode, FilePage keep_pages);
  // Stores contents of a new symlink: inline or in pages.
  Result<void> WriteNew(Transaction& transaction, media::Inode& inode,
                        std::span<const std::byte> bytes);

 private:
  // All of these want the inode's exclusive lock, and no transaction alive on this thread.
  struct Change {
    InodeNumber number;
    bool kill_privileges = false;
    bool drop_capability = false;  // security.capability alone
    bool append = false;  // of a backed file: at its end, wherever that is
    bool sync = false;
  };
  Result<void> ReadLocked(InodeNumber number, uint64_t offset, uint64_t size_bytes,
                          ReadView& view) const;
  Result<uint64_t> WriteLocked(const Change& change, const media::Inode& before, uint64_t offset,
                               std::span<const std::byte> from);
  Result<media::Inode> DropPrivileges(const Change& change, const media::Inode& before);
  Result<uint64_t> WriteBacked(BackingFile& file, const Change& change, uint64_t offset,
                               std::span<const std::byte> from);
  [[nodiscard]] bool WantsBacking(const media::Inode& inode, uint64_t size_bytes) const;
  // If it wants one by then and can have it: copies of the inode are stale if it is true. Never an
  // error: a file that stays in extents is a good file.
  bool TryPromote(InodeNumber number, const media::Inode& inode, uint64_t size_bytes);
  Result<void> Promote(InodeNumber number);
  Result<void> KeepBacked(InodeNumber number);
  Result<void> MoveToExtents(const media::Inode& before, const BackingFile& file,
                             const struct stat& status);
  Result<void> StoreParts(Transaction& transaction, media::Inode& inode, const BackingFile& file,
                          std::span<const std::byte> contents, bool is_dense);
  Result<uint64_t> WriteContents(InodeNumber number, const media::Inode& before, uint64_t offset,
                                 std::span<const std::byte> from);
  Result<uint64_t> WriteStep(InodeNumber number, const media::Inode& before, uint64_t offset,
                             std::span<const std::byte> from);
  Result<uint64_t> WriteTransaction(InodeNumber number, const media::Inode& before,
                                    uint64_t offset, std::span<const std::byte> from);
  Result<bool> OverwriteInPlace(const media::Inode& before, uint64_t offset,
                                std::span<const std::byte> from);
  // EIO of a page that turned out to be bad since `known_bad` pages were: others may do.
  [[nodiscard]] bool HasMetBadPage(const Error& error, uint64_t known_bad) const;
  Result<void> WriteInline(InodeNumber number, uint64_t offset, std::span<const std::byte> from);
  Result<void> SpillInline(InodeNumber number);
  Result<void> SpillInline(Transaction& transaction, media::Inode& inode);

  // A validated copy of a regular file that may be changed: EROFS, ESTALE, EISDIR, EINVAL, EPERM. A
  // truncation that a crash or an error left unfinished is finished.
  Result<media::Inode> OpenForChange(InodeNumber number, bool allow_append_only);
  Result<void> Extend(const Change& change, uint64_t size_bytes);
  Result<void> Shrink(const Change& change, uint64_t size_bytes);
  Result<void> FinishTruncation(InodeNumber number);
  void MarkShort(const media::Inode& before);
  // By what `change` says.
  Result<void> KillPrivileges(Transaction& transaction, media::Inode& inode, const Change& change);
  [[nodiscard]] bool HasFileCapability(const media::Inode& inode) const;

  struct PageRange {
    FilePage first;
    FilePage end;
  };
  Result<void> Preallocate(InodeNumber number, PageRange range);
  // Adds the runs it allocated to `added`; returns where it stopped.
  Result<FilePage> PreallocateStep(InodeNumber number, PageRange range,
                                   std::vector<PageRange>& added);
  Result<FilePage> TryPreallocate(InodeNumber number, PageRange range,
                                  std::vector<PageRange>& adding);
  Result<void> CheckFits(const media::Inode& inode, PageRange range) const;
  void GiveBack(InodeNumber number, const std::vector<PageRange>& ranges);
  enum class Clear : uint8_t { kPunch, kMakeUnwritten };
  struct ClearedRange {
    uint64_t offset;
    uint64_t end;
    bool extends = false;  // the file, if `end` is behind its end
  };
  Result<void> ClearRange(InodeNumber number, const ClearedRange& range, Clear how);
  Result<void> ZeroInline(InodeNumber number, const ClearedRange& range);
  using CopyBuffer = std::unique_ptr<std::byte[]>;
  Result<uint64_t> CopyLocked(InodeNumber from, uint64_t from_offset, InodeNumber to,
                              uint64_t to_offset, uint64_t size_bytes);
  Result<uint64_t> CopyStep(InodeNumber from, uint64_t from_offset, InodeNumber to,
                            uint64_t to_offset, uint64_t size_bytes, CopyBuffer& buffer);
  Result<uint64_t> CopyFromBacked(const media::Inode& source, uint64_t from_offset, InodeNumber to,
                                  uint64_t to_offset, uint64_t size_bytes, CopyBuffer& buffer);
  Result<uint64_t> WriteCopied(InodeNumber to, uint64_t offset, std::span<const std::byte> bytes);
  Result<uint64_t> CopyHole(InodeNumber to, uint64_t offset, uint64_t size_bytes);

  Core& core_;
  std::unique_ptr<DataPlacement> placement_;
  std::unique_ptr<PieceCompletion> completion_;
  Xattrs* xattrs_ = nullptr;
  std::atomic<int64_t> no_promotion_until_{0};  // second; after one that failed
};

}  // namespace ingot
