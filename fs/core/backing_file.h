// SPDX-License-Identifier: BSD-3-Clause
// The host file that holds a backed file's contents, and what is asked of it.
//
// Owns one descriptor. A thin layer over system calls, so that tests can see all that changes the
// host (HostObserver) and make a host that lost what was not synced. Contents and sizes are durable
// after Sync, no earlier. Errors are the host's, EINTR repeated. Thread-safe as the host is; who
// may change what is the caller's lock (docs/backed-files.md).
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "pmemdev/base/result.h"
#include "pmemdev/persist.h"

namespace ingot {

// One change of the host, told before it is made. A file is named by its number.
struct HostChange {
  enum class Kind : uint8_t {
    kCreate,
    kUnlink,
    kSyncDirectory,
    kWrite,
    kResize,    // to `offset`
    kAllocate,  // [offset, offset + size_bytes), without growing
    kPunch,
    kSync,
  };
  Kind kind;
  uint64_t number = 0;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  std::span<const std::byte> bytes;
  PersistSite site{};  // of syncs: who asked for it
};

class HostObserver {
 public:
  virtual ~HostObserver() = default;
  virtual void OnChange(const HostChange& change) = 0;
  // An errno value to fail the change with instead of making it; 0: make it.
  virtual int FailureOf(const HostChange&) { return 0; }
};

// What was done to a file as long as its BackingFile lives.
struct MappedUse {
  bool was_mappable = false;
  bool was_changed = false;  // since then
  MappedUse& operator|=(const MappedUse& other) {
    was_mappable = was_mappable || other.was_mappable;
    was_changed = was_changed || other.was_changed;
    return *this;
  }
};

class BackingFile {
 public:
  // Takes over the descriptor, which is open for reading, and for writing where that is wanted.
  BackingFile(int fd, uint64_t number, HostObserver* observer);
  ~BackingFile();
  BackingFile(const BackingFile&) = delete;

  [[nodiscard]] uint64_t number() const { return number_; }
  // For passthrough and leases.
  [[nodiscard]] int fd() const { return fd_; }

  Result<struct stat> Stat() const;
  // Less than asked for only at the file's end.
  Result<uint64_t> Read(uint64_t offset, std::span<std::byte> to) const;
  // All of it, or what went before an error as a short count. ENOSPC, EFBIG, EIO.
  Result<uint64_t> Write(uint64_t offset, std::span<const std::byte> from);
  // Behind the end, wherever that is at that moment.
  Result<uint64_t> Append(std::span<const std::byte> from);
  // From another file, or another range of this one, in the host's kernel. May be short; 0 at the
  // other's end.
  Result<uint64_t> CopyFrom(const BackingFile& from, uint64_t from_offset, uint64_t offset,
                            uint64_t size_bytes);
  Result<void> Resize(uint64_t size_bytes);
  // Makes the host allocate the range; the size follows with `grow`.
  Result<void> Allocate(uint64_t offset, uint64_t size_bytes, bool grow);
  // The range reads as zeros, the size stays.
  Result<void> Punch(uint64_t offset, uint64_t size_bytes);
  // SEEK_DATA or SEEK_HOLE. ENXIO.
  Result<uint64_t> Seek(uint64_t offset, int whence) const;
  // As futimens(2), with UTIME_NOW and UTIME_OMIT.
  Result<void> SetTimes(const struct timespec& atime, const struct timespec& mtime);

  // Contents and size are durable when it returns; times, too, unless `data_only`. What a failure
  // lost is not known.
  Result<void> Sync(bool data_only, PersistSite site = PersistSite::current());
  // Sync of the data, if anything may have changed since the last one that succeeded.
  Result<void> SyncIfDirty(PersistSite site = PersistSite::current());
  // True if a mapping of it is the medium's own pages: on tmpfs, and where the host says so of the
  // file (DAX). Else it is the host's page cache.
  [[nodiscard]] bool IsMappedFromMedium() const;
  // False if the host says that no open file and no mapping but our own descriptor is left, of any
  // process: a write lease can be had. It is given back at once: whoever holds back opens through
  // this mount knows that nobody comes meanwhile.
  [[nodiscard]] bool IsOpenElsewhere() const;
  // Somebody may write to it past us from now on. For good: a mapping outlives its handle.
  void NotePastUs() {
    is_written_past_us_.store(true);
    changes_.fetch_add(1);
  }
  // Differs from an earlier answer if the file may have been changed since then, by us, or by
  // somebody whom NotePastUs() has told of since then.
  [[nodiscard]] uint64_t changes() const { return changes_.load(); }
  // Somebody may map it from now on.
  void NoteMappable();
  [[nodiscard]] MappedUse use() const;
  // Where the host maps files directly because of their flag (dax_flag.h): it forgets the file's
  // inode once nobody has it open, and with it which pieces it has mapped by small entries, which
  // it would go on using. What is dirty then is written first: sync it before. A crash in the
  // middle leaves the flag unset, which BackingDirectory::OpenFile mends.
  Result<void> MakeHostForget();
  // No piece of it is partly written (partial_pieces.h), as long as it isn't changed.
  void NoteWhole() { whole_changes_.store(changes_.load()); }
  [[nodiscard]] bool is_whole() const { return whole_changes_.load() == changes_.load(); }

 private:
  static constexpr int64_t kNotMappable = -1;

  Result<void> Note(const HostChange& change);

  const int fd_;
  const uint64_t number_;
  HostObserver* const observer_;
  // Changes that are over (of those past us: begun), how many of them the last sync found, and at
  // how many no piece was partly written. One at first: nobody knows what was done before the file
  // was opened.
  std::atomic<uint64_t> changes_{1};
  std::atomic<uint64_t> synced_changes_{0};
  std::atomic<uint64_t> whole_changes_{0};
  std::atomic<bool> is_written_past_us_{false};
  std::atomic<int64_t> mappable_at_mtime_{kNotMappable};  // nanoseconds
};

}  // namespace ingot
