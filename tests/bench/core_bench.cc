// SPDX-License-Identifier: BSD-3-Clause
// What operations of fs/core cost in process, without FUSE, on one thread.
//
// usage: core_bench --pool=FILE [--entries=N] [Google Benchmark's options]
// FILE is made, and should lie in tmpfs. It is removed at once, so that nothing is left whatever
// happens. Operations come in batches; what puts things back between batches is not timed.
#include <benchmark/benchmark.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/bench_pool.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{6} << 30;  // sparse
constexpr uint64_t kDataBytes = uint64_t{256} << 20;
constexpr uint64_t kAppendBytes = uint64_t{64} << 20;  // then the file begins anew
constexpr uint64_t kSmall = 1000;                      // entries of a small directory
constexpr int64_t kBatch = 256;

std::unique_ptr<Volume> volume;

// One of kSmall entries, one of as many as were asked for; filled before anything is measured.
struct Target {
  InodeNumber inode;
  uint64_t entries = 0;
};
Target small_directory;
Target large_directory;
InodeNumber data_file;
std::vector<const std::byte*> data_pages;  // where each page of it lies

std::vector<std::string> NewNames(std::string_view prefix) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < kBatch; ++i) {
    names.push_back(std::string(prefix) + FileName(static_cast<uint64_t>(i)));
  }
  return names;
}

// Names that are there, in no order.
std::vector<std::string> PresentNames(const Target& target) {
  std::mt19937_64 random(1);
  std::vector<std::string> names;
  for (int i = 0; i < 1 << 16; ++i) names.push_back(FileName(random() % target.entries));
  return names;
}

std::vector<uint64_t> RandomPages() {
  std::mt19937_64 random(2);
  std::vector<uint64_t> pages(1 << 16);
  for (uint64_t& page : pages) page = random() % (kDataBytes / kPageSize);
  return pages;
}

void CreateAll(const Target& target, const std::vector<std::string>& names,
               std::vector<InodeNumber>& made) {
  NewNode node;
  node.mode = S_IFREG | 0644;
  for (size_t i = 0; i < names.size(); ++i) {
    made[i] = Require(volume->names().Create(target.inode, names[i], node, Caller{})).inode;
  }
}
void ForgetAll(const std::vector<InodeNumber>& inodes) {
  for (const InodeNumber inode : inodes) volume->names().Forget(inode, 1);
}
void UnlinkAll(const Target& target, const std::vector<std::string>& names) {
  for (const std::string& name : names) Require(volume->names().Unlink(target.inode, name));
}

// What reached the medium while it was running, an operation; printed beside the time.
class Persisted {
 public:
  explicit Persisted(benchmark::State& state) : state_(state) { Resume(); }
  ~Persisted() {
    Pause();
    const auto report = [this](const char* name, uint64_t total) {
      state_.counters[name] = static_cast<double>(total) / static_cast<double>(state_.iterations());
    };
    report("fences", sum_.fences);
    report("flushed_lines", sum_.flushes);
    report("stores", sum_.stores);
    report("stored_bytes", sum_.bytes);
  }
  Persisted(const Persisted&) = delete;

  void Resume() { start_ = volume->device().persist().counts(); }
  void Pause() {
    const PersistCounts now = volume->device().persist().counts();
    sum_.fences += now.fences - start_.fences;
    sum_.flushes += now.flushes - start_.flushes;
    sum_.stores += now.stores - start_.stores;
    sum_.bytes += now.bytes - start_.bytes;
  }

 private:
  benchmark::State& state_;
  PersistCounts start_;
  PersistCounts sum_;
};

void Create(benchmark::State& state, const Target& target) {
  const std::vector<std::string> names = NewNames("new-");
  std::vector<InodeNumber> made(names.size());
  Persisted persisted(state);
  while (state.KeepRunningBatch(kBatch)) {
    CreateAll(target, names, made);
    state.PauseTiming();
    persisted.Pause();
    ForgetAll(made);
    UnlinkAll(target, names);
    persisted.Resume();
    state.ResumeTiming();
  }
}

void Unlink(benchmark::State& state, const Target& target) {
  const std::vector<std::string> names = NewNames("old-");
  std::vector<InodeNumber> made(names.size());
  Persisted persisted(state);
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    persisted.Pause();
    CreateAll(target, names, made);
    ForgetAll(made);
    persisted.Resume();
    state.ResumeTiming();
    UnlinkAll(target, names);
  }
}

// As behind the kernel: it still knows the inode when the name goes, so there are two transactions.
void UnlinkThenForget(benchmark::State& state, const Target& target) {
  const std::vector<std::string> names = NewNames("known-");
  std::vector<InodeNumber> made(names.size());
  Persisted persisted(state);
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    persisted.Pause();
    CreateAll(target, names, made);
    persisted.Resume();
    state.ResumeTiming();
    UnlinkAll(target, names);
    ForgetAll(made);
  }
}

void Rename(benchmark::State& state, const Target& target) {
  std::vector<std::string> names = NewNames("from-");
  std::vector<std::string> others = NewNames("to-");
  std::vector<InodeNumber> made(names.size());
  CreateAll(target, names, made);
  ForgetAll(made);
  {
    const Persisted persisted(state);
    while (state.KeepRunningBatch(kBatch)) {
      for (size_t i = 0; i < names.size(); ++i) {
        Require(
            volume->names().Rename(target.inode, names[i], target.inode, others[i], 0, Caller{}));
      }
      names.swap(others);
    }
  }
  UnlinkAll(target, names);
}

void Lookup(benchmark::State& state, const Target& target) {
  const std::vector<std::string> names = PresentNames(target);
  size_t at = 0;
  std::vector<InodeNumber> found(kBatch);
  while (state.KeepRunningBatch(kBatch)) {
    for (InodeNumber& inode : found) {
      inode = Require(volume->names().Lookup(target.inode, names[at++ % names.size()])).inode;
    }
    state.PauseTiming();
    ForgetAll(found);
    state.ResumeTiming();
  }
}

void Append(benchmark::State& state) {
  const std::vector<std::byte> bytes(kPageSize, std::byte{7});
  const InodeNumber file = MakeFile(*volume, Volume::kRoot, "appended");
  uint64_t size_bytes = 0;
  std::optional<Persisted> persisted(state);
  while (state.KeepRunningBatch(kBatch)) {
    for (int64_t i = 0; i < kBatch; ++i) {
      (void)Require(volume->data().Write(file, 0, bytes, {.append = true}));
    }
    size_bytes += kBatch * kPageSize;
    if (size_bytes < kAppendBytes) continue;
    state.PauseTiming();
    persisted->Pause();
    Require(volume->data().Truncate(file, 0, false));
    size_bytes = 0;
    persisted->Resume();
    state.ResumeTiming();
  }
  persisted.reset();
  volume->data().Closed(file);
  Require(volume->names().Unlink(Volume::kRoot, "appended"));
}

void Overwrite(benchmark::State& state) {
  const std::vector<std::byte> bytes(kPageSize, std::byte{9});
  const std::vector<uint64_t> pages = RandomPages();
  size_t at = 0;
  const Persisted persisted(state);
  for (auto _ : state) {
    (void)Require(
        volume->data().Write(data_file, pages[at++ % pages.size()] * kPageSize, bytes, {}));
  }
}

void Read(benchmark::State& state) {
  std::vector<std::byte> bytes(kPageSize);
  const std::vector<uint64_t> pages = RandomPages();
  size_t at = 0;
  for (auto _ : state) {
    const uint64_t offset = pages[at++ % pages.size()] * kPageSize;
    (void)Require(volume->data().ReadInto(data_file, offset, bytes));
  }
}

// What a read that is replied from the medium costs before the kernel copies.
void ReadView4K(benchmark::State& state) {
  const std::vector<uint64_t> pages = RandomPages();
  size_t at = 0;
  for (auto _ : state) {
    ReadView view;
    const uint64_t offset = pages[at++ % pages.size()] * kPageSize;
    Require(volume->data().Read(data_file, offset, kPageSize, view));
    benchmark::DoNotOptimize(view.pieces.data());
  }
}

void Memcpy(benchmark::State& state) {
  std::vector<std::byte> bytes(kPageSize);
  const std::vector<uint64_t> pages = RandomPages();
  size_t at = 0;
  for (auto _ : state) {
    std::memcpy(bytes.data(), data_pages[pages[at++ % pages.size()]], kPageSize);
    benchmark::ClobberMemory();
  }
}

// The same behind a barrier, as any lock is one: without it the processor fetches the next pages
// while it copies this one, which nobody who takes a lock for each read can have.
void MemcpyOrdered(benchmark::State& state) {
  std::vector<std::byte> bytes(kPageSize);
  const std::vector<uint64_t> pages = RandomPages();
  size_t at = 0;
  for (auto _ : state) {
    std::memcpy(bytes.data(), data_pages[pages[at++ % pages.size()]], kPageSize);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    benchmark::ClobberMemory();
  }
}

void MakeDataFile() {
  data_file = MakeFile(*volume, Volume::kRoot, "data");
  const std::vector<std::byte> bytes(1 << 20, std::byte{5});
  for (uint64_t at = 0; at < kDataBytes; at += bytes.size()) {
    if (Require(volume->data().Write(data_file, at, bytes, {})) != bytes.size()) Fail("short");
  }
  for (const Extent& extent : Require(volume->data().Extents(data_file, FilePage(0), 1 << 16))) {
    for (uint32_t i = 0; i < extent.pages; ++i) {
      data_pages.push_back(volume->device().Pointer(OffsetOf(extent.start + i)));
    }
  }
  if (data_pages.size() != kDataBytes / kPageSize) Fail("the data file has holes");
}

void Prepare(const std::string& path, uint64_t entries) {
  volume = MakeVolume(path, kPoolBytes);
  if (unlink(path.c_str()) != 0) Fail("unlink");
  MakeDataFile();
  small_directory = {MakeDirectory(*volume, Volume::kRoot, "small"), kSmall};
  large_directory = {MakeDirectory(*volume, Volume::kRoot, "large"), entries};
  for (const Target& target : {small_directory, large_directory}) {
    Fill(*volume, target.inode, target.entries);
  }
}

void Register() {
  const auto both = [](const std::string& name,
                       void (*function)(benchmark::State&, const Target&)) {
    const auto add = [&](const char* where, const Target* target) {
      benchmark::RegisterBenchmark(
          (name + where).c_str(),
          [function, target](benchmark::State& state) { function(state, *target); });
    };
    add("_in_small", &small_directory);
    add("_in_large", &large_directory);
  };
  both("create", &Create);
  both("unlink", &Unlink);
  both("unlink_forget", &UnlinkThenForget);
  both("rename", &Rename);
  both("lookup", &Lookup);
  benchmark::RegisterBenchmark("append_4k", &Append);
  benchmark::RegisterBenchmark("overwrite_4k", &Overwrite);
  benchmark::RegisterBenchmark("read_4k", &Read);
  benchmark::RegisterBenchmark("read_view_4k", &ReadView4K);
  benchmark::RegisterBenchmark("memcpy_4k", &Memcpy);
  benchmark::RegisterBenchmark("memcpy_4k_ordered", &MemcpyOrdered);
}

}  // namespace
}  // namespace ingot::bench

int main(int argc, char** argv) {
  namespace bench = ingot::bench;
  const bool lists_only = std::any_of(argv, argv + argc, [](std::string_view argument) {
    return argument.starts_with("--benchmark_list_tests");
  });
  benchmark::Initialize(&argc, argv);
  std::string pool;
  uint64_t entries = 1'000'000;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument.starts_with("--pool=")) {
      pool = argument.substr(7);
    } else if (argument.starts_with("--entries=")) {
      entries = std::stoull(std::string(argument.substr(10)));
    } else {
      bench::Fail("what is " + std::string(argument) + "?");
    }
  }
  if (!lists_only && (pool.empty() || entries == 0)) {
    bench::Fail("usage: core_bench --pool=FILE [--entries=N] [--benchmark_...]");
  }
  bench::Register();
  if (!lists_only) bench::Prepare(pool, entries);
  benchmark::RunSpecifiedBenchmarks();
  bench::volume.reset();
  return 0;
}
