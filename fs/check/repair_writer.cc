// SPDX-License-Identifier: BSD-3-Clause
// Changed words go through a journal lane; what can't be read is zeroed first.
#include "fs/check/repair_writer.h"

#include <vector>

#include "fs/core/log_changes.h"

namespace ingot::check {

Result<void> RepairWriter::Zero(MediaOffset at, uint64_t size_bytes) {
  PersistStream stream = device_.persist().NewStream();
  TRY(stream.ZeroUnfenced(at, size_bytes));
  return stream.Fence();
}

Result<void> RepairWriter::Store(std::span<const Piece> pieces) {
  ++stores_;
  Lane lane = device_.journal().Lease();
  for (const Piece& piece : pieces) {
    std::vector<std::byte> before(piece.bytes.size());
    if (!device_.mapping().Read(piece.at, before)) {
      const uint64_t first = RoundDown(piece.at.value, kPageSize);
      const uint64_t end = RoundUp(piece.at.value + piece.bytes.size(), kPageSize);
      TRY(Zero(MediaOffset(first), end - first));
      TRY(device_.mapping().Read(piece.at, before));
    }
    TRY(LogChangedWords(lane, piece.at, before, piece.bytes));
  }
  if (lane.empty()) return {};
  PersistStream stream = device_.persist().NewStream();
  return lane.Commit(stream);
}

Result<void> RepairWriter::WriteInode(media::Inode& inode) {
  SealInode(inode);
  const Piece piece{Geometry::ToMedia(AddressOf(InodeNumber(inode.number))), BytesOf(inode)};
  return Store(std::span(&piece, 1));
}

Result<void> RepairWriter::ClearInode(InodeNumber inode) {
  const media::Inode free{};
  const Piece piece{Geometry::ToMedia(AddressOf(inode)), BytesOf(free)};
  return Store(std::span(&piece, 1));
}

Result<void> RepairWriter::WriteBlock(LogicalPage page, std::span<std::byte> block) {
  SealBlock(page, block);
  const Piece piece{Geometry::ToMedia(page), block};
  return Store(std::span(&piece, 1));
}

Result<void> RepairWriter::ZeroPage(LogicalPage page) {
  ++stores_;
  return Zero(Geometry::ToMedia(page), kPageSize);
}

}  // namespace ingot::check
