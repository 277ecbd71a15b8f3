// SPDX-License-Identifier: BSD-3-Clause
// Crashes every pair of operations, and prints what was looked at. usage: crash_explore --help
#include <linux/fs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <span>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "pmemdev/base/checksum.h"
#include "tests/crash/explorer.h"

namespace ingot::tests {
namespace {

struct Arguments {
  std::string base = "small";
  std::string durability = "cache-line";
  bool atomic = false;
  uint64_t per_point = 16;
  uint64_t single_per_point = kAllCombinations;
  uint64_t seed = 1;
  double seconds = 0;
  std::string shard = "0/1";
  CheckDepth depth{
      .fsck_before_in = 4, .use_in = 8, .second_crash_in = 16, .second_crash_images = 6};
  bool thorough = false;
  std::string first, second;
  std::string save_to;
  std::string hashes_to;
  uint64_t sequences = 0;
};

using Clock = std::chrono::steady_clock;

class Program {
 public:
  explicit Program(Arguments arguments) : arguments_(std::move(arguments)) {}
  int Run();

 private:
  using Sequence = std::vector<const CrashOperation*>;

  [[nodiscard]] Base BaseOf() const;
  [[nodiscard]] ExplorerOptions OptionsOf(uint64_t per_point) const;
  [[nodiscard]] std::vector<Sequence> Sequences() const;
  [[nodiscard]] bool IsTimeUp() const;
  [[nodiscard]] std::string CompareAnswers(const Sequence& sequence,
                                           const std::vector<std::string>& answers) const;
  void WriteHashes(const Explorer& explorer) const;
  void Report(const Sequence& sequence, const std::string& violation) const;

  Arguments arguments_;
  std::vector<CrashOperation> operations_;
  Clock::time_point begin_ = Clock::now();
};

Base Program::BaseOf() const {
  for (const Base base : {Base::kSmall, Base::kLarge, Base::kCrowded, Base::kFull,
                          Base::kPrivileged}) {
    if (arguments_.base == NameOf(base)) return base;
  }
  throw CLI::ValidationError("--base", "no such base: " + arguments_.base);
}

ExplorerOptions Program::OptionsOf(uint64_t per_point) const {
  ExplorerOptions options;
  options.pool.volume.atomic = arguments_.atomic;
  options.images_per_point = per_point;
  options.depth = arguments_.thorough ? CheckDepth{} : arguments_.depth;
  options.depth.seed = arguments_.seed;
  options.seed = arguments_.seed;
  options.save_violation_to = arguments_.save_to;
  if (arguments_.durability == "byte") options.durability = Granularity::kByte;
  if (arguments_.durability == "page") {
    options.durability = Granularity::kPage;
    options.pool.mapping.force_page_granularity = true;
  }
  return options;
}

// Each operation alone, then every pair; this shard's, in a seeded order.
std::vector<Program::Sequence> Program::Sequences() const {
  const auto find = [this](const std::string& name) -> std::vector<const CrashOperation*> {
    std::vector<const CrashOperation*> found;
    for (const CrashOperation& operation : operations_) {
      if (name.empty() || operation.name == name) found.push_back(&operation);
    }
    if (found.empty()) throw CLI::ValidationError("no such operation: " + name);
    return found;
  };
  std::vector<Sequence> all;
  for (const CrashOperation* first : find(arguments_.first)) {
    if (arguments_.second.empty()) all.push_back({first});
    if (!arguments_.first.empty() && arguments_.second.empty()) continue;
    for (const CrashOperation* second : find(arguments_.second)) all.push_back({first, second});
  }
  std::mt19937_64 random(arguments_.seed);
  std::shuffle(all.begin(), all.end(), random);
  std::stable_partition(all.begin(), all.end(), [](const Sequence& s) { return s.size() == 1; });
  const size_t slash = arguments_.shard.find('/');
  const size_t index = std::stoul(arguments_.shard);
  const size_t count = std::stoul(arguments_.shard.substr(slash + 1));
  std::vector<Sequence> mine;
  for (size_t i = index; i < all.size(); i += count) mine.push_back(all[i]);
  return mine;
}

bool Program::IsTimeUp() const {
  return arguments_.seconds > 0 &&
         std::chrono::duration<double>(Clock::now() - begin_).count() > arguments_.seconds;
}

void Program::Report(const Sequence& sequence, const std::string& violation) const {
  fmt::print("VIOLATION after");
  for (const CrashOperation* operation : sequence) fmt::print(" \"{}\"", operation->name);
  fmt::print(":\n{}\nreplay: crash_explore --base {} --durability {}{} --seed {} --first \"{}\"",
             violation, arguments_.base, arguments_.durability,
             arguments_.atomic ? " --atomic" : "", arguments_.seed, sequence[0]->name);
  if (sequence.size() > 1) fmt::print(" --second \"{}\"", sequence[1]->name);
  fmt::print(" --save FILE\n");
  std::fflush(stdout);
}

// Half of the pairs, always the same ones.
bool HasLanesOfItsOwn(const std::vector<const CrashOperation*>& sequence) {
  std::string names;
  for (const CrashOperation* operation : sequence) names += operation->name;
  return Hash64(std::as_bytes(std::span(names)), 0) % 2 == 0;
}

// An operation that fails where it should not would leave nothing to crash.
std::string Program::CompareAnswers(const Sequence& sequence,
                                    const std::vector<std::string>& answers) const {
  // On a full pool anything may be refused.
  if (BaseOf() == Base::kFull) return "";
  PlainModel model;
  for (const Operation& operation : HistoryOf(BaseOf())) (void)model.Run(operation);
  for (size_t i = 0; i < sequence.size(); ++i) {
    const std::optional<Operation>& operation = sequence[i]->operation;
    // What the model doesn't know changes what comes after it.
    if (!operation || operation->flags == RENAME_WHITEOUT) return "";
    const std::string expected = model.Run(*operation);
    if (!Fits(expected, answers[i])) {
      return fmt::format("answer {} instead of {}", answers[i], expected);
    }
  }
  return "";
}

// One a line, so that the distinct images of several runs can be counted.
void Program::WriteHashes(const Explorer& explorer) const {
  if (arguments_.hashes_to.empty()) return;
  std::filesystem::create_directories(
      std::filesystem::absolute(arguments_.hashes_to).parent_path());
  std::ofstream file(arguments_.hashes_to);
  for (const uint64_t hash : explorer.images()) {
    file << fmt::format("{}{:016x}\n", arguments_.base, hash);
  }
}

int Program::Run() {
  const Base base = BaseOf();
  operations_ = OperationsOn(base);
  const ExplorerOptions options = OptionsOf(arguments_.per_point);
  const int fd = MakeBase(base, options.pool);
  Explorer explorer(fd, options);
  close(fd);
  uint64_t violations = 0;
  size_t done = 0;
  const std::vector<Sequence> sequences = Sequences();
  for (const Sequence& sequence : sequences) {
    if (IsTimeUp() || (arguments_.sequences != 0 && done == arguments_.sequences)) break;
    explorer.set_images_per_point(sequence.size() == 1 ? arguments_.single_per_point
                                                       : arguments_.per_point);
    explorer.set_lane_per_operation(HasLanesOfItsOwn(sequence));
    const Explorer::Recording recording = explorer.Record(sequence);
    std::string violation = CompareAnswers(sequence, recording.answers);
    if (violation.empty()) violation = explorer.Crash(recording, sequence.size() - 1);
    ++done;
    if (violation.empty()) continue;
    Report(sequence, violation);
    if (++violations == 20) break;
  }
  WriteHashes(explorer);
  const ExplorerCounts& counts = explorer.counts();
  const ImageCounts& images = explorer.image_counts();
  fmt::print(
      "base={} durability={} atomic={} operations={} sequences={}/{} points={} images={} "
      "distinct={} repeated={} recovered={} fsck_before={} used={} second_crashes={} "
      "violations={} seconds={:.0f}\n",
      arguments_.base, arguments_.durability, arguments_.atomic ? 1 : 0, operations_.size(), done,
      sequences.size(), counts.points, images.images, counts.distinct, counts.duplicates,
      images.with_recovery, images.checked_before, images.used, images.second_crashes, violations,
      std::chrono::duration<double>(Clock::now() - begin_).count());
  return violations == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Crashes every pair of operations");
  // Sanitized builds narrow an exploration by repeating an option.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--base", arguments.base, "small, large, crowded, full or privileged");
  app.add_option("--durability", arguments.durability, "cache-line, byte or page")
      ->check(CLI::IsMember({"cache-line", "byte", "page"}));
  app.add_flag("--atomic", arguments.atomic, "the volume's data writes are whole or not at all");
  app.add_option("--per-point", arguments.per_point, "images per fence of a pair");
  app.add_option("--single-per-point", arguments.single_per_point,
                 "images per fence of an operation alone");
  app.add_option("--seed", arguments.seed);
  app.add_option("--seconds", arguments.seconds, "stop after so long; 0: do all");
  app.add_option("--sequences", arguments.sequences, "stop after so many; 0: do all");
  app.add_option("--hashes", arguments.hashes_to, "write the images' hashes here");
  app.add_option("--shard", arguments.shard, "I/N: the I-th of N parts");
  app.add_flag("--thorough", arguments.thorough, "do to each image what else one in some bears");
  app.add_option("--first", arguments.first, "only this first operation");
  app.add_option("--second", arguments.second, "only this second operation");
  app.add_option("--save", arguments.save_to, "keep the image of a violation here");
  CLI11_PARSE(app, argc, argv);
  return Program(arguments).Run();
}

}  // namespace
}  // namespace ingot::tests

int main(int argc, char** argv) {
  return ingot::tests::Main(argc, argv);
}
