// SPDX-License-Identifier: BSD-3-Clause
// Two mappings of the pool's bytes and the lists of where they differ.
#include "tests/crash/crash_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "pmemdev/base/check.h"
#include "pmemdev/format.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

std::byte* MapShared(int fd, uint64_t size_bytes, int protection) {
  void* base = mmap(nullptr, size_bytes, protection, MAP_SHARED, fd, 0);
  CHECK(base != MAP_FAILED, "errno {}", errno);
  return static_cast<std::byte*>(base);
}

// Bijective mixing (the finaliser of MurmurHash3): a sum of such terms is a hash of the set.
uint64_t Mix(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdULL;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53ULL;
  return value ^ value >> 33;
}

uint64_t TermOf(uint64_t at, uint64_t word) {
  return Mix(word + Mix(at + 1));
}

bool IsInLanes(uint64_t at) {
  return at >= media::kLabelSize && at < media::kLabelSize + media::kLanesSize;
}

}  // namespace

CrashPool::CrashPool(int source_fd) : source_fd_(DuplicateOf(source_fd)) {
  struct stat status;
  CHECK(fstat(source_fd_, &status) == 0, "errno {}", errno);
  size_bytes_ = static_cast<uint64_t>(status.st_size);
  fd_ = CopyOfPool(source_fd_);
  image_ = MapShared(fd_, size_bytes_, PROT_READ | PROT_WRITE);
  const int copy = CopyOfPool(source_fd_);
  durable_ = MapShared(copy, size_bytes_, PROT_READ | PROT_WRITE);
  close(copy);
}

CrashPool::~CrashPool() {
  munmap(image_, size_bytes_);
  munmap(durable_, size_bytes_);
  close(fd_);
  close(source_fd_);
}

uint64_t CrashPool::DurableWord(uint64_t at) const {
  uint64_t word = 0;
  std::memcpy(&word, durable_ + at, kWordSize);
  return word;
}

uint64_t CrashPool::ImageWord(uint64_t at) const {
  uint64_t word = 0;
  std::memcpy(&word, image_ + at, kWordSize);
  return word;
}

void CrashPool::Reset() {
  Undo();
  std::array<std::byte, kCacheLineSize> line;
  for (const uint64_t number : changed_lines_) {
    const auto at = static_cast<off_t>(number * kCacheLineSize);
    CHECK(pread(source_fd_, line.data(), line.size(), at) == kCacheLineSize, "errno {}", errno);
    std::memcpy(durable_ + at, line.data(), line.size());
    std::memcpy(image_ + at, line.data(), line.size());
  }
  changed_lines_.clear();
  hash_ = 0;
}

void CrashPool::MakeDurable(std::span<const WordStore> stores) {
  for (const WordStore& store : stores) {
    hash_ += TermOf(store.at, store.word) - TermOf(store.at, DurableWord(store.at));
    std::memcpy(durable_ + store.at, &store.word, kWordSize);
    std::memcpy(image_ + store.at, &store.word, kWordSize);
    const uint64_t line = store.at / kCacheLineSize;
    if (changed_lines_.empty() || changed_lines_.back() != line) changed_lines_.push_back(line);
  }
}

uint64_t CrashPool::Apply(std::span<const WordStore> stores) {
  if (dirty_.empty()) image_hash_ = hash_;
  for (const WordStore& store : stores) {
    image_hash_ += TermOf(store.at, store.word) - TermOf(store.at, ImageWord(store.at));
    std::memcpy(image_ + store.at, &store.word, kWordSize);
    const uint64_t line = RoundDown(store.at, kCacheLineSize);
    if (dirty_.empty() || dirty_.back().first != line) dirty_.emplace_back(line, kCacheLineSize);
  }
  return image_hash_;
}

void CrashPool::NoteStores(const Trace& trace) {
  for (const TraceEvent& event : trace.events) {
    if (event.kind > TraceEvent::kNonTemporal || event.size_bytes == 0) continue;
    dirty_.emplace_back(event.at, event.size_bytes);
  }
}

void CrashPool::Undo() {
  for (const auto& [at, size_bytes] : dirty_) std::memcpy(image_ + at, durable_ + at, size_bytes);
  dirty_.clear();
}

uint64_t CrashPool::HashOutsideLanes() const {
  std::set<uint64_t> places;
  for (const auto& [begin, size_bytes] : dirty_) {
    for (uint64_t at = begin; at < begin + size_bytes; at += kWordSize) {
      if (!IsInLanes(at) && ImageWord(at) != DurableWord(at)) places.insert(at);
    }
  }
  uint64_t hash = 0;
  for (const uint64_t at : places) hash += TermOf(at, ImageWord(at)) - TermOf(at, DurableWord(at));
  return hash;
}

int CrashPool::Duplicate() const {
  return DuplicateOf(fd_);
}

void CrashPool::SaveImage(const std::string& path) const {
  const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  CHECK(fd >= 0, "{}: errno {}", path, errno);
  CHECK(ftruncate(fd, static_cast<off_t>(size_bytes_)) == 0, "errno {}", errno);
  for (uint64_t at = 0; at < size_bytes_; at += kPageSize) {
    static constexpr std::array<std::byte, kPageSize> kZeros{};
    if (std::memcmp(image_ + at, kZeros.data(), kPageSize) == 0) continue;
    CHECK(pwrite(fd, image_ + at, kPageSize, static_cast<off_t>(at)) == kPageSize, "errno {}",
          errno);
  }
  close(fd);
}

}  // namespace ingot::tests
