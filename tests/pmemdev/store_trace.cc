// SPDX-License-Identifier: BSD-3-Clause
// Recording and enumeration. Single-threaded.
#include "tests/pmemdev/store_trace.h"

#include <algorithm>
#include <cstring>

namespace ingot::tests {
namespace {

constexpr uint64_t LineOf(uint64_t at) { return at / kCacheLineSize; }

}  // namespace

void StoreTrace::OnStore(MediaOffset at, std::span<const std::byte> bytes, StoreKind kind) {
  for (size_t offset = 0; offset + kWordSize <= bytes.size(); offset += kWordSize) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + offset, kWordSize);
    events_.push_back({kind == StoreKind::kCached ? Event::kStore : Event::kNonTemporal,
                       at.value + offset, word});
  }
}

void StoreTrace::OnFlush(MediaOffset at, uint64_t size_bytes, PersistSite) {
  for (uint64_t line = LineOf(at.value); line <= LineOf(at.value + size_bytes - 1); ++line) {
    events_.push_back({Event::kFlush, line * kCacheLineSize, 0});
    ++flushed_lines_;
    if (!flushed_since_fence_.emplace(line, true).second) each_line_flushed_once_ = false;
  }
}

void StoreTrace::OnFence(PersistSite) {
  events_.push_back({Event::kFence, 0, 0});
  ++fences_;
  flushed_since_fence_.clear();
}

void StoreTrace::Crash(const WordMap& durable, const Lines& lines, size_t fences, size_t samples,
                       std::mt19937_64& random, const Visit& visit) {
  const auto build = [&](const std::function<bool(uint64_t line, const Pending&)>& keep) {
    WordMap image = durable;
    for (const auto& [line, stores] : lines) {
      bool lost_one = false;
      for (const Pending& store : stores) {
        const bool kept = !(store.ordered && lost_one) && keep(line, store);
        if (kept) {
          image[store.at] = store.word;
        } else if (store.ordered) {
          lost_one = true;
        }
      }
    }
    visit(image, fences);
  };
  build([](uint64_t, const Pending&) { return false; });
  build([](uint64_t, const Pending&) { return true; });
  for (const auto& [chosen, unused] : lines) {
    const uint64_t one = chosen;
    build([one](uint64_t line, const Pending&) { return line == one; });
    build([one](uint64_t line, const Pending&) { return line != one; });
  }
  if (lines.empty()) return;
  for (size_t i = 0; i < samples; ++i) {
    const uint64_t chance = 1 + random() % 15;  // sixteenths
    build([&](uint64_t, const Pending&) { return random() % 16 < chance; });
  }
}

void StoreTrace::EnumerateCrashes(size_t samples, uint64_t seed, const Visit& visit) const {
  std::mt19937_64 random(seed);
  WordMap durable;
  Lines lines;
  size_t fences = 0;
  for (const Event& event : events_) {
    std::vector<Pending>& line = lines[LineOf(event.at)];
    switch (event.kind) {
      case Event::kStore:
        line.push_back({event.at, event.word, true, false});
        break;
      case Event::kNonTemporal:
        line.push_back({event.at, event.word, false, true});
        break;
      case Event::kFlush:
        for (Pending& store : line) store.flushed = true;
        break;
      case Event::kFence:
        std::erase_if(lines, [](const auto& entry) { return entry.second.empty(); });
        Crash(durable, lines, fences++, samples, random, visit);
        for (auto& [unused, stores] : lines) {
          for (const Pending& store : stores) {
            if (store.flushed) durable[store.at] = store.word;
          }
          std::erase_if(stores, [](const Pending& store) { return store.flushed; });
        }
        break;
    }
  }
  std::erase_if(lines, [](const auto& entry) { return entry.second.empty(); });
  Crash(durable, lines, fences, samples, random, visit);
}

}  // namespace ingot::tests
