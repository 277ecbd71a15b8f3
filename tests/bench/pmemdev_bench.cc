// SPDX-License-Identifier: BSD-3-Clause
// What the device layer's primitives cost, each beside the plain thing it is to be compared with.
// On a memfd (cache-line granularity), so of the processor and this code, not of a medium.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "pmemdev/base/checksum.h"
#include "pmemdev/device.h"

namespace ingot {
namespace {

constexpr uint64_t kRegionSize = uint64_t{512} << 20;

// One pool for all; opened once.
Device& Pool() {
  static const std::unique_ptr<Device> device = [] {
    const auto open = [](const MappingOptions& options) {
      const int fd = memfd_create("ingot-bench", MFD_CLOEXEC);
      if (fd < 0 || ftruncate(fd, kRegionSize) != 0) std::abort();
      return Mapping::FromDescriptor(fd, options).value();
    };
    std::unique_ptr<Mapping> mapping = open({});
    DeviceFormatOptions format;
    format.hash_seed = 1;
    if (!Device::Format(*mapping, format).has_value()) std::abort();
    if (!mapping->AllocateHostSpace(MediaOffset(0), kRegionSize).has_value()) std::abort();
    DeviceOptions options;
    options.page_array = PageArrayChoice::kDevice;
    return Device::Open(std::move(mapping), options).value();
  }();
  return *device;
}

MediaOffset Data(uint64_t offset) {
  return Geometry::DataOf(GroupIndex(0)) + (1 << 20) + offset;
}

void Require(const Result<void>& result) {
  if (!result.has_value()) std::abort();
}

// The floor of everything durable: one word stored, flushed and fenced.
void WordStoreFlushFence(benchmark::State& state) {
  PersistStream stream = Pool().persist().NewStream();
  uint64_t word = 0;
  for (auto _ : state) {
    ++word;
    Require(stream.StoreUnflushed(Data(word % 512 * 64), std::span(&word, 1)));
    stream.Flush(Data(word % 512 * 64), sizeof(word));
    Require(stream.Fence());
  }
}
BENCHMARK(WordStoreFlushFence);

void BareMemcpy(benchmark::State& state) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  const std::vector<std::byte> from(size_bytes, std::byte{1});
  std::byte* to = Pool().mapping().writable_base() + Data(0).value;
  for (auto _ : state) {
    std::memcpy(to, from.data(), size_bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BareMemcpy)->Arg(512)->Arg(4096)->Arg(1 << 20);

void CopyAndFence(benchmark::State& state) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  const std::vector<std::byte> from(size_bytes, std::byte{1});
  PersistStream stream = Pool().persist().NewStream();
  for (auto _ : state) {
    Require(stream.CopyUnfenced(Data(0), from));
    Require(stream.Fence());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(CopyAndFence)->Arg(512)->Arg(4096)->Arg(1 << 20);

void GuardedRead(benchmark::State& state) {
  std::vector<std::byte> to(static_cast<size_t>(state.range(0)));
  const LogicalOffset at(1 << 20);
  for (auto _ : state) Require(Pool().Read(at, to));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(GuardedRead)->Arg(512)->Arg(4096);

void BareRead(benchmark::State& state) {
  std::vector<std::byte> to(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    std::memcpy(to.data(), Pool().Pointer(LogicalOffset(1 << 20)), to.size());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BareRead)->Arg(512)->Arg(4096);

void LaneLeaseRelease(benchmark::State& state) {
  for (auto _ : state) {
    const Lane lane = Pool().journal().Lease();
    benchmark::DoNotOptimize(&lane);
  }
}
BENCHMARK(LaneLeaseRelease);

// `range(0)` words in runs of four, a cache line each: an inode, a directory entry, a bitmap...
void LaneCommit(benchmark::State& state) {
  const std::vector<uint64_t> words(4, 7);
  for (auto _ : state) {
    Lane lane = Pool().journal().Lease();
    for (uint64_t i = 0; i < static_cast<uint64_t>(state.range(0)) / 4; ++i) {
      Require(lane.Log(Data(i * 640), words));
    }
    PersistStream stream = Pool().persist().NewStream();
    Require(lane.Commit(stream));
  }
}
BENCHMARK(LaneCommit)->Arg(4)->Arg(20)->Arg(200)->Arg(2000);

// What LaneCommit(20) can't go below: its three fences and its lines, without a journal.
void ThreeFencesAndTheirLines(benchmark::State& state) {
  const std::vector<uint64_t> record(26, 7);
  const std::vector<uint64_t> words(4, 7);
  PersistStream stream = Pool().persist().NewStream();
  for (auto _ : state) {
    Require(stream.CopyUnfenced(Data(1 << 19), std::as_bytes(std::span(record))));
    Require(stream.Fence());
    for (uint64_t i = 0; i < 5; ++i) {
      Require(stream.StoreUnflushed(Data(i * 640), words));
      stream.Flush(Data(i * 640), 32);
    }
    Require(stream.Fence());
    Require(stream.StoreUnflushed(Data(1 << 19), std::span(words).first(1)));
    stream.Flush(Data(1 << 19), 8);
    Require(stream.Fence());
  }
}
BENCHMARK(ThreeFencesAndTheirLines);

void GroupEntryRead(benchmark::State& state) {
  for (auto _ : state) {
    const Result<media::GroupEntry> entry = Pool().group_table().Read(GroupIndex(0));
    if (!entry.has_value()) std::abort();
    benchmark::DoNotOptimize(entry->free_pages);
  }
}
BENCHMARK(GroupEntryRead);

void PageArrayGetHot(benchmark::State& state) {
  PageArray& array = Pool().page_array();
  uint64_t page = 0;
  for (auto _ : state) benchmark::DoNotOptimize(&array.Get(LogicalPage(page++ % 512)));
}
BENCHMARK(PageArrayGetHot);

// The descriptors of one huge page, 32 KiB, zeroed by its first touch.
void PageArrayFirstTouch(benchmark::State& state) {
  const Mapping& mapping = Pool().mapping();
  const Geometry& geometry = Pool().geometry();
  const auto placement = static_cast<PageArrayPlacement>(state.range(0));
  std::unique_ptr<PageArray> array;
  uint64_t huge = kHugePagesPerGroup;
  for (auto _ : state) {
    if (huge == kHugePagesPerGroup) {
      state.PauseTiming();
      array = PageArray::Create(mapping, geometry, placement, uint64_t{1} << 30).value();
      (void)array->Get(FirstPageOf(GroupIndex(1)));  // the group's own first touch isn't meant
      huge = 1;
      state.ResumeTiming();
    }
    array->Get(FirstPageOf(GroupIndex(1)) + huge++ * kPagesPerHugePage).owner = 1;
  }
}
BENCHMARK(PageArrayFirstTouch)->ArgName("dram")->Arg(0)->Arg(1);

void Crc32cOf(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{3});
  for (auto _ : state) benchmark::DoNotOptimize(Crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Crc32cOf)->Arg(64)->Arg(512)->Arg(4096);

void Hash64Of(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<size_t>(state.range(0)), std::byte{3});
  for (auto _ : state) benchmark::DoNotOptimize(Hash64(bytes, 1));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Hash64Of)->Arg(200)->Arg(4096);

}  // namespace
}  // namespace ingot

BENCHMARK_MAIN();
