// SPDX-License-Identifier: BSD-3-Clause
// Ownership of pages, and progress.
#include "fs/check/context.h"

#include <fmt/format.h>

namespace ingot::check {
namespace {
constexpr uint64_t kTellEvery = 8192;
}

void Context::Tell(std::string_view pass, uint64_t done, uint64_t total) const {
  if (!options.progress || (done % kTellEvery != 0 && done != total)) return;
  options.progress({.pass = pass, .round = round, .done = done, .total = total});
}

bool Context::MayHold(LogicalPage first, uint64_t count) const {
  const uint64_t pages = device.geometry().page_count();
  if (count == 0 || first.value >= pages || count > pages - first.value) return false;
  return GroupOf(first) == GroupOf(first + (count - 1)) &&
         IndexInGroup(first) >= media::kReservedPagesPerGroup;
}

void Context::ClaimData(LogicalPage first, uint32_t count) {
  if (used.Intersects(first, count)) {
    for (uint32_t i = 0; i < count; ++i) {
      if (used.Contains(first + i)) conflicts.Add(first + i);
    }
  }
  used.AddRun(first, count);
}

bool Context::ClaimMetadata(LogicalPage page) {
  if (!metadata.Add(page)) return false;
  if (!used.Add(page)) conflicts.Add(page);
  return true;
}

DirectoryFacts* Context::FindDirectory(InodeNumber number) {
  const auto found = directory_index.find(number.value);
  return found == directory_index.end() ? nullptr : &directories[found->second];
}

Result<void> Context::CheckMemory() const {
  constexpr uint64_t kPerInode = sizeof(uint64_t) + sizeof(InodeFacts) + 1;
  constexpr uint64_t kPerDirectory = sizeof(DirectoryFacts) + 17;
  constexpr uint64_t kPerBackedFile = 2 * sizeof(uint64_t) + 1;
  const uint64_t bytes = inodes.capacity() * kPerInode + directories.capacity() * kPerDirectory +
                         backing_owners.capacity() * kPerBackedFile;
  if (bytes <= options.memory_budget_bytes) return {};
  return Failure(ENOMEM, fmt::format("fsck needs more than its budget of {} bytes for {} inodes",
                                     options.memory_budget_bytes, inodes.size()));
}

}  // namespace ingot::check
