// SPDX-License-Identifier: BSD-3-Clause
// DIR/backing of a directory pool: backing files by number, and the mark that says whose they are.
//
// Owns the directory's descriptor; nothing here knows inodes or the ledger. Names are durable after
// Sync, no earlier. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs/core/backing_file.h"
#include "fs/core/types.h"
#include "pmemdev/base/descriptor.h"
#include "pmemdev/format.h"

namespace ingot {

class BackingDirectory {
 public:
  static constexpr const char* kName = "backing";

  // mkfs: makes `pool`/backing with the pool's mark, durable. With `force` what an earlier pool
  // left in there is deleted, else EEXIST.
  static Result<void> Make(const std::string& pool, const media::Uuid& uuid, bool force);
  // Whose files are in `pool`/backing.
  enum class Mark : uint8_t {
    kOurs,
    kNoDirectory,
    kNone,     // or nothing that could be read as one
    kForeign,  // another pool's
  };
  static Result<Mark> ReadMark(const std::string& pool, const media::Uuid& uuid);
  // fsck: `pool`/backing exists and is marked as the pool's, durably; what lies in it stays as it
  // is. A crash leaves no mark, or this one.
  static Result<void> MakeOurs(const std::string& pool, const media::Uuid& uuid);
  // ENOENT: no such directory; EUCLEAN: no mark, or another pool's. `observer` (tests) outlives it.
  static Result<std::unique_ptr<BackingDirectory>> Open(const std::string& pool,
                                                        const media::Uuid& uuid, bool read_only,
                                                        HostObserver* observer = nullptr);
  ~BackingDirectory();
  BackingDirectory(const BackingDirectory&) = delete;

  // Access times of files that are opened from now on follow this rule (host_atime.h, with its
  // errors). Before any other thread knows of this object.
  Result<void> UseAtimeRule(AtimeMode rule);

  // A new empty file of mode 0600. EEXIST is an error: numbers are never used twice.
  Result<std::unique_ptr<BackingFile>> Create(uint64_t number);
  // ENOENT; EUCLEAN: no regular file.
  Result<std::unique_ptr<BackingFile>> OpenFile(uint64_t number) const;
  // Without opening it. Errors as OpenFile.
  Result<struct stat> Stat(uint64_t number) const;
  // A file that isn't there is deleted already.
  Result<void> Unlink(uint64_t number);
  Result<void> Sync(PersistSite site = PersistSite::current());
  // The numbers of all files, unsorted; names that are no numbers come as text (fsck).
  struct Listing {
    std::vector<uint64_t> numbers;
    std::vector<std::string> strangers;
  };
  Result<Listing> List() const;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  // Does the host take O_DIRECT?
  [[nodiscard]] bool TakesDirectIo() const;
  // ext4 of clusters of 2 MiB: the smallest file takes that, as the pool's mark shows.
  [[nodiscard]] bool allocates_huge_pages() const { return allocates_huge_pages_; }
  // Files are mapped directly because of a flag that they inherit from it (dax_flag.h).
  [[nodiscard]] bool has_dax_flag() const { return has_dax_flag_; }

 private:
  BackingDirectory(int fd, bool read_only, HostObserver* observer);
  Result<Descriptor> OpenByNumber(uint64_t number) const;
  Result<void> Note(const HostChange& change);

  const int fd_;
  const bool read_only_;
  const bool allocates_huge_pages_;
  const bool has_dax_flag_;
  HostObserver* const observer_;
};

}  // namespace ingot
