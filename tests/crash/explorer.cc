// SPDX-License-Identifier: BSD-3-Clause
// Recording a run, and walking through its trace with a crash at each point.
#include "tests/crash/explorer.h"

#include <cstdlib>

#include <fmt/format.h>

#include "pmemdev/base/check.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

// Stray stores are caught where operations run; images are opened by the thousand.
PoolOptions WithoutAlias(PoolOptions options) {
  options.mapping.separate_write_alias = false;
  options.mapping.reserve_bytes = 0;
  return options;
}

std::shared_ptr<const TreeSnapshot> TakeSnapshot(Volume& volume) {
  Result<TreeSnapshot> tree = SnapshotOf(volume);
  CHECK(tree.has_value(), "{}", Describe(tree.error()));
  return std::make_shared<const TreeSnapshot>(std::move(*tree));
}

// The pages that read as zeros because nothing was written there.
std::vector<uint64_t> HolesOf(Volume& volume, InodeNumber inode, uint64_t size_bytes) {
  std::vector<uint64_t> holes;
  for (uint64_t page = 0; page * kPageSize < size_bytes; ++page) {
    const Result<uint64_t> hole = volume.data().SeekHole(inode, page * kPageSize);
    if (hole && *hole == page * kPageSize) holes.push_back(page);
  }
  return holes;
}

// With atomic writes each request of at most 1 MiB is whole or not at all.
bool IsWholeWrite(const CrashOperation& operation, bool atomic) {
  if (!atomic || !operation.operation || operation.operation->size > (uint64_t{1} << 20)) {
    return false;
  }
  return operation.operation->kind == Kind::kWrite || operation.operation->kind == Kind::kAppend;
}

// The file before the operation, if there is one.
TornFile BeforeTorn(Volume& volume, const TreeSnapshot& tree, const CrashOperation& operation,
                    bool atomic) {
  TornFile torn;
  if (!operation.torn) return torn;
  const auto found = tree.find(operation.torn->path);
  if (found == tree.end() || !S_ISREG(found->second.attributes.mode)) return torn;
  torn.inode = found->second.attributes.inode;
  torn.begin = operation.torn->begin;
  torn.end = operation.torn->end;
  torn.in_steps = operation.torn->in_steps;
  torn.takes_set_ids = operation.torn->takes_set_ids;
  torn.takes_capability = operation.torn->takes_capability;
  Result<std::string> contents = ContentsOf(volume, torn.inode);
  CHECK(contents.has_value(), "{}", Describe(contents.error()));
  torn.before = std::move(*contents);
  torn.whole = IsWholeWrite(operation, atomic);
  torn.holes = HolesOf(volume, torn.inode, torn.before.size());
  return torn;
}

}  // namespace

Explorer::Explorer(int base, ExplorerOptions options)
    : options_(std::move(options)),
      run_(base),
      pool_(base),
      check_(WithoutAlias(options_.pool), options_.durability, EmptyBytes(base, options_.pool)) {}

Explorer::Recording Explorer::Record(const std::vector<const CrashOperation*>& operations) {
  const FixedChance fixed(true);
  TraceRecorder recorder;
  PoolOptions options = options_.pool;
  options.mapping.observer = &recorder;
  auto opened = OpenPool(run_.Duplicate(), options);
  CHECK(opened.has_value(), "{}", Describe(opened.error()));
  Recording recording;
  {
    const std::unique_ptr<Volume> volume = std::move(*opened);
    auto tree = TakeSnapshot(*volume);
    std::vector<Lane> held;  // declared after the volume: gone before it
    for (size_t i = 0; i < operations.size(); ++i) {
      Oracle oracle{
          .before = tree,
          .after = nullptr,
          .torn = BeforeTorn(*volume, *tree, *operations[i], options_.pool.volume.atomic)};
      // The next operation's record goes to another lane, beside what this one left there.
      if (options_.lane_per_operation && i > 0) held.push_back(volume->device().journal().Lease());
      recording.answers.push_back(operations[i]->run(*volume));
      recorder.Mark(i + 1);
      tree = TakeSnapshot(*volume);
      oracle.after = tree;
      if (oracle.torn.inode.value != 0) {
        Result<std::string> contents = ContentsOf(*volume, oracle.torn.inode);
        CHECK(contents.has_value(), "{}", Describe(contents.error()));
        oracle.torn.after = std::move(*contents);
      }
      oracle.digest = DigestOf(*oracle.before) * 3 + DigestOf(*oracle.after) * 5 +
                      (oracle.torn.inode.value != 0 ? oracle.torn.begin * 7 + oracle.torn.end : 0);
      recording.oracles.push_back(std::move(oracle));
    }
    Oracle last{.before = tree, .after = nullptr, .torn = {}};
    last.digest = DigestOf(*tree);
    recording.oracles.push_back(std::move(last));
  }
  recording.trace = recorder.trace();
  run_.NoteStores(recording.trace);
  run_.Undo();
  return recording;
}

std::string Explorer::Crash(const Recording& recording, size_t first) {
  const CrashPlan plan{.durability = options_.durability,
                       .images_per_point = options_.images_per_point,
                       .seed = options_.seed,
                       .first_mark = first,
                       .skipped_site = options_.skipped_site};
  std::string violation;
  counts_.points += ForEachImage(
      recording.trace, plan, pool_,
      [&](const CrashPoint& point, const std::vector<WordStore>& kept, uint64_t hash) {
        const Oracle& next = recording.oracles[point.marks];
        violation = point.at_mark ? Check(kept, hash, next.AtRest()) : Check(kept, hash, next);
        return violation.empty();
      });
  return violation;
}

std::string Explorer::Check(const std::vector<WordStore>& kept, uint64_t hash,
                            const Oracle& oracle) {
  if (images_.insert(hash).second) ++counts_.distinct;
  if (!seen_.insert(hash ^ oracle.digest).second) {
    ++counts_.duplicates;
    return "";
  }
  std::string violation = check_.Run(
      pool_, kept, hash, [&oracle](Volume& volume) { return oracle.Judge(volume); },
      options_.depth);
  if (!violation.empty() && !options_.save_violation_to.empty()) {
    pool_.Undo();
    (void)pool_.Apply(kept);
    pool_.SaveImage(options_.save_violation_to);
  }
  return violation;
}

}  // namespace ingot::tests
