// SPDX-License-Identifier: BSD-3-Clause
// Where file data goes (design, "Allocation truth"): small files near their last page, large ones
// in whole huge pages, congruent with file offsets (offset mod 2 MiB is the same in file and
// medium).
//
// A window is 2 MiB of a file, aligned. The first window gets a whole huge page when half of it (1
// MiB) is to be used: what it holds is copied over, in a transaction of its own that changes no
// contents. Each later window gets one when data arrives at its start, if the page before is in use
// (an appender) or the first window is such a one (a large file written in several places); or when
// it is filled whole. The decision looks at the first 2 MiB, not at the size, so that a sparse
// file's islands stay small. The unused rest stays claimed for the file in AppendReservations. No
// whole huge page to be had: small runs. When whole huge pages are short, the last window of a file
// that is closed moves into fragments, and back into one when it is filled up. Thread-safe; callers
// hold the inode lock exclusively.
#pragma once

#include "fs/core/append_reservations.h"
#include "fs/core/core.h"

namespace ingot {

class DataPlacement {
 public:
  explicit DataPlacement(Core& core);
  ~DataPlacement();
  DataPlacement(const DataPlacement&) = delete;

  // Claims 1..`pages` pages for the hole at `page`. `before` is the inode as it is on media,
  // `inode` as edited. `appending`: at the end of the file, so that more is likely to follow.
  // ENOSPC.
  Result<Claim> ClaimFor(Transaction& transaction, const media::Inode& inode,
                         const media::Inode& before, FilePage page, uint64_t pages, bool appending);

  // Before [first, end) is filled: moves what the window of `first` holds into a whole huge page,
  // if it is the first window and this is what makes it large, or if it lies in fragments and is
  // filled up now. True if something was committed: copies of the inode are stale then. Never an
  // error: a file that stays where it is is a good file.
  bool PrepareWindow(const media::Inode& inode, FilePage first, FilePage end);

  // After the last close, without the inode lock: gives back what is reserved for the file. If
  // whole huge pages are short, and the file's last window uses a part of one that is otherwise its
  // own, this part moves into fragments first, so that the huge page is whole again. (Else small
  // files come to lie in the rest, and keep it broken when the large one goes: with files of
  // ordinary sizes, a 90 % full pool had no whole huge page left; docs/benchmarks/allocation.md.)
  // Never an error, as above. A crash leaves the old or the new place.
  void Settle(InodeNumber number);

  [[nodiscard]] AppendReservations& reservations() { return reservations_; }

 private:
  [[nodiscard]] Result<bool> WantsHugePage(Transaction& transaction, const media::Inode& inode,
                                           FilePage page, uint64_t pages) const;
  Result<LogicalPage> GoalFor(Transaction& transaction, const media::Inode& inode,
                              const media::Inode& before, FilePage page) const;
  Result<bool> CrossesHalf(const media::Inode& inode, FilePage first, FilePage end) const;
  Result<bool> CompletesPieces(const media::Inode& inode, FilePage first, FilePage end) const;
  Result<void> MoveWindow(InodeNumber number, FilePage window, Claim huge);
  using Places = absl::InlinedVector<Claim, 4>;
  Result<Places> PlacesFor(uint64_t pages, LogicalPage goal);
  Result<void> PackTail(InodeNumber number);

  Core& core_;
  AppendReservations reservations_;
};

}  // namespace ingot
