// SPDX-License-Identifier: BSD-3-Clause
// Events in the order in which they happened; the host's state is made from them anew for each
// question.
#include "tests/crash/host_model.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "pmemdev/base/check.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/base/ids.h"

namespace ingot::tests {
namespace {

namespace fs = std::filesystem;

std::string ContentsOf(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Pages of zeros stay holes: nearly all of a small pool is.
int SparseCopy(const Mapping& region) {
  const int fd = memfd_create("moment", MFD_CLOEXEC);
  const auto size = static_cast<off_t>(region.size_bytes());
  CHECK(fd >= 0 && ftruncate(fd, size) == 0, "errno {}", errno);
  static constexpr std::array<std::byte, kPageSize> kZeros{};
  for (uint64_t at = 0; at < region.size_bytes(); at += kPageSize) {
    const std::byte* const page = region.base() + at;
    if (std::memcmp(page, kZeros.data(), kPageSize) == 0) continue;
    CHECK(pwrite(fd, page, kPageSize, static_cast<off_t>(at)) == kPageSize, "errno {}", errno);
  }
  return fd;
}

void Put(std::string& text, uint64_t offset, const std::string& bytes) {
  if (text.size() < offset + bytes.size()) text.resize(offset + bytes.size());
  text.replace(offset, bytes.size(), bytes);
}

// All is kept, and durable from then on.
void SyncFile(uint64_t number, ModelFile& file) {
  ModelHost alone;
  alone.files[number] = file;
  alone.durable_names.insert(number);
  std::vector<uint32_t> kept = alone.Choices();
  for (uint32_t& choice : kept) --choice;
  file.durable = std::make_shared<const std::string>(alone.After(kept).at(number));
  file.pending.clear();
  file.sizes = {file.durable->size()};
  file.is_inode_durable = true;
}

void SyncNames(ModelHost& host) {
  for (const auto& [number, made] : host.pending_names) {
    if (made) {
      host.durable_names.insert(number);
    } else {
      host.durable_names.erase(number);
    }
  }
  host.pending_names.clear();
  std::erase_if(host.files,
                [&host](const auto& each) { return !host.durable_names.contains(each.first); });
}

}  // namespace

// --- what a crash may leave

std::vector<uint32_t> ModelHost::Choices() const {
  std::vector<uint32_t> choices(pending_names.size(), 2);
  for (const auto& [number, file] : files) {
    choices.push_back(file.is_inode_durable ? 1 : 2);
    choices.push_back(static_cast<uint32_t>(file.sizes.size()));
    choices.insert(choices.end(), file.pending.size(), 2);
  }
  return choices;
}

HostFiles ModelHost::After(const std::vector<uint32_t>& choice) const {
  auto next = choice.begin();
  std::set<uint64_t> names = durable_names;
  for (const auto& [number, made] : pending_names) {
    if (*next++ == 0) continue;
    if (made) {
      names.insert(number);
    } else {
      names.erase(number);
    }
  }
  HostFiles left;
  for (const auto& [number, file] : files) {
    const bool is_inode_lost = !file.is_inode_durable && *next == 0;
    ++next;
    const uint64_t size = file.sizes[*next++];
    const bool is_there = names.contains(number) && !is_inode_lost;
    std::string text = is_there ? *file.durable : std::string();
    for (const PendingData& data : file.pending) {
      if (*next++ == 0 || !is_there) continue;
      if (data.bytes != nullptr) {
        Put(text, data.offset, *data.bytes);
      } else if (data.offset < text.size()) {
        text.resize(data.offset);
      }
    }
    if (!is_there) continue;
    text.resize(size);
    left.emplace(number, std::move(text));
  }
  return left;
}

// --- recording

HostModel::~HostModel() {
  for (const Event& event : events_) {
    if (event.region >= 0) close(event.region);
  }
}

void HostModel::Begin(const std::string& directory, const Mapping& region) {
  region_ = &region;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (name == "uuid") continue;
    const uint64_t number = std::stoull(name);
    ModelFile& file = at_begin_.files[number];
    file.durable = std::make_shared<const std::string>(ContentsOf(entry.path()));
    file.sizes = {file.durable->size()};
    file.is_inode_durable = true;
    at_begin_.durable_names.insert(number);
  }
  Take();
}

void HostModel::End() {
  Take();
  region_ = nullptr;
}

void HostModel::Take() {
  Event event;
  event.region = SparseCopy(*region_);
  event.hash = Hash64(std::span(region_->base(), region_->size_bytes()), 0);
  events_.push_back(std::move(event));
}

// Syncs are told when they have been made, everything else before.
void HostModel::OnChange(const HostChange& change) {
  if (region_ == nullptr) return;
  Take();
  Event event;
  event.kind = change.kind;
  event.number = change.number;
  event.offset = change.offset;
  if (change.kind == HostChange::Kind::kWrite) {
    event.bytes = std::make_shared<const std::string>(
        reinterpret_cast<const char*>(change.bytes.data()), change.bytes.size());
  }
  if (change.site.file != nullptr) event.site = {change.site.file, change.site.line};
  events_.push_back(std::move(event));
}

void HostModel::OnLog(uint32_t, MediaOffset, uint64_t) {
  if (region_ == nullptr || is_logging_) return;
  is_logging_ = true;
  Take();
}

void HostModel::OnValid(uint32_t) {
  if (region_ != nullptr) Take();
}

void HostModel::OnRelease(uint32_t) {
  if (region_ == nullptr) return;
  is_logging_ = false;
  Take();
}

// --- the host from the events

void HostModel::Apply(const Event& event, ModelHost& host) {
  using Kind = HostChange::Kind;
  if (*event.kind == Kind::kSyncDirectory) return SyncNames(host);
  ModelFile& file = host.files[event.number];
  switch (*event.kind) {
    case Kind::kCreate:
      host.pending_names.emplace_back(event.number, true);
      break;
    case Kind::kUnlink:
      host.pending_names.emplace_back(event.number, false);
      break;
    case Kind::kWrite: {
      // Either half may be lost.
      const std::string& bytes = *event.bytes;
      const size_t half = bytes.size() < 2 ? bytes.size() : bytes.size() / 2;
      for (const auto& [begin, end] : {std::pair(size_t{0}, half), std::pair(half, bytes.size())}) {
        if (begin == end) continue;
        file.pending.push_back({event.offset + begin, std::make_shared<const std::string>(
                                                          bytes.substr(begin, end - begin))});
      }
      file.sizes.push_back(std::max(file.sizes.back(), event.offset + bytes.size()));
      break;
    }
    case Kind::kResize:
      file.pending.push_back({event.offset, nullptr});
      file.sizes.push_back(event.offset);
      break;
    case Kind::kSync:
      SyncFile(event.number, file);
      break;
    case Kind::kSyncDirectory:
    case Kind::kAllocate:
    case Kind::kPunch:
      CHECK(false, "not in the model: {}", static_cast<int>(*event.kind));
  }
  if (file.sizes.size() > 1 && file.sizes.back() == file.sizes[file.sizes.size() - 2]) {
    file.sizes.pop_back();
  }
}

void HostModel::ForEachMoment(const SyncSite& skipped, const Visit& visit) const {
  ModelHost host = at_begin_;
  for (const Event& event : events_) {
    if (!event.kind) {
      visit(event.region, event.hash, host, &event == &events_.back());
    } else if (skipped == kNoSite || event.site != skipped) {
      Apply(event, host);
    }
  }
}

std::set<SyncSite> HostModel::Sites() const {
  std::set<SyncSite> sites;
  for (const Event& event : events_) {
    if (event.site != kNoSite) sites.insert(event.site);
  }
  return sites;
}

}  // namespace ingot::tests
