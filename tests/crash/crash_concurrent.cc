// SPDX-License-Identifier: BSD-3-Clause
// Crashes operations of several threads. usage: crash_concurrent --help
//
// Whatever was returned is there, whatever was running is there whole or not at all, and all of it
// as if done one after another, in an order that fits what was seen while it ran: calls that had
// returned came before calls that began later, and gave the answers that they gave.
#include <linux/fs.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tests/crash/crasher.h"
#include "tests/crash/image_check.h"
#include "tests/crash/linearizations.h"
#include "tests/crash/operations.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

// Every store, flush and fence is a place where the thread may have to wait for others.
class ScheduledRecorder : public TraceRecorder {
 public:
  void OnStore(MediaOffset at, std::span<const std::byte> bytes, StoreKind kind) override {
    Pause();
    TraceRecorder::OnStore(at, bytes, kind);
  }
  void OnFlush(MediaOffset at, uint64_t size_bytes, PersistSite site) override {
    Pause();
    TraceRecorder::OnFlush(at, size_bytes, site);
  }
  void OnFence(PersistSite site) override {
    Pause();
    TraceRecorder::OnFence(site);
  }
  static void SeedThread(uint64_t seed) { random = std::mt19937_64(seed); }

 private:
  static void Pause() {
    switch (random() % 8) {
      case 0:
        usleep(static_cast<useconds_t>(random() % 80));
        break;
      case 1:
      case 2:
        std::this_thread::yield();
        break;
      default:
        break;
    }
  }
  static inline thread_local std::mt19937_64 random;
};

struct Arguments {
  uint64_t seed = 1;
  uint64_t rounds = 50;
  double seconds = 0;
  size_t per_point = 24;
};

// What of the list is all or nothing on a volume whose writes are atomic, and has no times that the
// model compares.
std::vector<Operation> Candidates() {
  std::vector<Operation> operations;
  for (const CrashOperation& operation : OperationsOn(Base::kSmall)) {
    if (!operation.operation) continue;
    switch (operation.operation->kind) {
      case Kind::kSetTimes:
      case Kind::kFallocate:
      case Kind::kCopyRange:
        break;
      case Kind::kRename:  // the model has no whiteouts
        if (operation.operation->flags == RENAME_WHITEOUT) break;
        [[fallthrough]];
      default:
        operations.push_back(*operation.operation);
    }
  }
  return operations;
}

class Program {
 public:
  explicit Program(const Arguments& arguments) : arguments_(arguments) {}
  int Run();

 private:
  std::string Round(uint64_t seed);
  std::vector<ThreadedCall> RunThreads(uint64_t seed, int fd, Trace& trace);

  Arguments arguments_;
  std::vector<Operation> candidates_ = Candidates();
  PoolOptions options_;
  std::unique_ptr<CrashPool> base_pool_;
  std::unique_ptr<ImageCheck> check_;
  absl::flat_hash_set<uint64_t> distinct_;
  uint64_t points_ = 0;
  uint64_t overlaps_ = 0;  // points with more than one call running
};

std::vector<ThreadedCall> Program::RunThreads(uint64_t seed, int fd, Trace& trace) {
  std::mt19937_64 random(seed);
  const size_t threads = 2 + random() % 3;
  const size_t calls_each = threads == 2 ? 3 : threads == 3 ? 2 : 1 + random() % 2;
  std::vector<ThreadedCall> calls;
  for (size_t i = 0; i < threads * calls_each; ++i) {
    calls.push_back({candidates_[random() % candidates_.size()], ""});
  }
  const FixedChance fixed(true);
  ScheduledRecorder recorder;
  PoolOptions options = options_;
  options.mapping.observer = &recorder;
  auto volume = OpenPool(fd, options);
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  std::vector<std::thread> workers;
  for (size_t thread = 0; thread < threads; ++thread) {
    workers.emplace_back([&, thread] {
      ScheduledRecorder::SeedThread(seed * 64 + thread);
      VolumeSubject subject(**volume);
      for (size_t i = thread; i < calls.size(); i += threads) {
        recorder.Mark(BeginMark(i));
        calls[i].answer = subject.Run(calls[i].operation);
        recorder.Mark(EndMark(i));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  volume->reset();
  trace = recorder.trace();
  return calls;
}

std::string Program::Round(uint64_t seed) {
  Trace trace;
  base_pool_->Reset();
  const std::vector<ThreadedCall> calls = RunThreads(seed, base_pool_->Duplicate(), trace);
  base_pool_->NoteStores(trace);
  base_pool_->Undo();
  Linearizations linearizations(HistoryOf(Base::kSmall), calls);
  linearizations.ReadOrder(trace);
  const CrashPlan plan{.images_per_point = arguments_.per_point, .seed = seed};
  std::string violation;
  absl::flat_hash_set<uint64_t> seen;
  size_t marks = SIZE_MAX;
  points_ += ForEachImage(
      trace, plan, *base_pool_,
      [&](const CrashPoint& point, const std::vector<WordStore>& kept, uint64_t hash) {
        if (point.marks_passed != marks) {
          marks = point.marks_passed;
          linearizations.GoTo(marks);
          overlaps_ += linearizations.running() > 1 ? 1 : 0;
        }
        distinct_.insert(hash);
        if (!seen.insert(hash + marks).second) return true;
        violation = check_->Run(*base_pool_, kept, hash,
                                [&](Volume& volume) { return linearizations.Judge(volume); },
                                {.fsck_before_in = 8, .use_in = 8, .second_crash_in = 0});
        return violation.empty();
      });
  if (violation.empty()) return "";
  return violation + "\n" + linearizations.Describe();
}

int Program::Run() {
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  options_.volume.atomic = true;
  const int base = MakeBase(Base::kSmall, options_);
  base_pool_ = std::make_unique<CrashPool>(base);
  check_ =
      std::make_unique<ImageCheck>(options_, Granularity::kCacheLine, EmptyBytes(base, options_));
  uint64_t round = 0;
  uint64_t violations = 0;
  for (; arguments_.seconds > 0 ? seconds() < arguments_.seconds : round < arguments_.rounds;
       ++round) {
    const std::string violation = Round(arguments_.seed + round);
    if (violation.empty()) continue;
    fmt::print("VIOLATION: {}\nreplay (schedules vary): crash_concurrent --seed {} --rounds 1\n",
               violation, arguments_.seed + round);
    if (++violations == 5) break;
  }
  close(base);
  fmt::print(
      "concurrent: rounds={} points={} overlapping={} images={} distinct={} recovered={} "
      "violations={} seconds={:.0f}\n",
      round, points_, overlaps_, check_->counts().images, distinct_.size(),
      check_->counts().with_recovery, violations, seconds());
  if (overlaps_ == 0) fmt::print("no two calls ever ran at once\n");
  return violations == 0 && overlaps_ > 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Crashes operations of several threads");
  app.add_option("--seed", arguments.seed, "of the first round; each has the next");
  app.add_option("--rounds", arguments.rounds);
  app.add_option("--seconds", arguments.seconds, "instead of rounds");
  app.add_option("--per-point", arguments.per_point, "images per fence");
  CLI11_PARSE(app, argc, argv);
  return Program(arguments).Run();
}

}  // namespace
}  // namespace ingot::tests

int main(int argc, char** argv) {
  return ingot::tests::Main(argc, argv);
}
