// SPDX-License-Identifier: BSD-3-Clause
// Stores, copies and flushes by libpmem2's functions for the mapping's granularity. On page
// granularity only msync makes anything durable: plain stores, and the runs are remembered for the
// fence.
//
// libpmem2's copies, and the C library's, may split what is shorter than a cache line into stores
// of 4 bytes or of bytes that aren't aligned, which a crash could tear inside a word (on a plain
// file, too: the host writes back while we store). They are trusted with whole lines only; words at
// the ends are ours.
#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "pmemdev/base/check.h"
#include "pmemdev/mapping_functions.h"
#include "pmemdev/persist.h"
#include "pmemdev/poison.h"

namespace ingot {
namespace {

std::atomic_ref<uint64_t> WordAt(std::byte* at) {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(at));
}

// Stores bytes of any alignment by whole aligned words; what of a word isn't given stays as it was.
// `from` null: zeros.
void StoreByWords(std::byte* to, const std::byte* from, size_t size_bytes) {
  while (size_bytes > 0) {
    const size_t skip = reinterpret_cast<uintptr_t>(to) % kWordSize;
    const size_t take = std::min(size_bytes, kWordSize - skip);
    uint64_t word = take == kWordSize ? 0 : WordAt(to - skip).load(std::memory_order_relaxed);
    auto* bytes = reinterpret_cast<std::byte*>(&word) + skip;
    if (from == nullptr) {
      std::memset(bytes, 0, take);
    } else {
      std::memcpy(bytes, from, take);
      from += take;
    }
    WordAt(to - skip).store(word, std::memory_order_relaxed);
    to += take;
    size_bytes -= take;
  }
}

// How a copy divides: words up to a line's border, whole lines, words after them.
struct Parts {
  size_t head;
  size_t lines;
  size_t tail;
};

Parts Divide(MediaOffset to, uint64_t size_bytes) {
  const uint64_t to_border = RoundUp(to.value, kCacheLineSize) - to.value;
  const uint64_t head = std::min(size_bytes, to_border);
  const uint64_t lines = RoundDown(size_bytes - head, kCacheLineSize);
  return {head, lines, size_bytes - head - lines};
}

// With plain stores. `from` null: zeros.
void CopyByParts(std::byte* to, const std::byte* from, const Parts& parts) {
  const auto source = [from](size_t skip) { return from == nullptr ? nullptr : from + skip; };
  StoreByWords(to, from, parts.head);
  if (from == nullptr) {
    std::memset(to + parts.head, 0, parts.lines);
  } else {
    std::memcpy(to + parts.head, from + parts.head, parts.lines);
  }
  const size_t before_tail = parts.head + parts.lines;
  StoreByWords(to + before_tail, source(before_tail), parts.tail);
}

uint64_t LinesOf(MediaOffset at, uint64_t size_bytes) {
  if (size_bytes == 0) return 0;
  return (RoundUp(at.value + size_bytes, kCacheLineSize) - RoundDown(at.value, kCacheLineSize)) /
         kCacheLineSize;
}

}  // namespace

PersistStream::~PersistStream() {
  if (persist_ == nullptr) return;
  persist_->stores_.fetch_add(counts_.stores, std::memory_order_relaxed);
  persist_->flushes_.fetch_add(counts_.flushes, std::memory_order_relaxed);
  persist_->fences_.fetch_add(counts_.fences, std::memory_order_relaxed);
  persist_->msyncs_.fetch_add(counts_.msyncs, std::memory_order_relaxed);
  persist_->bytes_.fetch_add(counts_.bytes, std::memory_order_relaxed);
}

PersistStream::PersistStream(PersistStream&& other) noexcept
    : persist_(std::exchange(other.persist_, nullptr)),
      dirty_(std::move(other.dirty_)),
      counts_(other.counts_) {}

Result<void> PersistStream::Begin(MediaOffset at, uint64_t size_bytes) {
  const uint64_t region = persist_->mapping_.size_bytes();
  CHECK(at.value <= region && size_bytes <= region - at.value, "store of {} at {}, region {}",
        size_bytes, at.value, region);
  if (persist_->failed() || persist_->mapping_.writable_base() == nullptr) {
    return Failure(EROFS, "the region is read-only");
  }
  ++counts_.stores;
  counts_.bytes += size_bytes;
  return {};
}

tl::unexpected<Error> PersistStream::Faulted(MediaOffset at) {
  const std::byte* address = poison::LastFaultAddress();
  const FaultKind kind = persist_->mapping_.ClassifyFault(address);
  // The host has no room for what it promised: nothing else can be relied on either.
  if (kind == FaultKind::kHostHole) persist_->Fail();
  persist_->mapping_.ReportFault(address);
  return Failure(kind == FaultKind::kHostHole ? ENOSPC : EIO,
                 fmt::format("storing to the region at {}", at.value));
}

Result<void> PersistStream::StoreUnflushed(MediaOffset at, std::span<const uint64_t> words) {
  CHECK(at.value % kWordSize == 0, "offset {}", at.value);
  if (words.empty()) return {};
  TRY(Begin(at, words.size_bytes()));
  if (persist_->observer_ != nullptr) {
    persist_->observer_->OnStore(at, std::as_bytes(words), StoreKind::kCached);
  }
  std::byte* to = persist_->mapping_.writable_base() + at.value;
  const bool stored = poison::Run([to, words] {
    for (size_t i = 0; i < words.size(); ++i) {
      WordAt(to + i * kWordSize).store(words[i], std::memory_order_relaxed);
    }
  });
  if (!stored) return Faulted(at);
  return {};
}

void PersistStream::Flush(MediaOffset at, uint64_t size_bytes, PersistSite site) {
  if (size_bytes == 0 || persist_->failed() || persist_->mapping_.read_only()) return;
  if (persist_->observer_ != nullptr) persist_->observer_->OnFlush(at, size_bytes, site);
  if (persist_->functions_->page_granular()) {
    AddDirty(at, size_bytes);
    return;
  }
  counts_.flushes += LinesOf(at, size_bytes);
  persist_->functions_->Flush(persist_->mapping_.writable_base() + at.value, size_bytes);
}

Result<void> PersistStream::CopyUnfenced(MediaOffset to, std::span<const std::byte> from) {
  if (from.empty()) return {};
  return CopyOrZero(to, from.data(), from.size());
}

Result<void> PersistStream::ZeroUnfenced(MediaOffset to, uint64_t size_bytes) {
  if (size_bytes == 0) return {};
  return CopyOrZero(to, nullptr, size_bytes);
}

Result<void> PersistStream::CopyOrZero(MediaOffset to, const std::byte* from,
                                       uint64_t size_bytes) {
  TRY(Begin(to, size_bytes));
  const Parts parts = Divide(to, size_bytes);
  if (persist_->functions_->page_granular()) {
    if (persist_->observer_ != nullptr) ObserveStore(to, from, size_bytes, StoreKind::kNonTemporal);
    std::byte* at = persist_->mapping_.writable_base() + to.value;
    AddDirty(to, size_bytes);  // first: behind a fault nothing may ask for memory
    const bool stored = poison::Run([=] { CopyByParts(at, from, parts); });
    if (!stored) return Faulted(to);
    return {};
  }

  const auto source = [from](size_t skip) { return from == nullptr ? nullptr : from + skip; };
  if (parts.head != 0) TRY(StoreWords(to, from, parts.head, PersistSite::current()));
  if (parts.lines != 0) TRY(StoreLines(to + parts.head, source(parts.head), parts.lines));
  const size_t before_tail = parts.head + parts.lines;
  if (parts.tail == 0) return {};
  return StoreWords(to + before_tail, source(before_tail), parts.tail, PersistSite::current());
}

Result<void> PersistStream::StoreWords(MediaOffset to, const std::byte* from, uint64_t size_bytes,
                                       PersistSite site) {
  if (persist_->observer_ != nullptr) ObserveStore(to, from, size_bytes, StoreKind::kCached);
  std::byte* at = persist_->mapping_.writable_base() + to.value;
  if (!poison::Run([=] { StoreByWords(at, from, size_bytes); })) return Faulted(to);
  Flush(to, size_bytes, site);
  return {};
}

Result<void> PersistStream::StoreLines(MediaOffset to, const std::byte* from,
                                       uint64_t size_bytes) {
  if (persist_->observer_ != nullptr) ObserveStore(to, from, size_bytes, StoreKind::kNonTemporal);
  const MappingFunctions& functions = *persist_->functions_;
  std::byte* at = persist_->mapping_.writable_base() + to.value;
  const bool stored = poison::Run([=, &functions] {
    if (from == nullptr) {
      functions.ZeroLines(at, size_bytes);
    } else {
      functions.CopyLines(at, from, size_bytes);
    }
  });
  if (!stored) return Faulted(to);
  return {};
}

void PersistStream::ObserveStore(MediaOffset to, const std::byte* from, uint64_t size_bytes,
                                 StoreKind kind) const {
  const uint64_t begin = RoundDown(to.value, kWordSize);
  const uint64_t end = RoundUp(to.value + size_bytes, kWordSize);
  std::vector<std::byte> bytes(end - begin);
  const std::byte* medium = persist_->mapping_.base() + begin;
  std::byte* given = bytes.data() + (to.value - begin);
  // A fault here is met again, and reported, by the copy itself.
  (void)poison::Run([&] {
    std::memcpy(bytes.data(), medium, kWordSize);
    std::memcpy(bytes.data() + bytes.size() - kWordSize, medium + bytes.size() - kWordSize,
                kWordSize);
    if (from != nullptr) std::memcpy(given, from, size_bytes);
  });
  if (from == nullptr) std::memset(given, 0, size_bytes);
  persist_->observer_->OnStore(MediaOffset(begin), bytes, kind);
}

}  // namespace ingot
