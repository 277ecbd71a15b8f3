// SPDX-License-Identifier: BSD-3-Clause
// Recording, and the process's list of sites.
#include "tests/support/trace.h"

#include <cstring>
#include <filesystem>

#include <fmt/format.h>

namespace ingot::tests {
namespace {

struct Sites {
  std::mutex mutex;
  std::map<std::pair<std::string, uint32_t>, uint16_t> numbers;
  std::vector<std::string> names;
};

Sites& AllSites() {
  static Sites sites;
  return sites;
}

uint16_t NumberOf(const PersistSite& site) {
  Sites& sites = AllSites();
  const std::lock_guard lock(sites.mutex);
  const auto number = static_cast<uint16_t>(sites.names.size());
  const auto [known, is_new] =
      sites.numbers.emplace(std::pair(std::string(site.file), site.line), number);
  if (is_new) {
    sites.names.push_back(fmt::format(
        "{}:{}", std::filesystem::path(site.file).lexically_normal().string(), site.line));
  }
  return known->second;
}

}  // namespace

std::vector<std::string> SiteNames() {
  Sites& sites = AllSites();
  const std::lock_guard lock(sites.mutex);
  return sites.names;
}

void TraceRecorder::Add(TraceEvent event) {
  const auto [known, unused] =
      threads_.emplace(std::this_thread::get_id(), static_cast<uint16_t>(threads_.size()));
  event.thread = known->second;
  trace_.events.push_back(event);
}

void TraceRecorder::OnStore(MediaOffset at, std::span<const std::byte> bytes, StoreKind kind) {
  const std::lock_guard lock(mutex_);
  const size_t first = trace_.words.size();
  trace_.words.resize(first + bytes.size() / kWordSize);
  std::memcpy(trace_.words.data() + first, bytes.data(), bytes.size());
  Add({.kind = kind == StoreKind::kCached ? TraceEvent::kStore : TraceEvent::kNonTemporal,
       .thread = 0,
       .site = 0,
       .size_bytes = static_cast<uint32_t>(bytes.size()),
       .at = at.value,
       .first_word = first});
}

void TraceRecorder::AddPlain(TraceEvent::Kind kind, uint64_t at, uint64_t size_bytes,
                             uint16_t site) {
  const std::lock_guard lock(mutex_);
  Add({.kind = kind,
       .thread = 0,
       .site = site,
       .size_bytes = static_cast<uint32_t>(size_bytes),
       .at = at,
       .first_word = 0});
}

void TraceRecorder::OnFlush(MediaOffset at, uint64_t size_bytes, PersistSite site) {
  AddPlain(TraceEvent::kFlush, at.value, size_bytes, NumberOf(site));
}

void TraceRecorder::OnFence(PersistSite site) {
  AddPlain(TraceEvent::kFence, 0, 0, NumberOf(site));
}

void TraceRecorder::OnSync(MediaOffset at, uint64_t size_bytes) {
  AddPlain(TraceEvent::kSync, at.value, size_bytes, 0);
}

void TraceRecorder::Mark(uint64_t number) {
  AddPlain(TraceEvent::kMark, number, 0, 0);
}

void TraceRecorder::Clear() {
  const std::lock_guard lock(mutex_);
  trace_ = Trace{};
  threads_.clear();
}

}  // namespace ingot::tests
